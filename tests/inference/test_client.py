"""The client against a server that misbehaves on purpose, over real HTTP."""

import asyncio
import json
import subprocess
import sys
import time

import pytest
from pydantic import BaseModel

from inference.client import Client, StepModel, from_environment, pause_after
from inference.errors import (
    ChangedCallError,
    ConfigurationError,
    InferenceError,
    ModelAnswerError,
    ModelRefusedError,
    ModelUnavailableError,
    OutOfBudgetError,
    OutOfTimeError,
)
from inference.testing import FakeServer, Scripted
from tests.inference.conftest import REQUEST, STEP, free_port, step_of

GOOD = '{"names": ["a"], "count": 1}'


class Names(BaseModel):
    names: list[str]
    count: int


@pytest.fixture
def llm(server: FakeServer) -> StepModel:
    return step_of(Client(server.url))


async def test_every_call_carries_its_key_and_what_the_step_came_with(server: FakeServer, llm: StepModel) -> None:
    server.script += [Scripted(), Scripted(text="no JSON"), Scripted(text=GOOD)]
    await llm.text("first")
    await llm.answer(Names, "second")
    assert [call.key for call in server.calls] == [f"{STEP}#1.0", f"{STEP}#2.0", f"{STEP}#2.1"]
    assert {call.request for call in server.calls} == {REQUEST}
    assert {call.traceparent for call in server.calls} == {"00-a-b-01"}
    assert all(call.deadline for call in server.calls)
    assert [call.schema for call in server.calls] == [None, "Names", "Names"]


async def test_a_call_may_name_another_model(server: FakeServer, llm: StepModel) -> None:
    server.script += [Scripted()]
    with pytest.raises(ModelRefusedError, match="`judge` does not exist"):
        await llm.answer(Names, "first", model="judge")
    await llm.text("second")
    assert llm.name == "fake-model"


async def test_a_call_with_the_wrong_arguments_is_told_what_it_takes(server: FakeServer, llm: StepModel) -> None:
    for shape in ("names?", dict, Names(names=[], count=0)):
        with pytest.raises(
            TypeError, match=r"call it as answer\(Shape, prompt\), where Shape is a class .*; got (a|the class) "
        ):
            await llm.answer(shape, "names?")  # type: ignore[type-var]
    with pytest.raises(TypeError, match="the prompt must be a str, got the class Names"):
        await llm.text(Names)  # type: ignore[arg-type]
    assert not server.calls


async def test_calls_at_once_get_the_same_keys_in_every_run(server: FakeServer) -> None:
    for _ in range(2):
        llm = step_of(Client(server.url))
        await asyncio.gather(*(llm.text(f"prompt {n}") for n in range(8)))
    keys = {call.key: call.prompt for call in server.calls}
    assert keys == {f"{STEP}#{n + 1}.0": f"prompt {n}" for n in range(8)}
    assert set(server.generations().values()) == {2}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Scripted(text="I would rather not."), "no JSON"),
        (Scripted(text='{"names": "a"}'), "names: .*count"),
        (Scripted(text='{"names": ["a', finish_reason="length"), "cut off at max_tokens=64"),
    ],
)
async def test_a_wrong_shape_is_repaired_once_and_the_model_sees_why(
    server: FakeServer, llm: StepModel, wrong: Scripted, why: str
) -> None:
    server.script += [wrong, Scripted(text=f"```json\n{GOOD}\n```")]
    assert await llm.answer(Names, "names?", max_tokens=64) == Names(names=["a"], count=1)
    assert "That answer is wrong" in server.calls[1].prompt
    server.script += [wrong, wrong]
    with pytest.raises(ModelAnswerError, match=f"gave no Names, asked twice: .*{why}") as caught:
        await llm.answer(Names, "names?", max_tokens=64)
    assert (caught.value.retry, caught.value.status) == (True, 500)
    assert llm.usage.calls == 4


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_asked_again_and_nothing_is_bought_twice(
    server: FakeServer, llm: StepModel, status: int
) -> None:
    server.script += [Scripted(status=status), Scripted(status=status)]
    assert await llm.text("hello")
    assert [call.status for call in server.calls] == [status, status, 200]
    assert llm.usage.calls == 1


