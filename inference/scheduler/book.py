"""What is known of requests and their keyed calls: made from the journal's records, live and after a restart alike.

open   r, b, d        a request with its budget and deadline
begin  k, r, g, s, p  a generation is started for a key (again, when it was broken), at a server, with a prompt of p tokens
back   k, p           the server was not reached, or did not take the call: nothing was bought
delta  k, c, n        what it said, in n tokens
anew   k              what it said is given up: it could not be gone on with
end    k, a, p, c     the answer, and the tokens bought for it in all
lost   k, p           it failed for good; what was bought stays bought
spent  r, p, c        tokens of a call without a key
over   r, at           the request has ended; what it said can still be read for a while
close  r              it has been over for long enough; its calls are forgotten here, their answers lie in the archive
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass
class KnownCall:
    """A call with a key: what was said so far, or the whole answer."""

    key: str
    request: str
    digest: str
    server: str = ""
    parts: list[str] = field(default_factory=list)
    tokens: int = 0  # generated and kept
    twice: int = 0  # generated, given up and bought again
    starts: int = 0
    restarts: int = 0
    begun: bool = False  # a generation was started and has not come to an end
    resumed: bool = False  # the last start followed one that broke off
    prompt_tokens: int = 0  # bought by starts that broke off
    answer: dict[str, Any] | None = None
    archived: bool = False

    @property
    def text(self) -> str:
        if len(self.parts) > 1:
            self.parts = ["".join(self.parts)]
        return self.parts[0] if self.parts else ""


@dataclass
class KnownRequest:
    """A request: its budget, what it spent, its calls in the order in which they began."""

    budget: int | None = None
    deadline: float | None = None  # seconds since the epoch
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reserved: int = 0
    over: float | None = None  # when it ended, in seconds since the epoch
    calls: dict[str, KnownCall] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def spent(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def tell(self) -> None:
        """Wake whoever waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()


class Book:
    """Every request that is open, or over since a short while."""

    def __init__(self) -> None:
        self.requests: dict[str, KnownRequest] = {}
        self.calls: dict[str, KnownCall] = {}
        self.keys = 0  # distinct call keys seen
        self.starts = 0  # generations started for them
        self.twice = 0

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in one record.

        Raises:
            LookupError, TypeError: it is none of ours, or speaks of what was never begun.
        """
        getattr(self, f"_{record['t']}")(record)

    @property
    def open(self) -> int:
        """How many requests are open and have not ended."""
        return sum(request.over is None for request in self.requests.values())

    def request(self, name: str) -> KnownRequest:
        return self.requests.setdefault(name, KnownRequest())

    def _open(self, record: Mapping[str, Any]) -> None:
        request = self.request(record["r"])
        request.budget, request.deadline, request.over = record.get("b"), record.get("d"), None

    def _begin(self, record: Mapping[str, Any]) -> None:
        call = self.calls.get(record["k"])
        if call is None:
            call = self.calls[record["k"]] = KnownCall(record["k"], record["r"], record["g"])
            self.request(record["r"]).calls[call.key] = call
            self.keys += 1
        else:
            call.prompt_tokens += record["p"] if call.begun else 0
            self._charge(call, record["r"])
        call.server, call.begun, call.resumed = record["s"], True, call.begun
        call.starts += 1
        self.starts += 1

    def _charge(self, call: KnownCall, request: str) -> None:
        """Whoever begins a call again pays for it: the account of its request may be closed before a later edition's is."""
        if call.request != request:
            self.request(call.request).calls.pop(call.key, None)
            call.request = request
            self.request(request).calls[call.key] = call

    def _back(self, record: Mapping[str, Any]) -> None:
        call = self.calls[record["k"]]
        call.starts, self.starts = call.starts - 1, self.starts - 1
        call.prompt_tokens -= record["p"] if call.resumed else 0
        call.begun = call.resumed

    def _delta(self, record: Mapping[str, Any]) -> None:
        call = self.calls[record["k"]]
        call.parts.append(record["c"])
        call.tokens += record.get("n", 1)
        self.requests[call.request].tell()

    def _anew(self, record: Mapping[str, Any]) -> None:
        call = self.calls[record["k"]]
        call.twice += call.tokens
        self.twice += call.tokens
        call.parts, call.tokens = [], 0
        call.restarts += 1
        self.requests[call.request].tell()

    def _end(self, record: Mapping[str, Any]) -> None:
        call = self.calls[record["k"]]
        call.answer, call.begun, call.parts = record["a"], False, [call.text]  # one text is smaller than its many pieces
        self._spent({"r": call.request, **record})

    def _lost(self, record: Mapping[str, Any]) -> None:
        call = self.calls[record["k"]]
        self._spent({"r": call.request, "p": call.prompt_tokens + record["p"], "c": call.tokens + call.twice})
        call.restarts += bool(call.parts)  # whoever watches has seen what is given up here
        call.begun, call.twice, call.tokens, call.parts, call.prompt_tokens = False, 0, 0, [], 0

    def _spent(self, record: Mapping[str, Any]) -> None:
        request = self.request(record["r"])
        request.prompt_tokens += record["p"]
        request.completion_tokens += record["c"]
        request.tell()

    def _over(self, record: Mapping[str, Any]) -> None:
        request = self.requests[record["r"]]
        request.over = record["at"]
        request.tell()

    def _close(self, record: Mapping[str, Any]) -> None:
        request = self.requests.pop(record["r"], None)
        for key in request.calls if request else ():
            self.calls.pop(key, None)
        if request:
            request.tell()

    def _call(self, record: Mapping[str, Any]) -> None:
        """A whole call at once, as a compacted journal has it."""
        call = KnownCall(**record["call"])
        self.calls[call.key] = self.request(call.request).calls[call.key] = call
        self.keys, self.starts, self.twice = self.keys + 1, self.starts + call.starts, self.twice + call.twice

    def records(self) -> Iterator[Record]:
        """The fewest records that make this book again."""
        for name, request in self.requests.items():
            yield {"t": "open", "r": name, "b": request.budget, "d": request.deadline}
            if request.spent:
                yield {"t": "spent", "r": name, "p": request.prompt_tokens, "c": request.completion_tokens}
            if request.over is not None:
                yield {"t": "over", "r": name, "at": request.over}
            for call in request.calls.values():
                yield {"t": "call", "call": {**vars(call), "parts": [call.text], "archived": False}}
