"""Whole requests, simulated: what must hold of each seed, and that a seed is the same each time."""

from __future__ import annotations

import random

import pytest

from tests.chaos.simulate import replay
from tests.chaos.simulation import Protocol, Simulation
from tests.chaos.test_mutants import (
    EndsTwice,
    ForgetsAnAnswer,
    GivesIdsAtRandom,
    JoinsTooEarly,
    LooksBeforeItClaims,
    MarksBeforeItPublishes,
    MarksNothing,
    PublishesBeforeItStores,
    PublishesWhatItComputed,
    SendsUnclaimed,
    SendsUnmarked,
    StoresIncomplete,
)

FRESH = random.SystemRandom().randrange(10_000, 10_000_000)


@pytest.mark.parametrize("seed", [*range(14), FRESH])
def test_nothing_is_lost_doubled_or_left_open_in(seed: int) -> None:
    found = Simulation(seed).run().violations
    assert not found, f"replay with `{replay(seed)}`: {found}"


def test_a_seed_replays() -> None:
    assert Simulation(1).run().history == Simulation(1).run().history


BROKEN = {
    "publishes before it stores": (Protocol(steps=PublishesBeforeItStores), "published what is not stored"),
    "forgets an answer": (Protocol(steps=ForgetsAnAnswer), "acknowledged, not published"),
    "stores that it is incomplete": (Protocol(steps=StoresIncomplete), "answers nothing"),
    "publishes what it computed": (Protocol(steps=PublishesWhatItComputed), "published what is not stored"),
    "gives ids at random": (Protocol(steps=GivesIdsAtRandom), "published what is not stored|several payloads"),
    "marks nothing": (Protocol(steps=MarksNothing), "echoed"),
    "answers before it stores": (Protocol(early=True), "acknowledged and has no result"),
    "marks before it publishes": (Protocol(steps=MarksBeforeItPublishes), "acknowledged, not published"),
    "joins too early": (Protocol(steps=JoinsTooEarly), "nothing failed, and request .* ended as research_failed"),
    "ends twice": (Protocol(steps=EndsTwice), "ended as None|ended 2 times"),
    "sends unclaimed": (Protocol(mailer=SendsUnclaimed), "mail sent twice"),
    "sends unmarked": (Protocol(mailer=SendsUnmarked), "not marked as sent"),
    "looks before it claims": (Protocol(mailer=LooksBeforeItClaims), "mail sent twice"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_is_found_in_few_seeds_what(name: str) -> None:
    protocol, told = BROKEN[name]
    with pytest.raises(AssertionError, match=told):
        for seed in range(40):
            found = Simulation(seed, protocol).run().violations
            assert not found, f"seed {seed}: {found}"
