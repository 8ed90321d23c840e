from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.model.doctor import Result, memory
from outbox.model.partitions import Partition, PartitionState

DAY = 86_400.0
KEPT = Partition("event_p1", 1, 1, 2, PartitionState.PASSED, None, None, None, 31 * DAY, 30 * DAY, 1, 1, False)


def judged(*partitions: Partition) -> tuple[Result, str, str | None]:
    finding = memory(partitions, remembered_seconds=61 * DAY, queue_life_seconds=30 * DAY)
    return finding.result, finding.text, finding.next_step


def test_a_memory_that_outlasts_every_copy_is_right() -> None:
    assert judged(KEPT) == (Result.RIGHT, "finished deliveries are remembered for 61 days", None)
    assert judged()[0] is Result.RIGHT


@pytest.mark.parametrize("state", [PartitionState.OPEN, PartitionState.CLOSED, PartitionState.PASSED])
def test_events_that_stay_longer_than_they_should_are_told_with_the_memory_that_they_need(
    state: PartitionState,
) -> None:
    result, text, next_step = judged(KEPT, replace(KEPT, name="event_p0", state=state, age_seconds=40.5 * DAY))

    assert result is Result.WRONG
    assert text.startswith("event_p0 has events of 40.5 days ago")
    assert next_step is not None
    assert "set inbox.keep to 71d or more" in next_step


@pytest.mark.parametrize("state", [PartitionState.AHEAD, PartitionState.EMPTIED, PartitionState.DETACHED])
def test_partitions_without_events_do_not_count(state: PartitionState) -> None:
    assert judged(replace(KEPT, state=state, age_seconds=400 * DAY))[0] is Result.RIGHT
