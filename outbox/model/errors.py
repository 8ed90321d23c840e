"""The errors that cross a room's border. Each carries the thing it is about and the next step.

OutboxError
├── Unavailable          our database or broker is away: the supervisor waits, no message is touched
├── Misconfigured        a person must act: wrong password, missing schema, a standby, a bad file
│   ├── AccessRefused    the same, for credentials and permissions (exit code 77)
│   ├── CursorUncertain  the database was restored, copied, or has lost transactions: publishing must stop
│   └── SettingsOutdated the settings that this process was started with hold no longer: it ends
├── LeaseLost            somebody else leads or owns the lane: drop the result and start over
├── Unpublishable        this one event can never become a message: dead letter with the reason
├── EventRefused         this one event can never become a row of the outbox: its sender is told
├── PublishNotConfirmed  the broker did not take a message: what was unconfirmed is sent again
└── MappingError         this one delivery cannot be mapped: dead letter that names the field
    └── ReferenceMissing the id of a record in another system is not known (yet)
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says when it ends; the numbers follow sysexits.h where it has one, then shells."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69
    INTERNAL_ERROR = 70
    DRAIN_TIMEOUT = 75
    ACCESS_REFUSED = 77
    MISCONFIGURED = 78
    INTERRUPTED = 130


class OutboxError(Exception):
    """Anything this system raises on purpose."""

    exit_code = ExitCode.INTERNAL_ERROR


_LOOK_AT_IT = "check that it runs and that its address in the settings is right, then try again"


class Unavailable(OutboxError):
    """PostgreSQL or RabbitMQ cannot be reached or has just gone away; waiting helps.

    Args:
        thing: what is away, for people ("PostgreSQL at db:5432").
        reason: what was seen, one line.
        next_step: what to do about it.
    """

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, thing: str, reason: str, next_step: str = _LOOK_AT_IT) -> None:
        self.thing = thing
        self.reason = reason
        self.next_step = next_step
        super().__init__(f"{thing} is unavailable: {reason}")


class Misconfigured(OutboxError):
    """Waiting does not help: a person must change something.

    Args:
        problem: what is wrong, naming the thing.
        next_step: what to do about it.
    """

    exit_code = ExitCode.MISCONFIGURED

    def __init__(self, problem: str, next_step: str) -> None:
        self.problem = problem
        self.next_step = next_step
        super().__init__(f"{problem}\n  next step: {next_step}")


class AccessRefused(Misconfigured):
    """Credentials or permissions were refused."""

    exit_code = ExitCode.ACCESS_REFUSED


class CursorUncertain(Misconfigured):
    """The database was restored or copied, or has lost transactions: what was published is uncertain."""


class SettingsOutdated(Misconfigured):
    """What the process was started with was changed behind it: waiting never helps, only starting it anew."""


class LeaseLost(OutboxError):
    """The epoch moved on: another process leads the stream or owns the lane."""


class Unpublishable(OutboxError):
    """An event that no broker would take, whatever is tried.

    Args:
        reason: why, without any of the payload.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class EventRefused(OutboxError):
    """An event that the outbox cannot hold, whatever is tried.

    Args:
        reason: why, without any of the event.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class PublishNotConfirmed(OutboxError):
    """The broker refused, or did not confirm, at least one message of a page."""


class MappingError(OutboxError):
    """A field of this payload cannot be mapped.

    Args:
        field: the source path, with places in lists.
        reason: what was found instead, by kind and never by value.
        target: the path in the target's document that it was for, if it is about one field.
    """

    def __init__(self, field: str, reason: str, target: str | None = None) -> None:
        self.field = field
        self.reason = reason
        self.target = target
        wanted = "" if target is None or target == field else f" (for {target!r})"
        super().__init__(f"field {field!r}{wanted}: {reason}")


class ReferenceMissing(MappingError):
    """The id that another system gave to a record is not known, or the key of ours for such an id.

    Args:
        field: the source path.
        target: the path in the target's document.
        entity: what kind of record it is.
        system: whose id is wanted, or given.
        key: what it is looked up by; of the payload, so it stands in no text.
        wants_key: the id is given, and our key is wanted.
    """

    def __init__(self, field: str, target: str, *, entity: str, system: str, key: str, wants_key: bool = False) -> None:
        self.entity = entity
        self.system = system
        self.key = key
        reason = f"{system} has no known id for this {entity}"
        super().__init__(field, f"we know no {entity} by this id of {system}" if wants_key else reason, target)


def obstacle(error: BaseException) -> OutboxError | None:
    """Return what stands in a service's way, or None when at least one of the errors is a bug.

    Task groups wrap what their tasks raise; what a person must act on is told before what passes by itself.
    """
    if isinstance(error, BaseExceptionGroup):
        obstacles = [obstacle(part) for part in error.exceptions]
        if None in obstacles:
            return None
        return min(
            (part for part in obstacles if part is not None),
            key=lambda part: not isinstance(part, Misconfigured),
        )
    return error if isinstance(error, (Unavailable, LeaseLost, Misconfigured, PublishNotConfirmed)) else None
