"""How an attempt ended: one closed set for all adapters, matched exhaustively wherever it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Applied:
    """The target did it."""

    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """The target had done it before; for us the same as applied."""

    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The target will do it later and tells where to ask."""

    job_url: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The target will never do it: dead letter at once."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It was certainly not done, and this message may be why: counts as a failure of the message.

    ``is_key_in_use``: that is said of this request alone. Another one under its key is at work, and may well be done.
    """

    reason: str
    after_seconds: float | None = None
    is_key_in_use: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """The target wants fewer calls; the message is innocent.

    ``scope``: whom it means, all flows that share the connection or this one alone. ``is_ours``: it is our own limit
    that wants so, and the target was not called.
    """

    reason: str
    after_seconds: float | None = None
    scope: Literal["connection", "flow"] = "connection"
    kind: Literal["rate", "concurrency", "daily"] = "rate"
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class TargetDown:
    """The call never reached a working target, as far as it can be told; the message is innocent."""

    reason: str
    after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class CredentialsExpired:
    """A fresh token may help; the message is innocent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """Credentials, permission or address are wrong for every message; a person must act.

    ``is_final``: calling again to see whether that has happened is not wanted either.
    """

    reason: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class StaleConflict:
    """The target holds a newer version of the record."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request left and no trustworthy answer came: it may have been done.

    ``is_failure``: the target did answer, with an error of its own, so this message may be why: it counts as one of its
    tries, and after the last of them a person decides. ``needs_a_person``, ``is_final``: the same is wrong for every
    message, as with `Configuration`.
    """

    reason: str
    after_seconds: float | None = None
    is_failure: bool = False
    needs_a_person: bool = False
    is_final: bool = False


Outcome = (
    Applied
    | AlreadyApplied
    | Accepted
    | Rejected
    | Retry
    | Throttled
    | TargetDown
    | CredentialsExpired
    | Configuration
    | StaleConflict
    | Unknown
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An outcome with what the attempt log keeps of the answer.

    ``http_status`` is None when there was no answer. ``is_shared``: the call held several requests and ended like this
    as a whole, so that nobody knows which of them is to blame. Nothing in here holds a payload.
    """

    outcome: Outcome
    http_status: int | None = None
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Present:
    """The target has the record; what we sent took effect."""

    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """The target has no such record. Proof only when any call for it is over; see `outbox.model.recovery`."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several records bear the reference, or it cannot be told whether the one that does is ours: a person decides."""

    reason: str


@dataclass(frozen=True, slots=True)
class Different:
    """The record under the reference is not what was sent. The reason names the fields that differ, never values."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotTold:
    """The target could not be asked; ``outcome`` says why, and how long to wait."""

    outcome: TargetDown | Throttled | CredentialsExpired | Configuration | Retry


LookUpAnswer = Present | Absent | Ambiguous | Different | NotTold


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up came back with."""

    answer: LookUpAnswer
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """The target answers and accepts our credentials. ``version``: what it says of itself."""

    version: str | None = None


def outcome_name(outcome: Outcome) -> str:
    """Return the name used in the attempt log, in metrics and in logs (``already_applied``)."""
    return _NAMES[type(outcome)]


def found_name(answer: LookUpAnswer) -> str:
    """Return the name of a look-up's answer in the attempt log, in metrics and in logs."""
    match answer:
        case Present():
            return "present"
        case Absent():
            return "absent"
        case Ambiguous():
            return "ambiguous"
        case Different():
            return "different"
        case NotTold(outcome):
            return outcome_name(outcome)


_NAMES: dict[type, str] = {
    Applied: "applied",
    AlreadyApplied: "already_applied",
    Accepted: "accepted",
    Rejected: "rejected",
    Retry: "retry",
    Throttled: "throttled",
    TargetDown: "target_down",
    CredentialsExpired: "credentials_expired",
    Configuration: "configuration",
    StaleConflict: "stale_conflict",
    Unknown: "unknown",
}

OUTCOME_NAMES: tuple[str, ...] = tuple(_NAMES.values())
