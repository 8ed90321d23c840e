"""Why a partition is there, and what the metrics say of all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.model.partitions import (
    Partition,
    PartitionState,
    Retention,
    ahead_of,
    is_default_used,
    oldest_age_seconds,
    why_kept,
)

DAY = 86400.0
OPEN = Partition(
    name="event_p1",
    number=1,
    low=2**32,
    high=2**33,
    state=PartitionState.OPEN,
    created_at=None,
    opened_at=None,
    closed_at=None,
    age_seconds=3 * DAY,
    closed_seconds=None,
    size_bytes=0,
    estimated_rows=0,
    is_unknown_to_writers=False,
)
AHEAD = replace(OPEN, state=PartitionState.AHEAD, age_seconds=None)


@pytest.mark.parametrize("state", PartitionState)
def test_every_state_has_a_reason_that_is_its_own(state: PartitionState) -> None:
    reasons = [why_kept(replace(OPEN, state=other), Retention()) for other in PartitionState]
    assert reasons.count(why_kept(replace(OPEN, state=state), Retention())) == 1


@pytest.mark.parametrize(("closed_days", "is_due"), [(29, False), (31, True)])
def test_the_retention_counts_from_the_end_of_a_partition(closed_days: int, is_due: bool) -> None:
    passed = replace(OPEN, state=PartitionState.PASSED, closed_seconds=closed_days * DAY)
    assert ("to be emptied" in why_kept(passed, Retention())) is is_due


def test_a_partition_that_writers_may_not_know_says_so() -> None:
    assert "are still open" in why_kept(replace(AHEAD, is_unknown_to_writers=True), Retention())


def test_figures_count_what_waits_what_holds_events_and_the_last_resort() -> None:
    emptied = replace(OPEN, state=PartitionState.EMPTIED, age_seconds=90 * DAY)
    default = replace(OPEN, state=PartitionState.UNUSED, age_seconds=None)
    partitions = [emptied, OPEN, AHEAD, AHEAD, default]
    assert ahead_of(partitions) == 2
    assert oldest_age_seconds(partitions) == 3 * DAY
    assert not is_default_used(partitions)
    assert is_default_used([*partitions, replace(default, state=PartitionState.USED)])
    assert oldest_age_seconds([]) == 0
