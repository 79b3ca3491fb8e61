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
