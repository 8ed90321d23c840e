"""What "already exists" means for a record whose name we choose: whoever made it, the record itself says. Pure.

The refusal proves that this call has created nothing, and that something bears our name: what an earlier call of ours
made, an earlier event of the same reference, or a stranger. So it is a doubt, and the record ends it.
"""

from __future__ import annotations

from outbox.model.delivery import RetryPolicy, Settlement, State
from outbox.model.outcome import AlreadyApplied, Different, Outcome
from outbox.model.recovery import ClientNamedCreate, RecoveryStrategy

_TAKEN = "the target has a record of this name"


def reads_back(outcome: Outcome, recovery: RecoveryStrategy) -> bool:
    """Say whether an answer is believed only by the record, where the target can be asked for it."""
    return isinstance(outcome, AlreadyApplied) and isinstance(recovery, ClientNamedCreate)


def settle_taken(settle_seconds: float, *, failures: int, policy: RetryPolicy, jitter: float) -> Settlement:
    """Decide what becomes of a delivery whose name is taken: the record is read, which `resume` asks for.

    It counts as a failure: a name that is taken, of a record that the target does not show (one in its bin, or one that
    our user may not see), would else be created and looked for without end.

    Args:
        settle_seconds: how long "absent" proves nothing; the record may be one that is just being committed.
        failures: how often the message itself has failed before.
        policy: the flow's retry policy.
        jitter: a number in [0, 1].
    """
    if failures >= policy.attempts:
        reason = f"{_TAKEN} and does not show it, and the tries are used up"
        return Settlement(State.IN_DOUBT, is_failure=True, reason=reason, reason_class="in_doubt")
    # The first look is as early as it may be: nothing has failed yet.
    pause = policy.backoff.delay_seconds(failures, jitter) if failures else 0.0
    reason = f"{_TAKEN}; it is read to see whether it is what was sent"
    return Settlement(
        State.IN_DOUBT, max(settle_seconds, pause), is_failure=True, reason=reason, reason_class="in_doubt"
    )


def settle_different(found: Different) -> Settlement:
    """Decide what becomes of a delivery whose name belongs to another record: no repetition can change that."""
    return Settlement(State.DEAD, is_failure=True, reason=f"{_TAKEN}: {found.reason}", reason_class="rejected")
