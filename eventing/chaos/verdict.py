"""The verdict: which promises were kept, as a pure function of what was seen."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from eventing.chaos.observing import Observations, Seen, Struck

STALL_WINDOW_S = 10.0
ONCE, EFFECT = "every request ends once", "one effect a step: one id and one content for each answer"
MAIL, ACCOUNTS, BOUGHT = (
    "one mail a request, outside of the stated windows",
    "every account is closed",
    "every model call is bought once",
)
# What must be seen for a promise to be judged.
_NEEDS = {ONCE: "events", EFFECT: "events", MAIL: "mails", ACCOUNTS: "scheduler", BOUGHT: "scheduler"}


@dataclass(frozen=True)
class Promise:
    """One promise; `broken` says how it was broken, in one line each."""

    name: str
    broken: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        return not self.broken


@dataclass(frozen=True)
class Recovery:
    """How soon requests went on after faults of one kind, in seconds.

    `any` is from each fault to the next answer of any step, `own` to that of the agent that was killed, `stalls` the longest
    pause between two answers in the ten seconds after.
    """

    kind: str
    times: int
    any: tuple[float, ...] = ()
    own: tuple[float, ...] = ()
    stalls: tuple[float, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What was promised and what was seen."""

    promises: tuple[Promise, ...]
    requests: int = 0
    complete: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # how many requests failed, by the reason that they told
    dead_letters: int = 0
    mailed_again: tuple[str, ...] = ()  # requests whose second mail is proved to have gone out in a stated window
    delivered_again: int = 0  # records of an event that lay in its topic already
    generations: int = 0
    call_keys: int = 0
    tokens_twice: int = 0
    recovery: tuple[Recovery, ...] = ()
    unjudged: tuple[tuple[str, str], ...] = ()  # promises that nobody could judge, each with why

    @property
    def kept(self) -> bool:
        return all(promise.kept for promise in self.promises)

    @property
    def per_key(self) -> float:
        return self.generations / self.call_keys if self.call_keys else 1.0


def judge(run: Observations, costly: bool) -> Verdict:
    """The verdict on a run; `costly` says that something failed which may make a model call be bought twice."""
    ends = _ends(run)
    promises = [
        Promise("every request was taken", tuple(f"{request}: {why}" for request, why in run.refused.items())),
        Promise("nothing is lost: every request that was taken has ended", tuple(_lost(run, ends))),
        Promise(ONCE, tuple(_ended_twice(ends))),
        Promise(EFFECT, tuple(_doubled(run))),
        Promise(MAIL, tuple(_mails(run, ends))),
        Promise(ACCOUNTS, tuple(_open_accounts(run))),
    ]
    if run.unintended is not None:
        told = tuple(f"{times} times: {answer}" for answer, times in run.unintended.items())
        promises.append(Promise("the gateway fails nobody: where it can take no request, it says when to ask again", told))
    if not costly:
        promises.append(Promise(BOUGHT, tuple(_bought_twice(run))))
    unjudged = {
        promise.name: run.unseen[sight] for promise in promises if (sight := _NEEDS.get(promise.name, "")) in run.unseen
    }
    failed = Counter(found[0].reason or "(no reason)" for found in ends.values() if found[0].type == run.fails)
    ours = [event for event in run.events if event.request in run.admitted]
    at_server = run.bought.at_server
    return Verdict(
        promises=tuple(promise for promise in promises if promise.name not in unjudged),
        unjudged=tuple(unjudged.items()),
        requests=len(run.admitted),
        complete=sum(found[0].type != run.fails for found in ends.values()),
        failed=dict(failed),
        dead_letters=sum(event.dead for event in ours),
        mailed_again=tuple(request for request in run.mailings if request in run.admitted and _in_window(run, request)),
        delivered_again=_again(ours),
        generations=sum(at_server.values()) or run.bought.generations,
        call_keys=len(at_server) or run.bought.call_keys,
        tokens_twice=run.bought.tokens_twice,
        recovery=tuple(_recovery(run)),
    )


def _ends(run: Observations) -> dict[str, list[Seen]]:
    """The end events of each request that was taken; copies of one count once."""
    found: dict[str, dict[str, Seen]] = defaultdict(dict)
    for event in run.events:
        if event.type in run.ends and not event.dead and event.request in run.admitted:
            found[event.request].setdefault(event.id, event)
    return {request: list(events.values()) for request, events in found.items()}


