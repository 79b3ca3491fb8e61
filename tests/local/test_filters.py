"""Trigger filters, dialect by dialect."""

from __future__ import annotations

from typing import Any

import pytest

from eventing.local.filters import FilterError, trigger_filter
from tests.local.support import event

EVENT = event("summary_ready", targetversion="v2", subject="part 1")


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ([], True),
        ([{"exact": {"type": "summary_ready"}}], True),
        ([{"exact": {"type": "summary_ready", "targetversion": "v1"}}], False),
        ([{"exact": {"nosuch": "x"}}], False),
        ([{"not": {"exact": {"nosuch": "x"}}}], True),
        ([{"exact": {"nosuch": "", "type": "summary_ready"}}], True),
        ([{"prefix": {"targetversion": "v"}}, {"suffix": {"targetversion": "2"}}], True),
        ([{"prefix": {"type": "summary"}}], True),
        ([{"prefix": {"nosuch": "x"}}], False),
        ([{"suffix": {"type": "_ready"}}], True),
        ([{"suffix": {"type": "summary"}}], False),
        ([{"all": [{"prefix": {"type": "s"}}, {"suffix": {"type": "y"}}]}], True),
        ([{"all": [{"prefix": {"type": "s"}}, {"suffix": {"type": "x"}}]}], False),
        ([{"any": [{"prefix": {"type": "x"}}, {"suffix": {"type": "y"}}]}], True),
        ([{"any": [{"prefix": {"type": "x"}}, {"suffix": {"type": "x"}}]}], False),
        ([{"not": {"exact": {"targetversion": "v1"}}}], True),
        ([{"not": {"any": [{"exact": {"targetversion": "v2"}}]}}], False),
        ([{"exact": {"type": "summary_ready"}}, {"not": {"exact": {"targetversion": "v2"}}}], False),
    ],
)
def test_every_dialect_and_all_entries_of_the_list_must_pass(filters: list[Any], passes: bool) -> None:
    assert trigger_filter(None, filters)(EVENT) is passes


def test_attributes_must_all_be_equal_and_an_empty_value_takes_any() -> None:
    assert trigger_filter({"type": "summary_ready", "source": ""}, None)(EVENT)
    assert not trigger_filter({"type": "summary_ready", "subject": "part 2"}, [])(EVENT)


def test_filters_win_over_attributes() -> None:
    assert trigger_filter({"type": "another"}, [{"exact": {"type": "summary_ready"}}])(EVENT)
    assert not trigger_filter({"type": "another"}, [])(EVENT)


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ([{"cesql": "type = 'x'"}], r"filters\[0\].cesql: cesql is not known"),
        ([{"exakt": {"type": "x"}}], r"filters\[0\].exakt: unknown dialect; known are exact"),
        ([{"exact": {"type": "x"}, "prefix": {"type": "x"}}], r"filters\[0\]: must be one dialect"),
        ([{"all": [{"exact": {"revision": 1}}]}], r"filters\[0\].all\[0\].exact.revision: must be text, got 1"),
        ([{"not": {"any": []}}], r"filters\[0\].not.any: must be a list"),
        ([{"exact": {}}], r"filters\[0\].exact: must name at least one"),
        (
            [{"exact": {"Target-Version": "v1"}}],
            r"filters\[0\].exact.Target-Version: must be a letter, then letters and digits",
        ),
    ],
)
def test_a_filter_that_cannot_be_honoured_is_refused_by_its_path(filters: list[Any], told: str) -> None:
    with pytest.raises(FilterError, match=told):
        trigger_filter(None, filters)
