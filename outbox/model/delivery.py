"""The states of a delivery, and what an outcome makes of it. Pure; the SQL functions enforce the same table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from outbox.model.adapter import IdempotencyKey, NoRecovery, RecoveryStrategy
from outbox.model.backoff import Backoff
from outbox.model.outcome import (
    Accepted,
    AlreadyApplied,
    Applied,
    Configuration,
    CredentialsExpired,
    Outcome,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
)


class State(StrEnum):
    """Where a delivery stands; the same words in `inbox.delivery.state`."""

    READY = "ready"
    APPLYING = "applying"
    APPLIED = "applied"
    RETRY = "retry"
    IN_DOUBT = "in_doubt"
    BLOCKED = "blocked"
    DEAD = "dead"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and when to stop. ``attempts`` counts failures that belong to the message."""

    attempts: int = 8
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a delivery after an attempt.

    ``delay_seconds`` is added to the database's clock; None with IN_DOUBT means parked for a person.
    """

    state: State
    delay_seconds: float | None = None
    is_failure: bool = False
    external_id: str | None = None
    reason: str | None = None
    reason_class: str | None = None


def settle(
    outcome: Outcome,
    *,
    attempt: int,
    failures: int,
    policy: RetryPolicy,
    jitter: float,
    was_in_doubt: bool = False,
) -> Settlement:
    """Decide what an outcome makes of a delivery.

    A doubt outlives every answer that only speaks of the latest try: "too many requests" does not say whether the
    try before it took effect. Such a delivery stays in doubt, so that its window is checked before each new try.

    Args:
        outcome: how the attempt ended.
        attempt: its number, from 1; spaces the tries that are not the message's fault.
        failures: how often the message itself has failed before.
        policy: the flow's retry policy.
        jitter: a number in [0, 1].
        was_in_doubt: an earlier try may have taken effect.
    """
    settlement = _settle(outcome, attempt=attempt, failures=failures, policy=policy, jitter=jitter)
    if not was_in_doubt:
        return settlement
    if settlement.state is State.RETRY:
        return replace(settlement, state=State.IN_DOUBT)
    if settlement.state is State.DEAD and isinstance(outcome, Retry):
        return replace(
            settlement,
            state=State.IN_DOUBT,
            delay_seconds=None,
            reason=f"an earlier try may have been applied, and the tries are used up: {settlement.reason}",
        )
    return settlement


def _settle(outcome: Outcome, *, attempt: int, failures: int, policy: RetryPolicy, jitter: float) -> Settlement:
    pause = policy.backoff.delay_seconds(attempt, jitter)
    match outcome:
        case Applied(external_id) | AlreadyApplied(external_id):
            return Settlement(State.APPLIED, external_id=external_id)
        case Accepted(job_url):
            # Accepted is not done: a person resolves it for targets whose jobs are not followed.
            return Settlement(
                State.IN_DOUBT,
                reason=f"the target accepted the request for later ({job_url or 'no job address'})",
                reason_class="accepted",
            )
        case Rejected(reason):
            return Settlement(State.DEAD, is_failure=True, reason=reason, reason_class="rejected")
        case StaleConflict(reason):
            return Settlement(State.DEAD, is_failure=True, reason=reason, reason_class="stale_conflict")
        case Retry(reason, after_seconds):
            if failures + 1 >= policy.attempts:
                return Settlement(State.DEAD, is_failure=True, reason=reason, reason_class="retry")
            own = policy.backoff.delay_seconds(failures + 1, jitter)
            return Settlement(
                State.RETRY,
                max(own, after_seconds or 0.0),
                is_failure=True,
                reason=reason,
                reason_class="retry",
            )
        case Throttled(reason, after_seconds):
            delay = _polite(after_seconds, pause, policy.backoff)
            return Settlement(State.RETRY, delay, reason=reason, reason_class="throttled")
        case TargetDown(reason, after_seconds):
            delay = _polite(after_seconds, pause, policy.backoff)
            return Settlement(State.RETRY, delay, reason=reason, reason_class="target_down")
        case CredentialsExpired(reason):
            return Settlement(State.RETRY, pause, reason=reason, reason_class="credentials_expired")
        case Configuration(reason):
            return Settlement(State.RETRY, policy.backoff.max_seconds, reason=reason, reason_class="configuration")
        case Unknown(reason):
            return Settlement(State.IN_DOUBT, pause, reason=reason, reason_class="unknown")
        case _:
            assert_never(outcome)


def _polite(after_seconds: float | None, pause_seconds: float, backoff: Backoff) -> float:
    """The target's word wins over our own pause, but "at once" from a target in trouble would be a hot loop."""
    return pause_seconds if after_seconds is None else max(after_seconds, backoff.first_seconds / 2)


def may_send_again(strategy: RecoveryStrategy, *, sent_age_seconds: float, is_same_request: bool) -> Settlement | None:
    """Decide whether an in-doubt delivery may be sent again.

    Returns:
        None when sending again is safe, else the settlement that parks it for a person.
    """
    match strategy:
        case IdempotencyKey():
            if not strategy.is_open(sent_age_seconds):
                return _parked(
                    f"first sent {sent_age_seconds:.0f} s ago, outside the target's idempotency window of "
                    f"{strategy.window_seconds:.0f} s"
                )
            if not is_same_request:
                return _parked("the mapping or the adapter's settings changed since the request was first sent")
            return None
        case NoRecovery():
            return _parked("this operation has no recovery strategy")
        case _:
            assert_never(strategy)


def _parked(reason: str) -> Settlement:
    return Settlement(
        State.IN_DOUBT,
        delay_seconds=None,
        reason=f"may have been applied, and sending it again is not safe: {reason}",
        reason_class="in_doubt",
    )
