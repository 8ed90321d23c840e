"""The states of a delivery, and what an outcome makes of it. Pure; the SQL functions enforce the same table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, assert_never

from outbox.model.backoff import Backoff
from outbox.model.outcome import (
    Absent,
    Accepted,
    AlreadyApplied,
    Ambiguous,
    Applied,
    Configuration,
    CredentialsExpired,
    Different,
    LookUpAnswer,
    NotTold,
    Outcome,
    Present,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
)
from outbox.model.recovery import KEYED, AsyncJob, IdempotencyKey, RecoveryStrategy, leaves_a_doubt


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


# From each state to those that may follow; the trigger on inbox.delivery refuses everything else.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.READY: frozenset({State.APPLYING, State.BLOCKED, State.DEAD, State.SKIPPED}),
    State.BLOCKED: frozenset({State.READY, State.SKIPPED}),
    State.APPLYING: frozenset({State.APPLIED, State.READY, State.RETRY, State.IN_DOUBT, State.DEAD}),
    State.RETRY: frozenset({State.APPLYING, State.IN_DOUBT, State.DEAD, State.SKIPPED}),
    State.IN_DOUBT: frozenset({State.APPLYING, State.APPLIED, State.READY, State.SKIPPED}),
    State.DEAD: frozenset({State.READY, State.BLOCKED, State.APPLIED, State.SKIPPED}),
    State.APPLIED: frozenset(),
    State.SKIPPED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class OrderPolicy:
    """What a flow does when the order of a key cannot simply be kept.

    ``on_dead``: the key waits behind a dead delivery, or goes on without it. ``on_stale``: an event that comes after a
    later one of its key was taken up is parked, applied all the same, or skipped.
    """

    on_dead: Literal["block", "skip"] = "block"
    on_stale: Literal["park", "apply", "skip"] = "park"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and when to stop.

    ``attempts`` counts failures that belong to the message. ``patience_seconds``: for how long a failure that may as
    well be the target's does not count while nothing shows that the target works.
    """

    attempts: int = 8
    backoff: Backoff = field(default_factory=Backoff)
    patience_seconds: float = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a delivery after an attempt.

    ``delay_seconds`` is added to the database's clock; None with IN_DOUBT means parked for a person. ``starts_anew``:
    it is certain that nothing took effect, so what was sent is forgotten, and the next request gets another key.
    ``job``: where the target says to ask.
    """

    state: State
    delay_seconds: float | None = None
    is_failure: bool = False
    external_id: str | None = None
    reason: str | None = None
    reason_class: str | None = None
    starts_anew: bool = False
    job: str | None = None

    @property
    def is_parked(self) -> bool:
        """Say whether the delivery waits for a person."""
        return self.state is State.DEAD or (self.state is State.IN_DOUBT and self.delay_seconds is None)


def settle(
    outcome: Outcome,
    *,
    attempt: int,
    failures: int | None,
    policy: RetryPolicy,
    jitter: float,
    recovery: RecoveryStrategy,
    is_unsent: bool = False,
    was_in_doubt: bool = False,
) -> Settlement:
    """Decide what an outcome makes of a delivery.

    A doubt outlives every answer that only speaks of the latest try: "too many requests" does not say whether the
    try before it took effect. Such a delivery stays in doubt, so that its window is checked before each new try.
    Under a key this is also true of a refusal: the next key would be a second effect if the earlier try had one.

    Args:
        outcome: how the attempt ended.
        attempt: its number, from 1; spaces the tries that are not the message's fault.
        failures: how often the message itself has failed before; None: nothing shows at the moment that the target
            works, so that an answer by which the message may be to blame does not count.
        policy: the flow's retry policy.
        jitter: a number in [0, 1].
        recovery: what the operation declares.
        is_unsent: it is certain that no byte of the request left.
        was_in_doubt: an earlier try may have taken effect.
    """
    if failures is None and isinstance(outcome, Retry | Unknown):
        # No try is the last, and the pauses grow with all of them.
        policy = replace(policy, attempts=attempt + 1)
        settlement = _settle(outcome, attempt=attempt, failures=attempt - 1, policy=policy, jitter=jitter)
        settlement = replace(settlement, is_failure=False)
    else:
        settlement = _settle(outcome, attempt=attempt, failures=failures or 0, policy=policy, jitter=jitter)
    if isinstance(outcome, Accepted) and isinstance(recovery, AsyncJob) and outcome.job_url is not None:
        return _running(outcome.job_url, recovery)
    if not was_in_doubt and not leaves_a_doubt(outcome, recovery, is_unsent=is_unsent):
        has_cached = isinstance(recovery, IdempotencyKey) and recovery.caches_errors
        is_again = settlement.state is State.RETRY and isinstance(outcome, Retry)
        # Under the same key the target would repeat this very answer for ever.
        return replace(settlement, starts_anew=True) if has_cached and is_again else settlement
    if settlement.state is State.RETRY:
        return replace(settlement, state=State.IN_DOUBT)
    if settlement.state is State.DEAD and (isinstance(outcome, Retry) or isinstance(recovery, KEYED)):
        what = "the tries are used up" if isinstance(outcome, Retry) else "a later one was refused"
        return replace(
            settlement,
            state=State.IN_DOUBT,
            delay_seconds=None,
            reason=f"an earlier try may have been applied, and {what}: {settlement.reason}",
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
        case Unknown():
            return _in_doubt(outcome, pause, failures=failures, policy=policy, jitter=jitter)
        case _:
            assert_never(outcome)


def _in_doubt(
    outcome: Unknown, pause_seconds: float, *, failures: int, policy: RetryPolicy, jitter: float
) -> Settlement:
    reason, delay_seconds = outcome.reason, _polite(outcome.after_seconds, pause_seconds, policy.backoff)
    if outcome.is_failure:
        if failures + 1 >= policy.attempts:
            reason = f"may have been applied, and the tries are used up: {reason}"
            return Settlement(State.IN_DOUBT, is_failure=True, reason=reason, reason_class="unknown")
        delay_seconds = max(policy.backoff.delay_seconds(failures + 1, jitter), outcome.after_seconds or 0.0)
    return Settlement(
        State.IN_DOUBT, delay_seconds, is_failure=outcome.is_failure, reason=reason, reason_class="unknown"
    )


def _polite(after_seconds: float | None, pause_seconds: float, backoff: Backoff) -> float:
    """The target's word wins over our own pause, but "at once" from a target in trouble would be a hot loop."""
    return pause_seconds if after_seconds is None else max(after_seconds, backoff.first_seconds / 2)


