"""The newest window that is due, reckoned as the database does: to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outbox.model.reconciliation import Schedule
from outbox.postgres.reconcile import window_before

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("every", [3600.0, 86_400.0, 1.1 * 3600, 0.7 * 3600, 2.3 * 86_400])
@pytest.mark.parametrize("number", [1, 3, 97, 1009, 450_001])
def test_a_window_is_due_at_its_end_and_not_a_microsecond_before(every: float, number: int) -> None:
    period = timedelta(seconds=round(every))
    end = EPOCH + number * period
    assert window_before(end, Schedule(every, every, 0.0)).until == end
    assert window_before(end - timedelta(microseconds=1), Schedule(every, every, 0.0)).until == end - period
    assert window_before(end + timedelta(seconds=60), Schedule(every, every, 60.0)).until == end
