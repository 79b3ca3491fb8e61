"""The embedded server says what is wrong before it starts, and ends when told, also in mid-generation."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path

from inference.client import Client
from inference.errors import InferenceError
from tests.inference.conftest import await_health, free_port, step_of


def refused(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "inference.embedded", *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    return done.stderr


def test_a_missing_file_is_named() -> None:
    assert "cannot read the model /nowhere.gguf: No such file" in refused("--model", "/nowhere.gguf")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>not found</html>")
    assert "is no model" in refused("--model", str(tmp_path / "page.gguf"))


def test_a_broken_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    assert "llama.cpp cannot serve" in refused("--model", str(tmp_path / "half.gguf"), "--port", str(free_port()))


def test_a_taken_port_is_named(gguf: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in refused("--model", str(gguf), "--port", port)


async def test_it_ends_when_told_in_the_middle_of_a_generation(gguf: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "inference.embedded", "--model", str(gguf), "--port", str(port), "--slots", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        await_health(port, process)
        said = await _ended_in_mid_generation(port, process)
    finally:
        process.kill()
    assert process.returncode == 0
    assert said.startswith("model server: smollm2-135m-instruct on http://127.0.0.1:")
    assert said.count("\n") == 1


async def _ended_in_mid_generation(port: int, process: "subprocess.Popen[str]") -> str:
    llm = step_of(Client(f"http://127.0.0.1:{port}/v1"))
    call = asyncio.create_task(llm.text("Write a long story about a river.", max_tokens=2000))
    await asyncio.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, said = await asyncio.to_thread(process.communicate, timeout=10)
    with contextlib.suppress(InferenceError):
        await call
    return said