def settle_look_up(
    answer: LookUpAnswer,
    *,
    attempt: int,
    failures: int,
    policy: RetryPolicy,
    jitter: float,
) -> Settlement:
    """Decide what a look-up makes of a delivery in doubt. It was asked late enough for "absent" to be proof."""
    match answer:
        case Present(external_id):
            return Settlement(State.APPLIED, external_id=external_id)
        case Absent():
            return Settlement(State.READY, 0.0, starts_anew=True)
        case Ambiguous(reason) | Different(reason):
            return Settlement(
                State.IN_DOUBT,
                reason=f"the target cannot say whether it was applied: {reason}",
                reason_class="in_doubt",
            )
        case NotTold(outcome):
            return _later(outcome, attempt=attempt, failures=failures, policy=policy, jitter=jitter)
        case _:
            assert_never(answer)


def settle_poll(
    outcome: Outcome,
    *,
    job: str,
    sent_age_seconds: float,
    recovery: AsyncJob,
    attempt: int,
    failures: int,
    policy: RetryPolicy,
    jitter: float,
) -> Settlement:
    """Decide what a question about a job makes of its delivery. Only what is said of the job ends the doubt."""
    match outcome:
        case Applied() | AlreadyApplied() | Rejected() | StaleConflict():
            return _settle(outcome, attempt=attempt, failures=failures, policy=policy, jitter=jitter)
        case Retry():
            # The job has failed, and its key would only bring it back.
            failed = _settle(outcome, attempt=attempt, failures=failures, policy=policy, jitter=jitter)
            return replace(failed, starts_anew=failed.state is State.RETRY)
        case Accepted(job_url):
            running = _running(job_url if job_url is not None else job, recovery)
            if sent_age_seconds < recovery.longest_seconds:
                return running
            reason = f"may be applied yet: the target's job is not over {sent_age_seconds:.0f} s after it was sent"
            return replace(running, delay_seconds=None, reason=reason)
        case Throttled() | TargetDown() | CredentialsExpired() | Configuration() | Unknown():
            return _later(outcome, attempt=attempt, failures=failures, policy=policy, jitter=jitter)
        case _:
            assert_never(outcome)


def _running(job: str, recovery: AsyncJob) -> Settlement:
    return Settlement(
        State.IN_DOUBT,
        recovery.poll_seconds,
        reason="the target has taken it as a job that is not over",
        reason_class="accepted",
        job=job,
    )


def _later(outcome: Outcome, *, attempt: int, failures: int, policy: RetryPolicy, jitter: float) -> Settlement:
    """The doubt stays. A target that answers, and not what it was asked, is not asked for ever."""
    settlement = _settle(outcome, attempt=attempt, failures=failures, policy=policy, jitter=jitter)
    if settlement.state is State.DEAD:
        reason = f"may have been applied, and the tries are used up: {settlement.reason}"
        return replace(settlement, state=State.IN_DOUBT, delay_seconds=None, reason=reason)
    return replace(settlement, state=State.IN_DOUBT)
