"""A step, a join, a request's end and a mail: every interleaving of their deliveries, with deaths and failures at each effect."""

import pytest

from tests.chaos.protocols import SCENARIOS, explored


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_and_nothing_doubled_in(name: str) -> None:
    found = explored(SCENARIOS[name])
    assert found.schedules and found.states > found.schedules
