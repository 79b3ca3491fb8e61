"""An HTTP server that pretends to be a model server: OpenAI's API, streamed or not, as a script says."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from inference.answers import BYTES_PER_TOKEN, estimate, tokens_of
from inference.examples import WORDS, example
from inference.testing.model import NAME


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
    hang: bool = False  # fall silent in the middle of a stream


@dataclass
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
    prefix: str = ""  # what it was shown of its own answer
    tokens: int = 0  # said so far
    aborted: bool = False  # its caller went away in the middle


class FakeServer:
    """An OpenAI-compatible server on a thread; `script` is used up first, then `otherwise` holds for every call.

    Its answer depends on the prompt alone, and it goes on with an assistant's message that comes last, as real ones do.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, tokens_per_second: float = 0.0, slots: int = 0, context: int = 4096
    ) -> None:
        self.script: deque[Scripted] = deque()
        self.otherwise = Scripted()
        self.calls: list[Call] = []
        self.record: Path | None = None  # a file that outlives a kill: one line of JSON per call
        self.tokens_per_second, self.context, self.name = tokens_per_second, context, NAME
        self.slots, self.most = threading.BoundedSemaphore(slots or 10_000), 0
        self.running = self.waiting = 0
        self.dead = False
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._http = _Http((host, port), type("Handler", (_Handler,), {"fake": self}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.dead:
            self.die()

    def die(self) -> None:
        """Break every connection and take none, as a killed process does."""
        self._stopping.set()
        self.dead = True
        self._http.shutdown()
        self._http.server_close()

    def generations(self) -> dict[str, int]:
        """How often each call key was answered with a generation: what a key costs."""
        counted: dict[str, int] = {}
        for call in self.calls:
            if call.status == 200:
                counted[call.key] = counted.get(call.key, 0) + 1
        return counted

    def metrics(self) -> str:
        """Its queue, in vLLM's words."""
        told = {"num_requests_running": self.running, "num_requests_waiting": self.waiting, "kv_cache_usage_perc": 0.1}
        return "".join(f'vllm:{name}{{model_name="{self.name}"}} {value}\n' for name, value in told.items())

    def decide(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[Scripted, Call]:
        """How one chat completion is treated; it is recorded."""
        with self._lock:
            refused = self._refusal(body)
            chosen = refused or (self.script.popleft() if self.script else self.otherwise)
            call = self._remember(headers, body, chosen.status)
        if chosen.body is None and chosen.status == 200:
            chosen = replace(chosen, text=self._text(chosen, body, call))
        return chosen, call

    def pieces(self, chosen: Scripted, call: Call) -> Iterator[str]:
        """The answer's text, a token at a time, at the server's pace, once one of its slots is free."""
        text = (chosen.text or "")[len(call.prefix) :]
        self.waiting += 1
        with self.slots:
            with self._lock:
                self.waiting -= 1
                self.running += 1
                self.most = max(self.most, self.running)
            try:
                self._stopping.wait(chosen.delay_s)
                for start in range(0, len(text), BYTES_PER_TOKEN):
                    self._pause()
                    if self.dead:
                        raise BrokenPipeError
                    call.tokens += 1
                    yield text[start : start + BYTES_PER_TOKEN]
            finally:
                with self._lock:
                    self.running -= 1

    def hang(self, gone: Callable[[], bool]) -> None:
        """Wait until the caller went away, or the server stops."""
        while not gone() and not self._stopping.wait(0.05):
            pass
        raise BrokenPipeError

    def _pause(self) -> None:
        if self.tokens_per_second:
            self._stopping.wait(1 / self.tokens_per_second)

    def _refusal(self, body: Mapping[str, Any]) -> Scripted | None:
        if body.get("model") != self.name:
            return _error(404, "model_not_found", f"The model `{body.get('model')}` does not exist; served: {self.name}")
        if (size := estimate(body["messages"])) > self.context:
            return _error(400, "exceed_context_size_error", f"request ({size} tokens) exceeds the context of {self.context}")
        return None

    def _remember(self, headers: Mapping[str, str], body: Mapping[str, Any], status: int) -> Call:
        last = body["messages"][-1]
        call = Call(
            key=headers.get("Torpor-Call") or headers.get("X-Request-Id") or "",
            request=headers.get("Torpor-Request") or "",
            deadline=headers.get("Torpor-Deadline") or "",
            traceparent=headers.get("traceparent") or "",
            authorized="Authorization" in headers,
            model=str(body.get("model")),
            prompt=str(last["content"]),
            schema=((body.get("response_format") or {}).get("json_schema") or {}).get("name"),
            status=status,
            prefix=str(last["content"]) if last.get("role") == "assistant" else "",
        )
        self.calls.append(call)
        if self.record:
            with self.record.open("a") as file:
                file.write(json.dumps(asdict(call)) + "\n")
        return call

    def _text(self, chosen: Scripted, body: Mapping[str, Any], call: Call) -> str:
        schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
        if chosen.text is not None:
            return chosen.text
        most = BYTES_PER_TOKEN * int(body.get("max_tokens") or 64) + len(call.prefix)
        return json.dumps(example(schema)) if schema else (WORDS * (1 + most // len(WORDS)))[:most].strip()


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
        if self.path == "/metrics":
            self._send(Scripted(body=self.fake.metrics(), content_type="text/plain"))
        else:
            self._send(Scripted(body=json.dumps(found)) if found else _error(404, "not_found", f"no {self.path}"))

    def do_PUT(self) -> None:
        """`PUT /otherwise` with the fields of a Scripted: how every call is treated from now on."""
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.path != "/otherwise":
                raise LookupError(f"no {self.path}")
            self.fake.otherwise = Scripted(**json.loads(sent))
        except (ValueError, LookupError, TypeError) as error:
            self._send(_error(400, "invalid_request_error", str(error)))
            return
        self._send(Scripted(body=json.dumps(asdict(self.fake.otherwise))))

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/v1/chat/completions":
            self._send(_error(404, "not_found", f"no {self.path}"))
            return
        try:
            body = json.loads(sent)
            chosen, call = self.fake.decide(self.headers, body)  # type: ignore[arg-type]
            asked = estimate(body["messages"])
        except (ValueError, LookupError, TypeError) as error:
            self._send(_error(400, "invalid_request_error", f"no chat completion request: {error!r}"))
            return
        if chosen.body is not None or chosen.status != 200:
            time.sleep(chosen.delay_s)
            self._send(chosen)
        elif body.get("stream"):
            self._stream(chosen, call, asked)
        else:
            self._send(self._completion(chosen, "".join(self.fake.pieces(chosen, call)), asked))

    def _completion(self, chosen: Scripted, text: str, asked: int) -> Scripted:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": chosen.finish_reason}
        sent = {"id": "chatcmpl-fake", "object": "chat.completion", "model": self.fake.name, "choices": [choice]}
        return replace(chosen, body=json.dumps({**sent, **_usage(chosen, asked, tokens_of(text))}))

    def _stream(self, chosen: Scripted, call: Call, asked: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        half, said = tokens_of(chosen.text or "") // 2, 0
        try:
            self._event({"delta": {"role": "assistant", "content": ""}})
            for piece in self.fake.pieces(chosen, call):
                if chosen.drop and said >= half:
                    return
                if chosen.hang and said >= half:
                    self.fake.hang(self._caller_is_gone)
                self._event({"delta": {"content": piece}})
                said += 1
            self._event({"delta": {}, "finish_reason": chosen.finish_reason})
            if usage := _usage(chosen, asked, said):
                self._event(None, usage)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            call.aborted = True

    def _caller_is_gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _event(self, choice: Mapping[str, Any] | None, more: Mapping[str, Any] | None = None) -> None:
        choices = [{"index": 0, "finish_reason": None, **choice}] if choice else []
        kind = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "model": self.fake.name}
        self.wfile.write(b"data: " + json.dumps({**kind, "choices": choices, **(more or {})}).encode() + b"\n\n")
        self.wfile.flush()

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


def _usage(chosen: Scripted, asked: int, said: int) -> dict[str, Any]:
    honest = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    return {} if chosen.usage is None else {"usage": honest if chosen.usage == "honest" else chosen.usage}


def _error(status: int, code: str, message: str) -> Scripted:
    return Scripted(status=status, body=json.dumps({"error": {"message": message, "type": code, "code": code}}))
