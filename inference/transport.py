"""HTTP to a model server: the only module that imports urllib3, and not before the first call.

A reply is judged here: what came back, whether waiting would help, and what to tell whoever reads the error.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from inference.errors import (
    BacklogError,
    ChangedCallError,
    ConfigurationError,
    InferenceError,
    ModelAnswerError,
    ModelRefusedError,
    ModelUnavailableError,
    OutOfBudgetError,
    OutOfTimeError,
    UnknownModelError,
)

if TYPE_CHECKING:
    import urllib3

CONNECT_S = 5.0
AT_ONCE = 64  # connections kept open
SHOWN = 300  # characters of a wrong reply that an error shows
T = TypeVar("T")


class NothingBoughtError(ModelUnavailableError):
    """The server did not take the call; asking again costs nothing. `after` is when it said to come back."""

    def __init__(self, told: str, *, busy: bool, after: float | None = None) -> None:
        self.busy, self.after = busy, after
        super().__init__(told)


@dataclass(frozen=True)
class Transport:
    """Speaks to one server; the key is sent and shown nowhere."""

    url: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        if self.url and (scheme not in ("http", "https") or not rest.strip("/")):
            raise ConfigurationError("TORPOR_MODEL_URL must be an http(s) base URL such as http://127.0.0.1:8090/v1")
        if "@" in rest.partition("/")[0]:
            raise ConfigurationError("TORPOR_MODEL_URL carries a password; put the key into TORPOR_MODEL_KEY instead")

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        import urllib3

        return urllib3.PoolManager(maxsize=AT_ONCE, retries=False)

    async def get(self, path: str, seconds: float) -> dict[str, Any]:
        """GET as JSON."""
        return await in_thread(lambda: self._exchange("GET", path, None, {}, seconds), seconds)

    async def send(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str], seconds: float
    ) -> dict[str, Any]:
        """Send JSON and return the JSON that comes back within `seconds`; `/path` is below the server, `path` below its API.

        Raises:
            NothingBoughtError: refused at the door (no connection, 429, 503); try again later.
            ModelUnavailableError, OutOfTimeError, OutOfBudgetError, ModelRefusedError, ModelAnswerError: as their names say.
        """
        sent = json.dumps(body, ensure_ascii=False).encode()
        return await in_thread(lambda: self._exchange(method, path, sent, headers, seconds), seconds)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> dict[str, Any]:
        if not self.url:
            raise ConfigurationError("no model is configured; set TORPOR_MODEL_URL, e.g. to http://127.0.0.1:8090/v1")
        import urllib3

        given = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        if self.key:
            given["Authorization"] = f"Bearer {self.key}"
        base = self.url.rstrip("/")
        where = f"{base.removesuffix('/v1')}{path}" if path.startswith("/") else f"{base}/{path}"
        limit = urllib3.Timeout(connect=min(CONNECT_S, seconds), read=seconds)
        try:
            reply = self._pool.request(method, where, body=body, headers=given, timeout=limit, redirect=False)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise NothingBoughtError(f"no model server at {self.url}: cannot connect", busy=False) from error
        except urllib3.exceptions.TimeoutError as error:
            raise OutOfTimeError(f"{where} gave no answer within {seconds:.1f} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise ModelUnavailableError(f"{where} broke the connection: {type(error).__name__}") from error
        except ValueError as error:  # a key or header that HTTP cannot carry; the message could repeat it
            raise ConfigurationError(f"cannot ask {where}: a header is not ASCII; look at TORPOR_MODEL_KEY") from error
        text = reply.data.decode("utf-8", "replace")
        if reply.status == 204:
            return {}
        if reply.status not in (200, 201):
            raise refusal(where, reply.status, self._without_key(text), reply.headers.get("Retry-After"))
        return _object(where, self._without_key(text))

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def refusal(where: str, status: int, text: str, after: str | None = None) -> InferenceError:
    """What an answer other than 200 means."""
    code, told = _told(text)
    said, wait = f"{where} answered {status}: {told}", float(after) if after and after.isdecimal() else None
    if code == "budget_exceeded":
        return OutOfBudgetError(told)
    if code == "backlog_full":
        return BacklogError(told, wait)
    if code == "not_in_time":
        return OutOfTimeError(told)
    if code == "call_key_conflict":
        return ChangedCallError(
            "the step asked the model something else here when it was tried before: a step that is tried again must ask the "
            "same in the same order. If its agent was changed meanwhile, `torpor redrive` lets it ask what it asks now"
        )
    if code == "insufficient_quota":
        return ModelRefusedError(f"{said}; the account is used up, waiting will not help")
    if status in (429, 503):
        return NothingBoughtError(said, busy=True, after=wait)
    if status in (408, 425) or status >= 500:
        return ModelUnavailableError(said)
    if status in (401, 403):
        return ModelRefusedError(f"{said}; set TORPOR_MODEL_KEY to a key that this server takes")
    if "context" in code or "context" in told.lower() or status == 413:
        shorter = "" if "shorter prompt" in told else "; send a shorter prompt, or serve the model with a larger context"
        return ModelRefusedError(f"{said}{shorter}")
    if status == 404 or "model_not_found" in code:
        mend = "the call's `model`, or else TORPOR_MODEL, must be one of GET /models, TORPOR_MODEL_URL the API's base"
        return UnknownModelError(f"{said}; {mend}")
    if status < 400:
        return ModelRefusedError(f"{said}; TORPOR_MODEL_URL must be the base URL itself, redirects are not followed")
    return ModelRefusedError(said)


def _told(text: str) -> tuple[str, str]:
    """Code and message of an error in OpenAI's format, or what can be shown of anything else."""
    try:
        error = json.loads(text)
        error = error.get("error", error)
        if isinstance(error, str):
            return "", error[:SHOWN]
        codes = f"{error.get('code') or ''} {error.get('type') or ''}".split()
        return next((c for c in codes if not c.isdecimal()), ""), str(error.get("message") or error)[:SHOWN]
    except (ValueError, AttributeError, RecursionError):
        return "", shown(text)


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "; TORPOR_MODEL_URL must be the base URL of an OpenAI-compatible API" if text.lstrip().startswith("<") else ""
        raise ModelAnswerError(f"{where} answered no JSON but {shown(text)}{hint}") from error
    if not isinstance(found, dict):
        raise ModelAnswerError(f"{where} answered JSON that is no object: {shown(text)}")
    return found


def shown(text: str) -> str:
    """The beginning of a text, on one line, for an error."""
    if not text.strip():
        return "nothing"
    return repr(text[:SHOWN]) + ("..." if len(text) > SHOWN else "")


async def in_thread(work: Callable[[], T], seconds: float) -> T:
    """Run blocking work on a daemon thread of its own: no call waits for a thread, and none delays the exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as caught:
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="model-call", daemon=True).start()
    try:
        return await asyncio.wait_for(done, seconds + 0.5)
    except TimeoutError as error:  # a server that drips its answer keeps every single read short
        raise OutOfTimeError(f"the model gave no whole answer within {seconds:.1f} s") from error
