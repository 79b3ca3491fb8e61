"""Contiguous commits."""

from __future__ import annotations

import random

from eventing.local.offsets import Offsets


def test_only_what_is_below_the_lowest_unfinished_is_committed() -> None:
    offsets = Offsets()
    for n in (4, 5, 7):  # 6 is a gap, as compaction leaves them
        offsets.begin(n)
    assert offsets.finish(5) is None
    assert offsets.finish(4) == 7
    assert offsets.finish(7) == 8
    assert offsets.in_flight == 0


def test_in_any_order_nothing_unfinished_is_ever_committed() -> None:
    for seed in range(200):
        chance, offsets = random.Random(seed), Offsets()
        for n in range(20):
            offsets.begin(n)
        finished: set[int] = set()
        for n in chance.sample(range(20), 20):
            finished.add(n)
            committable = offsets.finish(n)
            lowest = next((o for o in range(20) if o not in finished), 20)
            assert committable in (None, lowest)
        assert committable == 20
