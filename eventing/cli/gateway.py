"""Speaking to the gateway as any other client would."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Iterator
from typing import Any

import urllib3

from eventing.cli import project
from eventing.cli.errors import CommandError, NotFoundError, NotRunningError
from eventing.harmless import plain

_HTTP = urllib3.PoolManager(retries=False)
MOST_MISSES = 30  # about a minute in which nobody answers
SILENT_S = 35.0  # that a stream may be: its heartbeat comes every ten


def call(
    method: str, url: str, body: Any = None, headers: dict[str, str] | None = None, time_limit_s: float = 60.0
) -> bytes:
    """The answer's body.

    Raises:
        NotRunningError: when nobody answers at that address.
        NotFoundError: when it knows no such thing.
        CommandError: with the problem that was answered.
    """
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    content_type = {} if data is None else {"Content-Type": "application/json"}
    try:
        answer = _HTTP.request(method, url, body=data, headers={**content_type, **(headers or {})}, timeout=time_limit_s)
    except urllib3.exceptions.HTTPError as error:
        named = (given := project.elsewhere()) and url.startswith(given.rstrip("/"))
        mend = "TORPOR_URL names it" if named else "start the platform with `torpor up`"
        raise NotRunningError(f"nobody answers at {url}: {mend} ({type(error).__name__})") from error
    if answer.status >= 400:
        kind = NotFoundError if answer.status == 404 else CommandError
        raise kind(f"{url} answered {answer.status}: {problem(answer.data)}")
    return answer.data


def problem(body: bytes) -> str:
    """What a problem+json body says, in a sentence."""
    try:
        content = json.loads(body)
        if told := content.get("detail") or content.get("title"):
            return str(told)
    except (ValueError, AttributeError):
        pass
    return plain(body[:300].decode("utf-8", "replace")) or "nothing"


def events(url: str, time_limit_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as (event, data); a stream that breaks is taken up again where it was.

    Raises:
        NotRunningError: when the gateway stays away.
        CommandError: when there was no news for `time_limit_s`.
    """
    last, misses, news = "", 0, time.monotonic()
    limits = urllib3.Timeout(connect=10.0, read=min(SILENT_S, time_limit_s))
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        try:
            answer = _HTTP.request("GET", url, headers=headers, preload_content=False, timeout=limits)
            if answer.status >= 500 and misses < MOST_MISSES:
                raise urllib3.exceptions.HTTPError(f"status {answer.status}")  # it is being started again
            if answer.status >= 400:
                raise CommandError(f"{url} answered {answer.status}: {problem(answer.read())}")
            for fields in _messages(answer):
                misses = 0
                if "data" not in fields:  # a heartbeat
                    _go_on(news, time_limit_s)
                    continue
                news = time.monotonic()
                last = fields.get("id", last)
                yield fields.get("event", "message"), json.loads(fields["data"])
                if fields.get("event") == "end":
                    return
        except urllib3.exceptions.HTTPError as error:
            misses += 1
            if misses > MOST_MISSES:
                raise NotRunningError(f"{url} does not answer any more ({type(error).__name__})") from error
        _go_on(news, time_limit_s)
        time.sleep(min(0.2 * (misses + 1), 2.0))


def _go_on(news: float, time_limit_s: float) -> None:
    if time.monotonic() - news > time_limit_s:
        raise CommandError(
            f"no news for {time_limit_s:g} s; the request goes on: see `torpor trail`, or wait longer (--wait)"
        )


def _messages(answer: urllib3.BaseHTTPResponse) -> Iterator[dict[str, str]]:
    """The fields of each block, none for one of comments alone."""
    buffer, decoded = "", codecs.getincrementaldecoder("utf-8")("replace")
    for chunk in answer.stream(amt=None):
        buffer += decoded.decode(chunk)
        while "\n\n" in buffer:
            block, buffer = buffer.split("\n\n", 1)
            yield dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