def _lost(run: Observations, ends: dict[str, list[Seen]]) -> Iterator[str]:
    last: dict[str, Seen] = {}
    for event in run.events:
        if event.agent:
            last[event.request] = event
    for request in run.admitted:
        if request not in ends:
            stands = f"{last[request].type} of {last[request].source}" if request in last else "its opening"
            yield f"{request} was taken and has no end; the last that was seen of it is {stands}"


def _ended_twice(ends: dict[str, list[Seen]]) -> Iterator[str]:
    for request, found in ends.items():
        if len(found) > 1:
            yield f"{request} ended as {' and as '.join(f'{event.type} {event.id}' for event in found)}"


def _doubled(run: Observations) -> Iterator[str]:
    """Whatever came with two ids, or with two contents, for one answer of one step; and two openings of one request."""
    answers: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    for event in run.events:
        if event.request in run.admitted and not event.dead and (event.agent or event.source == "/gateway"):
            key = (event.request, event.source, event.part, event.revision, event.type)
            answers[key].add((event.id, event.digest))
    for (request, source, part, revision, kind), found in answers.items():
        ids = len({one for one, _ in found})
        if len(found) > 1:
            of = f"{kind} of {source}, part {part or '-'}, revision {revision or '0'}"
            yield f"{request}: {of}: {ids} ids, {len(found)} contents"


def _mails(run: Observations, ends: dict[str, list[Seen]]) -> Iterator[str]:
    arrived = Counter(request for request in run.mailed if request in run.admitted)
    for request, count in arrived.items():
        if count > 1 and not _in_window(run, request):
            yield f"{request} got {count} mails"
    if run.mail_expected:
        yield from (f"{request} has ended and got no mail" for request in ends if request not in arrived)


def _in_window(run: Observations, request: str) -> bool:
    return request in run.mailings and run.mailings[request].in_window


def _bought_twice(run: Observations) -> Iterator[str]:
    for key, generations in run.bought.at_server.items():
        if generations > 1:
            yield f"the model server generated {generations} answers for call {key}"
    if run.bought.generations != run.bought.call_keys:
        yield f"the scheduler started {run.bought.generations} generations for {run.bought.call_keys} call keys"


def _open_accounts(run: Observations) -> Iterator[str]:
    if run.bought.open_accounts is None:
        yield "the scheduler did not answer: nobody knows"
    elif run.bought.open_accounts > 0:
        yield f"{run.bought.open_accounts} accounts are open at the scheduler, though their requests have ended or are lost"


def _again(events: Sequence[Seen]) -> int:
    alive = [(event.topic, event.source, event.id) for event in events if not event.dead]
    return len(alive) - len(set(alive))


def _recovery(run: Observations) -> Iterator[Recovery]:
    first: dict[str, Seen] = {}
    for event in sorted(run.events, key=lambda one: one.at):
        if event.agent and event.request in run.admitted:
            first.setdefault(event.id, event)
    moments = [event.at for event in first.values()]
    by_agent: dict[str, list[float]] = defaultdict(list)
    for event in first.values():
        by_agent[event.agent].append(event.at)
    for kind in sorted({struck.kind for struck in run.struck}):
        struck = [one for one in run.struck if one.kind == kind]
        own = [_next(by_agent.get(one.victim.replace("-", "_"), []), one.at) for one in struck]
        yield Recovery(
            kind,
            len(struck),
            tuple(took for one in struck if (took := _next(moments, one.at)) is not None),
            tuple(took for took in own if took is not None) if kind.startswith("agents") else (),
            tuple(stall for one in struck if (stall := _stall(moments, one)) is not None),
        )


def _next(moments: list[float], after: float) -> float | None:
    at = bisect_right(moments, after)
    return moments[at] - after if at < len(moments) else None


def _stall(moments: list[float], struck: Struck) -> float | None:
    """The longest pause that began in the seconds after a fault; None where nothing came any more."""
    at = bisect_right(moments, struck.at)
    end = bisect_right(moments, struck.at + STALL_WINDOW_S)
    within = [struck.at, *moments[at : end + 1]]
    return max((later - earlier for earlier, later in pairwise(within)), default=None)


def middle(seconds: Sequence[float]) -> float | None:
    """The median, or None of nothing."""
    return median(seconds) if seconds else None
