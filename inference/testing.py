"""Fakes for tests, benchmarks and demonstrations: a model that is a function, and an HTTP server that is a script.

FakeModel(["a text", {"questions": ["..."]}, ModelUnavailableError("down")])     # what ctx.llm is, without HTTP
with FakeServer() as server:                                                     # OpenAI's API, over real HTTP
    server.script += [Scripted(status=429), Scripted(text="a text", delay_s=0.1)]
python -m inference.testing --port 8090 --tokens-per-second 80 --slots 4         # the same as a process
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from inference.answers import estimate, messages, tokens_of
from inference.client import Usage
from inference.examples import WORDS, example

T = TypeVar("T", bound=BaseModel)
NAME = "fake-model"


@dataclass(frozen=True)
class Asked:
    """A call that a FakeModel got."""

    prompt: str
    system: str
    shape: type[BaseModel] | None
    max_tokens: int


class FakeModel:
    """What `ctx.llm` is, answering from a function of the call or from a list; an exception in either is raised.

    Without either it says a fixed text, or an object made from the schema.
    """

    def __init__(self, answers: Callable[[Asked], Any] | Iterable[Any] | None = None, *, name: str = NAME) -> None:
        self.usage, self.name, self.calls = Usage(), name, list[Asked]()
        self._function = answers if callable(answers) else None
        self._script = None if answers is None or callable(answers) else iter(answers)

    async def text(self, prompt: str, *, system: str = "", max_tokens: int = 256, temperature: float = 0.0) -> str:
        """The next answer as text."""
        return str(self._next(Asked(prompt, system, None, max_tokens), WORDS.strip()))

    async def answer(
        self, shape: type[T], prompt: str, *, system: str = "", max_tokens: int = 256, temperature: float = 0.0
    ) -> T:
        """The next answer as an object: scripted as an instance, a mapping or JSON text."""
        found = self._next(Asked(prompt, system, shape, max_tokens), example(shape.model_json_schema()))
        if isinstance(found, shape):
            return found
        return shape.model_validate_json(found if isinstance(found, str) else json.dumps(found, default=str))

    def _next(self, asked: Asked, otherwise: Any) -> Any:
        self.calls.append(asked)
        found = otherwise
        if self._function:
            found = self._function(asked)
        elif self._script:
            found = next(self._script, AssertionError(f"the script has {len(self.calls) - 1} answers; asked for one more"))
        if isinstance(found, BaseException):
            raise found
        self.usage.calls += 1
        self.usage.prompt_tokens += estimate(messages(asked.system, asked.prompt))
        self.usage.completion_tokens += tokens_of(found.model_dump_json() if isinstance(found, BaseModel) else str(found))
        return found


@dataclass(frozen=True)
class Scripted:
    """How the server treats one call; the default is a sound answer."""

    text: str | None = None
    status: int = 200
    delay_s: float = 0.0
    body: str | None = None  # sent as it is, whatever it is
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    usage: Any = "honest"  # or what to send instead; None leaves it out
    drop: bool = False  # close the connection in the middle of the answer


@dataclass(frozen=True)
class Call:
    """A chat completion that the server was asked for, and the status it was answered with."""

    key: str
    request: str
    deadline: str
    traceparent: str
    authorized: bool
    model: str
    prompt: str
    schema: str | None
    status: int


class FakeServer:
    """An OpenAI-compatible server on a thread; `script` is used up first, then `otherwise` holds for every call."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, tokens_per_second: float = 0.0, slots: int = 0, context: int = 4096
    ) -> None:
        self.script: deque[Scripted] = deque()
        self.otherwise = Scripted()
        self.calls: list[Call] = []
        self.record: Path | None = None  # a file that outlives a kill: one line of JSON per call
        self.tokens_per_second, self.context, self.name = tokens_per_second, context, NAME
        self.slots = threading.BoundedSemaphore(slots or 10_000)
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._http = _Http((host, port), type("Handler", (_Handler,), {"fake": self}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def generations(self) -> dict[str, int]:
        """How often each call key was answered with a generation: what a key costs."""
        counted: dict[str, int] = {}
        for call in self.calls:
            if call.status == 200:
                counted[call.key] = counted.get(call.key, 0) + 1
        return counted

    def handle(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> Scripted:
        """Decide, record and delay the answer to one chat completion."""
        with self._lock:
            refused = self._refusal(body)
            chosen = refused or (self.script.popleft() if self.script else self.otherwise)
            self._remember(headers, body, chosen.status)
        with self.slots:
            answer = chosen if chosen.body is not None or chosen.status != 200 else self._completion(chosen, body)
            self._stopping.wait(chosen.delay_s + self._generation_s(answer))
        return answer

    def _refusal(self, body: Mapping[str, Any]) -> Scripted | None:
        if body.get("stream"):
            return _error(400, "invalid_request_error", "this fake does not stream")
        if body.get("model") != self.name:
            return _error(404, "model_not_found", f"The model `{body.get('model')}` does not exist; served: {self.name}")
        if (size := estimate(body["messages"])) > self.context:
            return _error(400, "exceed_context_size_error", f"request ({size} tokens) exceeds the context of {self.context}")
        return None

    def _remember(self, headers: Mapping[str, str], body: Mapping[str, Any], status: int) -> None:
        call = Call(
            key=headers.get("Torpor-Call") or "",
            request=headers.get("Torpor-Request") or "",
            deadline=headers.get("Torpor-Deadline") or "",
            traceparent=headers.get("traceparent") or "",
            authorized="Authorization" in headers,
            model=str(body.get("model")),
            prompt=str(body["messages"][-1]["content"]),
            schema=((body.get("response_format") or {}).get("json_schema") or {}).get("name"),
            status=status,
        )
        self.calls.append(call)
        if self.record:
            with self.record.open("a") as file:
                file.write(json.dumps(asdict(call)) + "\n")

    def _completion(self, chosen: Scripted, body: Mapping[str, Any]) -> Scripted:
        schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
        text = chosen.text
        if text is None:
            text = json.dumps(example(schema)) if schema else (WORDS * 9)[: 3 * int(body.get("max_tokens") or 64)].strip()
        prompt, completion = estimate(body["messages"]), tokens_of(text)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": chosen.finish_reason}
        sent: dict[str, Any] = {"id": "chatcmpl-fake", "object": "chat.completion", "model": self.name, "choices": [choice]}
        honest = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        if chosen.usage is not None:
            sent["usage"] = honest if chosen.usage == "honest" else chosen.usage
        return Scripted(text=text, body=json.dumps(sent), drop=chosen.drop)

    def _generation_s(self, answer: Scripted) -> float:
        return tokens_of(answer.text or "") / self.tokens_per_second if self.tokens_per_second else 0.0


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one segment

    def do_GET(self) -> None:
        known: dict[str, Any] = {
            "/health": {"status": "ok"},
            "/v1/models": {"object": "list", "data": [{"id": self.fake.name, "object": "model", "owned_by": "torpor"}]},
            "/calls": {"calls": [asdict(call) for call in self.fake.calls], "generations": self.fake.generations()},
        }
        found = known.get(self.path)
        self._send(Scripted(body=json.dumps(found)) if found else _error(404, "not_found", f"no {self.path}"))

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/v1/chat/completions":
            self._send(_error(404, "not_found", f"no {self.path}"))
            return
        try:
            body = json.loads(sent)
            answer = self.fake.handle(self.headers, body)  # type: ignore[arg-type]
        except (ValueError, LookupError, TypeError) as error:
            answer = _error(400, "invalid_request_error", f"no chat completion request: {error!r}")
        self._send(answer)

    def _send(self, answer: Scripted) -> None:
        body = (_error(answer.status, "scripted", "as the script says").body if answer.body is None else answer.body) or ""
        data = body.encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.content_type, "Content-Length": str(len(data)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if answer.drop else data)
        self.close_connection = self.close_connection or answer.drop

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: what was asked is in `calls`."""


def _error(status: int, code: str, message: str) -> Scripted:
    return Scripted(status=status, body=json.dumps({"error": {"message": message, "type": code, "code": code}}))


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m inference.testing", description="A model server that only pretends.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--tokens-per-second", type=float, default=0.0, help="of one call; 0 answers at once")
    parser.add_argument("--slots", type=int, default=0, help="calls at once, the others wait; 0 is no limit")
    parser.add_argument("--record", type=Path, help="append each call to this file, as JSON lines")
    given = parser.parse_args(arguments)
    try:
        made = FakeServer(host=given.host, port=given.port, tokens_per_second=given.tokens_per_second, slots=given.slots)
    except OSError as error:
        print(f"cannot listen on {given.host}:{given.port}: {error.strerror}; name a free port by --port", file=sys.stderr)
        return 2
    with made as server:
        server.record = given.record
        print(f"fake model server: {server.url}", file=sys.stderr, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
