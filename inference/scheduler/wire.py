"""OpenAI's API as callers speak it: what a call says, and how its answer is sent. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from inference.answers import PER_MESSAGE, tokens_of
from inference.scheduler.errors import BadCallError

CHAT, TEXT = "chat/completions", "completions"
_OURS = frozenset({"stream", "stream_options", "user"})  # they change nothing of the answer
_ROUTED = _OURS | {"model"}  # no part of what a key stands for: what was bought of a model stays, whichever is served now
BOUNDS = ("max_completion_tokens", "max_tokens")
IMAGE_TOKENS = 1000
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_EDITION = re.compile(r"~[0-9]{1,4}\Z")  # a later edition of a request has an account of its own
MOST_TOKENS = 10_000_000  # that a call may ask for
MOST_ANSWERS = 128
DEEPEST = 150  # levels of lists and objects
LONGEST_NAME = 1000


@dataclass(frozen=True)
class Ask:
    """One call, as its caller made it."""

    path: str
    body: Mapping[str, Any]
    stream: bool = False
    usage_wanted: bool = False
    key: str | None = None
    request: str | None = None
    tenant: str = ""
    wait_s: float | None = None  # how long its caller waits
    deadline: datetime | None = None  # its request's
    budget: int | None = None  # its request's
    traceparent: str | None = None
    prompt: str = field(default="", repr=False)
    prompt_tokens: int = 0  # estimated
    max_tokens: int = 0
    digest: str = ""

    @property
    def model(self) -> str:
        return str(self.body.get("model") or "")

    @property
    def bounded(self) -> bool:
        """Whether its server is told how much it may say."""
        return any(self.body.get(name) is not None for name in BOUNDS)

    @property
    def tokens(self) -> int:
        """What it may cost at most."""
        return self.prompt_tokens + self.max_tokens


def read(path: str, raw: bytes, headers: Mapping[str, str], default_max_tokens: int) -> Ask:
    """The call in a request's body and `Torpor-` headers.

    Raises:
        BadCallError: naming the field and what would be right.
    """
    try:
        given = json.loads(raw)
        if deep(given):
            raise BadCallError(f"the body is nested deeper than {DEEPEST} levels")
        keyed = json.dumps(_without(_ROUTED, given), sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BadCallError(f"the body is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadCallError(f"the body must be a JSON object, got {type(given).__name__}")
    digest = hashlib.sha256(f"{path}\n{keyed}".encode()).hexdigest()
    prompt, tokens = _chat_prompt(given) if path == CHAT else _text_prompt(given)
    key, request = _named(headers)
    most, answers = _max_tokens(given, default_max_tokens), _count(given, "n", MOST_ANSWERS) or 1
    if key and answers != 1:
        raise BadCallError("a call with a key (Torpor-Call) has one answer: leave `n` out, or send n=1")
    options, body, budget = given.get("stream_options"), _without(_OURS, given), _number(headers, "Torpor-Budget")
    if request and all(body.get(name) is None for name in BOUNDS):
        body["max_tokens"] = most  # what a budget is reserved for must be a bound
    return Ask(
        path=path,
        body=body,
        stream=given.get("stream") is True,
        usage_wanted=isinstance(options, dict) and options.get("include_usage") is True,
        key=key,
        request=request,
        tenant=_text(headers, "Torpor-Tenant") or request or "",
        wait_s=_number(headers, "Torpor-Wait"),
        deadline=_moment(headers, "Torpor-Deadline"),
        budget=None if budget is None else int(budget),
        traceparent=headers.get("traceparent") if _TRACE.fullmatch(headers.get("traceparent", "")) else None,
        prompt=prompt,
        prompt_tokens=tokens,
        max_tokens=most * answers,
        digest=digest,
    )


def deep(value: Any) -> bool:
    """Whether JSON is nested deeper than anything that is meant."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        inner = (part for one in level for part in (one.values() if isinstance(one, dict) else one))
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return False
    return True


def _without(names: Set[str], given: Any) -> Any:
    return {name: value for name, value in given.items() if name not in names} if isinstance(given, dict) else given


def _named(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The key of a call, and the account that pays: of the request that the key begins with, or of an edition of it."""
    key, request = _text(headers, "Torpor-Call"), _text(headers, "Torpor-Request")
    if key is None:
        return None, request
    first = key.partition("/")[0]
    if not first or _EDITION.sub("", request or first) != _EDITION.sub("", first):
        raise BadCallError(
            f"the header Torpor-Call must begin with the call's request, like {request or 'ID'}/step#1.0, got {key[:80]!r}"
        )
    return key, request or first


def _text(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name) or None
    if value and (len(value) > LONGEST_NAME or not value.isprintable()):
        raise BadCallError(
            f"the header {name} must be at most {LONGEST_NAME} printable characters in UTF-8, got {value[:40]!r}"
        )
    return value


def _chat_prompt(given: Mapping[str, Any]) -> tuple[str, int]:
    said = given.get("messages")
    if not isinstance(said, list) or not said or not all(isinstance(message, dict) for message in said):
        raise BadCallError("`messages` must be a list of at least one message like {'role': 'user', 'content': '...'}")
    texts, tokens = [], 0
    for number, message in enumerate(said):
        content = message.get("content")
        if not isinstance(message.get("role"), str) or not isinstance(content, str | list | None):
            raise BadCallError(f"`messages[{number}]` needs a `role` and a `content`, which is a text or a list of parts")
        parts = content if isinstance(content, list) else [{"text": content or ""}]
        texts.append("".join(str(part.get("text", "")) for part in parts if isinstance(part, dict)))
        images = sum(isinstance(part, dict) and "text" not in part for part in parts)
        calls = json.dumps(message["tool_calls"]) if message.get("tool_calls") else ""
        tokens += tokens_of(texts[-1] + calls) + PER_MESSAGE + images * IMAGE_TOKENS
    return "\n".join(texts), tokens + (tokens_of(json.dumps(given["tools"])) if given.get("tools") else 0)


def _text_prompt(given: Mapping[str, Any]) -> tuple[str, int]:
    prompt = given.get("prompt")
    if isinstance(prompt, str):
        return prompt, tokens_of(prompt)
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return json.dumps(prompt), len(prompt)
    raise BadCallError("`prompt` must be one text, or one list of tokens")


def _max_tokens(given: Mapping[str, Any], default: int) -> int:
    """The larger of both bounds where a call names both: servers differ in which they heed."""
    return max(_count(given, name, MOST_TOKENS) or 0 for name in BOUNDS) or default


def _count(given: Mapping[str, Any], name: str, most: int) -> int | None:
    value = given.get(name)
    if value is not None and (type(value) is not int or not 1 <= value <= most):
        raise BadCallError(f"`{name}` must be a whole number of at least 1, got {str(value)[:40]!r} (at most {most})")
    return value


def _number(headers: Mapping[str, str], name: str) -> float | None:
    value = headers.get(name)
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e12:
        raise BadCallError(f"the header {name} must be a number, got {value[:40]!r}")
    return number


def _moment(headers: Mapping[str, str], name: str) -> datetime | None:
    value = headers.get(name)
    if not value:
        return None
    try:
        return moment_of(value)
    except ValueError:
        raise BadCallError(f"the header {name} must be a time like 2026-01-31T12:00:00+00:00, got {value[:40]!r}") from None


def moment_of(text: str) -> datetime:
    """A point in time that says its time zone.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it names no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def sse(data: Mapping[str, Any] | str) -> bytes:
    """One server-sent event."""
    said = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return b"data: " + said.encode("utf-8", "replace") + b"\n\n"
