"""What makes an operation safe when nobody knows how its last call ended. Pure.

Each operation of an adapter declares one strategy. `resume` turns it, and what is stored of the calls so far, into the
one next step that cannot repeat an effect; where there is none, a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from outbox.model.outcome import Outcome, Retry, TargetDown


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The target remembers keys: sending again with the same key and the same request is safe inside the window.

    ``window_seconds`` is what the target promises, from the first time it saw the key; ``margin_seconds`` is kept back
    for the call itself. ``caches_errors``: the target answers a repeated key with its first answer even when that was
    an error, so a try after a definite failure needs a new key.
    """

    window_seconds: float
    margin_seconds: float = 60.0
    caches_errors: bool = False

    def is_open(self, sent_age_seconds: float) -> bool:
        """Say whether a request first sent this long ago may be sent again."""
        return sent_age_seconds < self.window_seconds - self.margin_seconds


@dataclass(frozen=True, slots=True)
class UpsertByReference:
    """The request names its record by a reference of ours and says what it is to be: sending it again changes nothing.

    But a call that the target is still at may write its record after a later event of the key has, or after a
    repetition was refused. So nothing goes on until it is over there too: ``settle_seconds`` after it was over for us,
    at least the longest time that the target gives a request.
    """

    settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ClientNamedCreate:
    """We choose the primary key of what is created: a second create is answered with "already exists".

    Where the target can be asked, the record decides whether what exists is ours: a stranger may have taken the name.
    ``settle_seconds``: as with `UpsertByReference`.
    """

    settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LookupThenCreate:
    """Ask for the reference before anything is sent again; only what is absent is created."""


@dataclass(frozen=True, slots=True)
class AsyncJob:
    """The target takes the request as a job and tells where to ask; a repeated key is answered with the first job.

    ``poll_seconds``: the pause between two questions. ``longest_seconds``: a job that is not over so long after its
    call is parked for a person.
    """

    window_seconds: float
    margin_seconds: float = 60.0
    poll_seconds: float = 5.0
    longest_seconds: float = 86_400.0

    def is_open(self, sent_age_seconds: float) -> bool:
        """Say whether a request first sent this long ago may be sent again."""
        return sent_age_seconds < self.window_seconds - self.margin_seconds


@dataclass(frozen=True, slots=True)
class NoRecovery:
    """Nothing makes a second call safe: an unknown outcome is parked for a person."""


# The strategies by which a second request is known for the first one as long as it bears the same key.
KEYED = IdempotencyKey | AsyncJob
RecoveryStrategy = IdempotencyKey | UpsertByReference | ClientNamedCreate | LookupThenCreate | AsyncJob | NoRecovery


def leaves_a_doubt(outcome: Outcome, recovery: RecoveryStrategy, *, is_unsent: bool) -> bool:
    """Say whether an answer that calls for another try leaves open what became of this one, or of one beside it.

    A gateway says "out of service" also of what it has passed on. Repeating that is safe within the bounds of a
    strategy, which are kept by those in doubt. Without such a strategy only the settings say it, and are believed.
    """
    match outcome:
        case TargetDown():
            return not is_unsent and not isinstance(recovery, NoRecovery | LookupThenCreate)
        case Retry():
            return outcome.is_key_in_use and isinstance(recovery, KEYED)
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is stored of a delivery whose last call may have taken effect.

    Args:
        first_sent_age_seconds: since the first byte of the first call under this key left.
        last_sent_age_seconds: since the latest call was over for us, or since it began if nobody saw its end.
        is_same_request: what would be sent now is byte for byte what was sent first.
        is_same_reference: what would be sent now names the same record.
        job: where the target said to ask, if it did.
    """

    first_sent_age_seconds: float
    last_sent_age_seconds: float
    is_same_request: bool
    is_same_reference: bool
    job: str | None = None


@dataclass(frozen=True, slots=True)
class SendAgain:
    """The same request under the same key or reference."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the target for the reference; found is applied, absent is as if nothing was ever sent."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask how the job ended."""

    job: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be learnt yet."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Park:
    """A person decides. The reason says what is not safe, and why."""

    reason: str


NextStep = SendAgain | LookUp | Poll | Wait | Park


@dataclass(frozen=True, slots=True)
class Asking:
    """A target that can be asked for a reference, over a path that sees what is committed.

    ``settle_seconds``: how long after a call "absent" proves nothing, because the target may still be committing. At
    least the longest time that the target gives a request.
    """

    settle_seconds: float


def resume(strategy: RecoveryStrategy, doubt: Doubt, asking: Asking | None) -> NextStep:
    """Return what is done with a delivery in doubt.

    Args:
        strategy: what its operation declares.
        doubt: what is stored of it.
        asking: how the target can be asked, None: it cannot.
    """
    match strategy:
        case IdempotencyKey(window_seconds):
            if not strategy.is_open(doubt.first_sent_age_seconds):
                return _look_up_or_park(doubt, asking, _late(doubt, window_seconds))
            return SendAgain() if doubt.is_same_request else _look_up_or_park(doubt, asking, _CHANGED)
        case ClientNamedCreate() if asking is not None:
            return _look_up_or_park(doubt, asking, "")
        case UpsertByReference(settle_seconds) | ClientNamedCreate(settle_seconds):
            if not doubt.is_same_reference:
                return _look_up_or_park(doubt, asking, _RENAMED)
            left = settle_seconds - doubt.last_sent_age_seconds
            return Wait(left) if left > 0 else SendAgain()
        case LookupThenCreate():
            return _look_up_or_park(doubt, asking, "the target cannot be asked for what was sent")
        case AsyncJob(window_seconds):
            if doubt.job is not None:
                return Poll(doubt.job)
            if not strategy.is_open(doubt.first_sent_age_seconds):
                return _look_up_or_park(doubt, asking, _late(doubt, window_seconds))
            return SendAgain() if doubt.is_same_request else _look_up_or_park(doubt, asking, _CHANGED)
        case NoRecovery():
            return _look_up_or_park(doubt, asking, "this operation has no recovery strategy")
        case _:
            assert_never(strategy)


_CHANGED = "the mapping or the adapter's settings changed since the request was first sent"
_RENAMED = "the mapping changed the reference under which the request was first sent"


def _late(doubt: Doubt, window_seconds: float) -> str:
    return (
        f"first sent {doubt.first_sent_age_seconds:.0f} s ago, outside the target's idempotency window of "
        f"{window_seconds:.0f} s"
    )


def _look_up_or_park(doubt: Doubt, asking: Asking | None, reason: str) -> NextStep:
    if asking is None:
        return Park(reason)
    left = asking.settle_seconds - doubt.last_sent_age_seconds
    return Wait(left) if left > 0 else LookUp()
