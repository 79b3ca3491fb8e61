"""The fakes keep their promises."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

import schemas
from eventing.local.asking import ask
from inference.client import Client
from inference.errors import InferenceError, ModelUnavailableError
from inference.examples import example
from inference.testing import Asked, FakeModel, FakeServer, Scripted
from tests.inference.conftest import await_health, free_port, step_of


class Plan(BaseModel):
    questions: list[str] = Field(min_length=2)


async def test_a_script_is_answered_in_order_then_is_over() -> None:
    llm = FakeModel(["text", {"questions": ["a", "b"]}, Plan(questions=["c", "d"]), ModelUnavailableError("down")])
    assert await llm.text("one") == "text"
    assert (await llm.answer(Plan, "two")).questions == ["a", "b"]
    assert (await llm.answer(Plan, "three")).questions == ["c", "d"]
    with pytest.raises(ModelUnavailableError):
        await llm.text("four")
    with pytest.raises(AssertionError, match="4 answers"):
        await llm.text("five")
    assert [call.prompt for call in llm.calls] == ["one", "two", "three", "four", "five"]
    assert llm.usage.calls == 3


async def test_a_function_sees_the_call() -> None:
    def answers(asked: Asked) -> Any:
        return {"questions": [asked.prompt] * 2} if asked.shape is Plan else asked.system

    llm = FakeModel(answers)
    assert (await llm.answer(Plan, "why")).questions == ["why", "why"]
    assert await llm.text("why", system="because") == "because"


async def test_without_a_script_an_object_of_the_shape_comes() -> None:
    assert len((await FakeModel().answer(Plan, "two")).questions) == 2


@pytest.mark.parametrize("contract", [getattr(schemas, name) for name in schemas.__all__])
def test_examples_satisfy_every_contract(contract: Any) -> None:
    if isinstance(contract, type) and issubclass(contract, BaseModel):
        contract.model_validate_json(json.dumps(example(contract.model_json_schema())))


def _put(port: int, path: str, sent: dict[str, Any]) -> int:
    return ask(f"http://127.0.0.1:{port}{path}", method="PUT", json=sent).status


async def test_a_call_that_hangs_frees_its_slot_when_its_caller_goes_away() -> None:
    asked = {"model": "fake-model", "messages": [{"role": "user", "content": "Why?"}], "stream": True}
    with FakeServer(slots=1) as server:
        server.script.append(Scripted(text="this is said until half of it is out", hang=True))
        url = f"{server.url}/chat/completions"
        hung = urllib.request.urlopen(urllib.request.Request(url, json.dumps(asked).encode()), timeout=60)
        assert any(b'"content": "t' in line for line in hung)
        hung.close()
        answer = ask(url, 60, "POST", json=asked)
        assert b"[DONE]" in answer.data and server.calls[0].aborted


async def test_as_a_process_it_answers_and_records(tmp_path: Path) -> None:
    port, record = free_port(), tmp_path / "calls"
    command = [sys.executable, "-m", "inference.testing", "--port", str(port), "--tokens-per-second", "500"]
    process = subprocess.Popen([*command, "--slots", "2", "--record", str(record)], stderr=subprocess.PIPE)
    try:
        await_health(port, process)
        llm = step_of(Client(f"http://127.0.0.1:{port}/v1"))
        assert await llm.text("hello", max_tokens=20)
        assert json.loads(record.read_text())["key"].endswith("#1.0")
        assert _put(port, "/otherwise", {"status": 418}) == 200
        assert _put(port, "/otherwise", {"no": "such field"}) == _put(port, "/elsewhere", {}) == 400
        with pytest.raises(InferenceError):
            await llm.text("again")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