async def test_a_busy_server_is_waited_for_until_the_steps_time_is_over(server: FakeServer) -> None:
    server.otherwise = Scripted(status=429)
    llm = step_of(Client(server.url), limit_s=1.5)
    started = time.monotonic()
    with pytest.raises(OutOfTimeError, match=r"asked .* times.*429") as caught:
        await llm.text("hello")
    assert time.monotonic() - started <= 1.5
    assert (caught.value.retry, caught.value.status, llm.usage.tokens) == (True, 503, 0)


async def test_a_server_that_starts_late_is_found(server: FakeServer) -> None:
    port = free_port()
    answer = asyncio.create_task(step_of(Client(f"http://127.0.0.1:{port}/v1")).text("hello"))
    await asyncio.sleep(0.5)
    with FakeServer(port=port):
        assert await answer


async def test_no_server_is_unavailable_after_a_bounded_number_of_tries() -> None:
    llm = step_of(Client(f"http://127.0.0.1:{free_port()}/v1", model="any"), limit_s=1.0)
    with pytest.raises(ModelUnavailableError, match="cannot connect"):
        await llm.text("hello")
    assert llm.usage.calls == 0


@pytest.mark.parametrize(
    ("how", "error", "told"),
    [
        (Scripted(status=500), ModelUnavailableError, "answered 500"),
        (Scripted(drop=True), ModelUnavailableError, "broke the connection"),
        (Scripted(body="<html>hello</html>", content_type="text/html"), ModelAnswerError, "no JSON but '<html>.*base URL"),
        (Scripted(body='{"choices": [{"mess'), ModelAnswerError, "no JSON"),
        (Scripted(body="[]"), ModelAnswerError, "no object"),
        (Scripted(body="[" * 100_000), ModelAnswerError, "no JSON"),
        (Scripted(body="{}"), ModelAnswerError, "no choices"),
        (Scripted(body='{"choices": []}'), ModelAnswerError, "no choices"),
        (Scripted(text=""), ModelAnswerError, "empty"),
        (Scripted(body='{"choices": [{"message": {"content": null, "refusal": "no"}}]}'), ModelAnswerError, "declined: no"),
        (Scripted(status=401), ModelRefusedError, "TORPOR_MODEL_KEY"),
        (Scripted(status=302, headers={"Location": "/login"}), ModelRefusedError, "redirects"),
        (Scripted(status=429, body='{"error": {"code": "insufficient_quota"}}'), ModelRefusedError, "used up"),
        (Scripted(status=400, body='{"detail": "no such parameter"}'), ModelRefusedError, "no such parameter"),
    ],
)
async def test_a_reply_that_is_no_answer_is_told_and_not_asked_for_again(
    server: FakeServer, llm: StepModel, how: Scripted, error: type[InferenceError], told: str
) -> None:
    server.script.append(how)
    with pytest.raises(error, match=told):
        await llm.text("hello")
    assert len(server.calls) == 1
    assert await llm.text("the next call works")


async def test_an_unknown_model_is_refused_by_name(server: FakeServer) -> None:
    with pytest.raises(ModelRefusedError, match=r"`gpt-9` does not exist.*TORPOR_MODEL"):
        await step_of(Client(server.url, model="gpt-9")).text("hello")


async def test_a_process_that_outlives_a_model_asks_for_the_one_that_is_served_now(server: FakeServer) -> None:
    client = Client(server.url)
    await step_of(client).text("hello")
    server.name = "its-successor"
    llm = step_of(client)
    await asyncio.gather(*(llm.text(f"hello {n}") for n in range(4)))
    assert llm.name == "its-successor"
    assert await step_of(client).served() == "its-successor"
    assert server.generations() == {f"{STEP}#{n}.0": 1 + (n == 1) for n in range(1, 5)}  # the first in both steps
    server.name = "gone"
    with pytest.raises(ModelRefusedError, match="`its-successor` does not exist"):
        await llm.text("named", model="its-successor")


async def test_a_server_that_hangs_is_left_in_time(server: FakeServer) -> None:
    server.script.append(Scripted(delay_s=20))
    llm = step_of(Client(server.url), limit_s=0.8)
    started = time.monotonic()
    with pytest.raises(OutOfTimeError):
        await llm.text("hello", max_tokens=100)
    assert time.monotonic() - started < 10  # not after the 20 s that the server takes


