"""More work than the model can take: it waits, cheaply, and nobody is refused, lost or paid for twice."""

import pytest

from benchmarks.pressure import SLOTS, measured


@pytest.mark.timeout(300)
def test_forty_requests_at_once_onto_two_slots_are_all_done_and_bought_once() -> None:
    found = measured(40, limit_s=240)
    assert found["statuses"] == {202: 40} and found["ended"] == {"complete": 40}, found
    assert found["most calls at once in the model"] == SLOTS
    assert found["looks at which a slot was idle while calls waited"] == 0
    assert found["dead letters"] == 0 and found["generations / call keys"] == 1
    assert 0 < found["most deliveries"] <= 50 * 12, "50 for each Trigger at most"


@pytest.mark.timeout(300)
def test_beyond_its_backlog_the_gateway_says_when_to_ask_again_and_what_it_took_is_done() -> None:
    found = measured(30, backlog=5, limit_s=240)
    taken, refused = found["statuses"].pop(202), found["statuses"].pop(429)
    assert taken >= 5 and taken + refused == 30 and not found["statuses"], found
    assert found["refused without Retry-After"] == 0
    assert found["ended"] == {"complete": taken} and found["dead letters"] == 0
