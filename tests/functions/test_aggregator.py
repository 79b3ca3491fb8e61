"""The parts of a request are joined in their order, whichever came first."""

from itertools import permutations

from eventing.testing import context
from functions.aggregator.agent import handle
from inference.testing import FakeModel
from schemas import PartAbandoned, ResearchResult, StepState, ValidationPassed
from tests.functions.conftest import summary


def parts():
    one, three = (ValidationPassed(**dict(summary("It is so.", part=n, of=3))) for n in (1, 3))
    return [one, PartAbandoned(**dict(summary(part=2, of=3)), reason="nothing was found"), three]


async def test_any_order_gives_the_same_result():
    found = {(await handle(order, context(FakeModel([])))).model_dump_json() for order in permutations(parts())}
    assert len(found) == 1
    result = ResearchResult.model_validate_json(found.pop())
    assert [part.part for part in result.parts] == [1, 2, 3]
    assert [type(part).__name__ for part in result.parts] == ["ValidationPassed", "PartAbandoned", "ValidationPassed"]


async def test_the_result_says_what_was_done_and_what_it_cost():
    step = StepState(step="plan", agent="planner", at="2026-01-01T12:00:00+00:00", duration_ms=5, tokens=7, event="x")
    step = step.model_copy(update={"cost": 0.25, "currency": "EUR"})
    result = await handle(parts(), context(FakeModel([]), steps=[step]))
    assert (result.steps, result.price) == ((step,), "")
