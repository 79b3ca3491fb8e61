"""What every model server must do for the client: the fake and the embedded model pass the same tests."""

import asyncio
import re
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from inference.client import Client
from inference.errors import ModelRefusedError
from tests.inference.conftest import step_of

Question = Annotated[str, Field(min_length=10, max_length=80)]
What = Annotated[str, Field(pattern=r"^What is [A-Za-z0-9 ,'-]{5,70}\?$")]
Risks = Annotated[str, Field(pattern=r"^What are the risks of [A-Za-z0-9 ,'-]{5,70}\?$")]


class Plan(BaseModel):
    questions: Annotated[list[Question], Field(min_length=2, max_length=2)]


class Aspects(BaseModel):
    first: What
    second: Risks


class Verdict(BaseModel):
    supported: bool
    certainty: Literal["low", "high"]


@pytest.fixture(params=["fake", "embedded"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.getfixturevalue(f"{request.param}_url"))


async def test_text_is_answered_and_its_tokens_are_counted(client: Client) -> None:
    llm = step_of(client)
    named = await llm.served()
    assert (named, llm.usage.calls) == (llm.name, 0)
    said = await llm.text("What is a queue? Answer in one sentence.", system="You are brief.", max_tokens=24)
    assert said
    assert llm.usage.calls == 1
    assert llm.usage.prompt_tokens > 5
    assert 0 < llm.usage.completion_tokens <= 24
    assert not llm.usage.estimated
    assert llm.name == named in ("fake-model", "smollm2-135m-instruct")


async def test_an_answer_has_the_shape_that_was_asked_for(client: Client) -> None:
    llm = step_of(client)
    plan = await llm.answer(Plan, "Write 2 different questions about electric cars.", max_tokens=120)
    assert len(plan.questions) == 2
    verdict = await llm.answer(Verdict, "Text: Cats sleep.\nClaim: Cats sleep.\nSupported?", max_tokens=40)
    assert verdict.certainty in ("low", "high")
    assert llm.usage.calls == 2


async def test_patterns_hold_an_answer_to_its_form(client: Client) -> None:
    found = await step_of(client).answer(Aspects, "Write 2 different questions about electric cars.", max_tokens=120)
    assert found.second.startswith("What are the risks of ")


async def test_temperature_zero_repeats_itself(client: Client) -> None:
    said = [await step_of(client).text("Name a colour.", max_tokens=12) for _ in range(2)]
    assert said[0] == said[1]


async def test_more_calls_than_slots_are_all_answered(client: Client) -> None:
    llm = step_of(client)
    said = await asyncio.gather(*(llm.text(f"Say the number {n}.", max_tokens=6) for n in range(5)))
    assert all(said)
    assert llm.usage.calls == 5


async def test_a_prompt_longer_than_the_context_is_refused_with_both_sizes(client: Client) -> None:
    with pytest.raises(ModelRefusedError, match=r"1024.*shorter prompt") as refused:
        await step_of(client).text("word " * 1500, max_tokens=5)
    assert any(int(size) > 1024 for size in re.findall(r"\b\d{4}\b", str(refused.value)))


async def test_a_path_that_is_no_api_is_refused(client: Client) -> None:
    wrong = Client(client.url.replace("/v1", "/elsewhere"), model="any")
    with pytest.raises(ModelRefusedError, match=r"404.*TORPOR_MODEL_URL"):
        await step_of(wrong).text("Hello")
