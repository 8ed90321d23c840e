"""What a flow's owner has promised of it, and whether it is kept. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Seen(Protocol):
    """What of a flow is looked at; see `outbox.model.inbox.FlowStanding`."""

    @property
    def oldest_waiting_age_seconds(self) -> float:
        """Return for how long the oldest delivery that is not parked has waited."""
        ...

    @property
    def quiet_seconds(self) -> float:
        """Return for how long no message has come."""
        ...


class Rule(StrEnum):
    """What an alert is about."""

    LATE = "late"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Promise:
    """What is expected of a flow, and whom to tell when it is not so.

    ``late_after_seconds``: no delivery waits for longer than this; ``expect_every_seconds``: a message comes at least
    this often. None: nothing is expected. ``owner``: who mends it, ``runbook``: how.
    """

    late_after_seconds: float | None = None
    expect_every_seconds: float | None = None
    owner: str | None = None
    runbook: str | None = None


def broken_rules(promise: Promise, standing: Seen) -> dict[Rule, str]:
    """Return what is not as promised: each rule with a sentence for people."""
    broken: dict[Rule, str] = {}
    late, quiet = promise.late_after_seconds, promise.expect_every_seconds
    if late is not None and standing.oldest_waiting_age_seconds > late:
        broken[Rule.LATE] = (
            f"the oldest delivery that is not parked has waited {rounded(standing.oldest_waiting_age_seconds)}, "
            f"and alert.late_after is {rounded(late)}"
        )
    if quiet is not None and standing.quiet_seconds > quiet:
        broken[Rule.QUIET] = (
            f"no message has come for {rounded(standing.quiet_seconds)}, and expect_every is {rounded(quiet)}"
        )
    return broken


def rounded(seconds: float) -> str:
    """Return a duration as people say it."""
    for limit, unit_seconds, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_seconds:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"
