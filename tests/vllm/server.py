"""A real vLLM on this machine's CPUs, in an environment and a process group of its own."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from eventing.local.asking import ask, healthy

ENVIRONMENT = Path(__file__).parents[2] / ".venv-vllm"
PYTHON = ENVIRONMENT / "bin" / "python"
CONVERSION = Path(__file__).with_name("conversion.py")
MODEL = "smollm2-135m-instruct"
CONTEXT = 1024
SLOTS = 4
STARTS_IN_S = 600  # 60 to 100 s on two idle cores
DRAINS_IN_S = 60
FLAGS = [
    *f"--host 127.0.0.1 --dtype bfloat16 --enforce-eager --max-model-len {CONTEXT} --max-num-seqs {SLOTS}".split(),
    *f"--shutdown-timeout {DRAINS_IN_S}".split(),
    # a small model that may put white space between two words of JSON puts it there until its tokens are used up
    *("--structured-outputs-config", '{"backend": "guidance", "disable_any_whitespace": true}'),
]
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


def converted(gguf: Path) -> Path:
    """The model as vLLM takes it; made once for every version of the conversion."""
    assert PYTHON.exists(), f"{PYTHON} is missing: `make test-vllm` installs vLLM there"
    version = hashlib.sha256(CONVERSION.read_bytes()).hexdigest()[:12]
    folder = ENVIRONMENT / "models" / f"{gguf.stem}-{version}"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        subprocess.run([PYTHON, CONVERSION, gguf, folder], check=True)
    return folder


class VllmServer:
    """Serves one model on one port; survives `kill` as a pod does: by `restart`."""

    def __init__(self, model: Path, port: int, log: Path) -> None:
        self.model, self.port, self.log = model, port, log
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", self.model, "--served-model-name", MODEL]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port), *FLAGS],
                env={**os.environ, **SETTINGS}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + STARTS_IN_S
        while not self.healthy():
            assert self.running, f"vLLM ended with {self._process.returncode}: {self._said()}"
            assert time.monotonic() < until, f"vLLM was not ready in {STARTS_IN_S} s: {self._said()}"
            time.sleep(0.5)

    def healthy(self) -> bool:
        return healthy(self.port, limit_s=5)

    def kill(self) -> None:
        """All its processes at once, as when a pod's memory or node goes away."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def told_to_stop(self) -> None:
        """What a kubelet does first; returns at once."""
        os.kill(self.pid, signal.SIGTERM)

    def restart(self) -> None:
        """Again on the same port; returns once it answers."""
        if self.running:
            self.stop()
        self.start()

    def processes(self) -> list[int]:
        """Pids of vLLM's own process and all that it started."""
        listed = subprocess.run(["ps", "-e", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines()]
        return [int(pid) for pid, group, state in rows if int(group) == self.pid and not state.startswith("Z")]

    def metric(self, name: str, **labels: str) -> float:
        """A gauge or counter of vLLM's own, summed over the series that carry the labels."""
        series = [(found, value) for found, value in self._series(name) if labels.items() <= found.items()]
        assert series, f"vLLM shows no {name}"
        return sum(float(value) for _, value in series)

    def info(self, name: str) -> dict[str, str]:
        """The labels of an info metric."""
        return next(labels for labels, _ in self._series(name))

    def _series(self, name: str) -> Iterator[tuple[dict[str, str], str]]:
        text = ask(f"{self.root}/metrics", limit_s=120).data.decode()
        for labels, value in re.findall(rf"^{re.escape(name)}{{(.*)}} (\S+)$", text, re.MULTILINE):
            yield dict(re.findall(r'(\w+)="([^"]*)"', labels)), value

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one call; `path` starts at the server's root."""
        reply = ask(f"{self.root}{path}", 120, "POST", json=body)
        return reply.status, json.loads(reply.data)

    @contextmanager
    def streamed(self, body: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
        """The chunks of a streamed chat, up to [DONE]; leaving early closes the connection, as a client does that goes away."""
        pool = urllib3.PoolManager(retries=False, timeout=120)
        reply = pool.request("POST", f"{self.url}/chat/completions", json={**body, "stream": True}, preload_content=False)
        assert reply.status == 200, reply.data
        try:
            yield _chunks(reply)
        finally:
            reply.close()
            pool.clear()

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self.processes():
            os.killpg(self.pid, number)
        try:
            self._process.wait(DRAINS_IN_S + 30)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def _chunks(reply: urllib3.BaseHTTPResponse) -> Iterator[dict[str, Any]]:
    for line in reply:  # by lines
        data = line.decode().strip().removeprefix("data: ")
        if data == "[DONE]":
            return
        if data:
            yield json.loads(data)
    raise AssertionError("the stream ended without [DONE]")