async def test_a_passed_deadline_buys_nothing(server: FakeServer) -> None:
    with pytest.raises(OutOfTimeError, match="over before"):
        await step_of(Client(server.url), deadline_s=-1).text("hello")
    assert not server.calls


async def test_what_the_scheduler_refuses_is_told_apart(server: FakeServer, llm: StepModel) -> None:
    def refused(status: int, code: str) -> Scripted:
        return Scripted(status=status, body=json.dumps({"error": {"message": "as the scheduler says", "code": code}}))

    for status, code, error, told in (
        (402, "budget_exceeded", OutOfBudgetError, "as the scheduler says"),
        (503, "not_in_time", OutOfTimeError, "as the scheduler says"),
        (409, "call_key_conflict", ChangedCallError, "must ask the same in the same order.*`torpor redrive`"),
        (502, "model_server_failed", ModelUnavailableError, "as the scheduler says"),
    ):
        server.script.append(refused(status, code))
        with pytest.raises(error, match=told):
            await llm.text("hello")
    assert len(server.calls) == 4  # none of them was asked for again
    assert llm.usage.refused == 1  # by the budget


async def test_what_an_answer_cost_is_added_up(server: FakeServer, llm: StepModel) -> None:
    told = {"torpor": {"cost": 0.25, "currency": "EUR", "estimated": True}}
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    choices = [{"message": {"content": "yes"}}]
    server.script += [Scripted(body=json.dumps({"choices": choices, "usage": usage, **told}))] * 2
    await llm.text("hello")
    await llm.text("hello")
    assert (llm.usage.cost, llm.usage.currency, llm.usage.tokens, llm.usage.estimated) == (0.5, "EUR", 24, True)


@pytest.mark.parametrize(
    "usage",
    [None, {}, "many", {"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": 10**9, "completion_tokens": 1}],
)
async def test_missing_or_impossible_usage_is_estimated(server: FakeServer, llm: StepModel, usage: object) -> None:
    server.script.append(Scripted(text="some words in an answer", usage=usage))
    await llm.text("hello there")
    assert llm.usage.estimated
    assert 5 <= llm.usage.completion_tokens <= 10
    assert 5 <= llm.usage.prompt_tokens <= 20


async def test_the_key_is_sent_and_shown_nowhere(server: FakeServer) -> None:
    client = from_environment({"TORPOR_MODEL_URL": server.url, "TORPOR_MODEL_KEY": "sk-secret"})
    llm = step_of(client)
    server.script.append(Scripted(status=400, body=json.dumps({"error": {"message": "bad key sk-secret"}})))
    with pytest.raises(ModelRefusedError, match=r"bad key \*\*\*"):
        await llm.text("hello")
    assert server.calls[0].authorized
    assert "sk-secret" not in f"{client!r} {client.transport!r} {llm!r} {vars(server.calls[0])}"
    with pytest.raises(ConfigurationError) as caught:
        await step_of(Client(server.url, model="any", key="sk-secr\n€t")).text("hello")
    assert "sk-secr" not in str(caught.value)


async def test_without_a_url_only_calls_fail() -> None:
    client = from_environment({})
    with pytest.raises(ConfigurationError, match="TORPOR_MODEL_URL"):
        await step_of(client).text("hello")


@pytest.mark.parametrize("url", ["localhost:8090", "ftp://somewhere/v1", "http://", "http://me:secret@host/v1"])
def test_a_url_that_cannot_be_right_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="TORPOR_MODEL_URL") as caught:
        from_environment({"TORPOR_MODEL_URL": url})
    assert "secret" not in str(caught.value)


def test_pauses_double_up_to_a_bound_and_heed_the_server() -> None:
    assert 0.1 < pause_after(1, None) <= 0.2
    assert 3 < pause_after(50, None) <= 5.0
    assert pause_after(1, 7.0) == 7.0


async def test_a_hundred_calls_wait_at_once(server: FakeServer) -> None:
    llm = step_of(Client(server.url))
    await llm.text("warm")
    server.otherwise = Scripted(delay_s=4.0)
    await asyncio.gather(*(llm.text("hello", max_tokens=20) for _ in range(100)))
    assert server.most == 100


def test_importing_the_client_loads_no_http_client() -> None:
    code = "import sys, inference.client; print([m for m in ('urllib3', 'http.client', 'xllamacpp') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
