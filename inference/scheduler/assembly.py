"""An answer in OpenAI's format, put together from its streamed chunks: texts grow, numbered parts grow by number. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from inference.scheduler.wire import CHAT, MOST_ANSWERS

_JOINED = frozenset({"content", "text", "arguments", "refusal", "reasoning", "reasoning_content"})
_TEXTS = ("role", "text", "refusal", "reasoning", "reasoning_content")


def sound(choices: Any) -> bool:
    """Whether a chunk's choices are what can be put together, whatever else they hold."""
    return isinstance(choices, list) and all(isinstance(one, dict) and _fits(one) for one in choices)


def _fits(choice: Mapping[str, Any]) -> bool:
    said, index = choice.get("delta") or choice.get("message") or {}, choice.get("index", 0)
    if not isinstance(said, dict) or type(index) is not int or not 0 <= index < MOST_ANSWERS:
        return False
    texts = [choice.get("finish_reason"), choice.get("text"), *(said.get(name) for name in _TEXTS)]
    calls = said.get("tool_calls") or []
    return (
        all(text is None or isinstance(text, str) for text in texts)
        and isinstance(said.get("content"), str | list | None)
        and isinstance(choice.get("logprobs"), dict | None)
        and isinstance(calls, list)
        and all(isinstance(call, dict) for call in calls)
    )


def text_of(chunk: Mapping[str, Any]) -> str:
    """What a chunk adds to the first choice's text."""
    for choice in chunk.get("choices") or ():
        if choice.get("index", 0) == 0:
            return words((choice.get("delta") or {}).get("content") or choice.get("text"))
    return ""


def words(content: Any) -> str:
    """The text of a content, which some servers give in parts."""
    if isinstance(content, list):
        return "".join(words(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def says(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk says anything at all, a call of a tool for instance."""
    deltas = [choice.get("delta") or {"text": choice.get("text")} for choice in chunk.get("choices") or ()]
    return any(value for delta in deltas for name, value in delta.items() if name != "role")


def as_chunk(whole: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer as the one chunk of a stream that says it all."""
    choices = []
    for choice in whole.get("choices") or ():
        said = {name: value for name, value in choice.items() if name != "message"}
        if isinstance(message := choice.get("message"), dict):
            calls = [{"index": number, **call} for number, call in enumerate(message.get("tool_calls") or ())]
            said["delta"] = message | ({"tool_calls": calls} if calls else {})
        choices.append(said)
    kind = "chat.completion.chunk" if any("delta" in choice for choice in choices) else "text_completion"
    return {**whole, "object": kind, "choices": choices}


class Assembly:
    """An answer that is put together from its chunks."""

    def __init__(self, path: str) -> None:
        self._path, self._head = path, dict[str, Any]()
        self._choices: dict[int, dict[str, Any]] = {}
        self.usage: Any = None

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Take one more chunk."""
        self.usage = chunk.get("usage") or self.usage
        self._head.update({n: chunk[n] for n in ("id", "created", "model", "system_fingerprint") if chunk.get(n)})
        for choice in chunk.get("choices") or ():
            kept = self._choices.setdefault(choice.get("index", 0), {"said": {}, "finish_reason": None})
            delta = choice.get("delta")
            merge(kept["said"], {"text": choice.get("text") or ""} if delta is None and self._path != CHAT else delta or {})
            kept["finish_reason"] = choice.get("finish_reason") or kept["finish_reason"]
            if choice.get("logprobs"):
                merge(kept.setdefault("logprobs", {}), choice["logprobs"])

    @property
    def finished(self) -> bool:
        """Whether every choice has come to its end."""
        return bool(self._choices) and not self.unfinished

    @property
    def unfinished(self) -> list[int]:
        """The choices that have not come to their end."""
        return [index for index, choice in self._choices.items() if not choice["finish_reason"]]

    @property
    def text(self) -> str:
        """What the first choice says so far."""
        said = self._choices.get(0, {}).get("said", {})
        return words(said.get("content") or said.get("text"))

    @property
    def plain(self) -> bool:
        """Whether it is one text and nothing else so far, which could be gone on with."""
        said = [choice["said"] for choice in self._choices.values()]
        other = (name for one in said for name, value in one.items() if value and name not in ("content", "text", "role"))
        return len(said) <= 1 and next(other, None) is None and not any(isinstance(one.get("content"), list) for one in said)

    def answer(self) -> dict[str, Any]:
        """The whole answer."""
        choices = []
        for index, kept in sorted(self._choices.items()):
            choice = {"index": index, "finish_reason": kept["finish_reason"]}
            if "logprobs" in kept:
                choice["logprobs"] = kept["logprobs"]
            said = {"role": "assistant", "content": None, **kept["said"]}
            choices.append(
                {**choice, **({"message": said} if self._path == CHAT else {"text": kept["said"].get("text", "")})}
            )
        kind = "chat.completion" if self._path == CHAT else "text_completion"
        return {"object": kind, **self._head, "choices": choices}


def merge(into: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add a delta: texts grow, lists of numbered parts (tool calls) grow by number, the rest is replaced."""
    for name, value in delta.items():
        known = into.get(name)
        if isinstance(value, str) and isinstance(known, str) and name in _JOINED:
            into[name] = known + value
        elif isinstance(value, dict) and isinstance(known, dict):
            merge(known, value)
        elif isinstance(value, list) and value and all(isinstance(one, dict) and "index" in one for one in value):
            parts = into.setdefault(name, []) if isinstance(known, list | None) else []
            for one in value:
                place = next((part for part in parts if isinstance(part, dict) and part.get("index") == one["index"]), None)
                parts.append(deepcopy(one)) if place is None else merge(place, one)
            into[name] = parts
        elif isinstance(value, list) and isinstance(known, list):
            into[name] = known + value
        elif value is not None or known is None:
            into[name] = deepcopy(value)  # the chunk itself is still to be streamed
