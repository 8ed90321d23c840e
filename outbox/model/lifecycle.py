"""What happens while the system runs, as values. Logs and metrics match over this one union, so none is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outbox.model.alert_events import AlertEvents
from outbox.model.consumer_events import ConsumerEvents
from outbox.model.contract_events import ContractEvents
from outbox.model.dead_copies import DeadEvents
from outbox.model.flow_events import FlowEvents
from outbox.model.guard_events import GuardEvents
from outbox.model.intake_events import IntakeEvents
from outbox.model.lane_events import LaneEvents
from outbox.model.reconcile_events import ReconcileEvents
from outbox.model.settings_events import SettingsEvents


@dataclass(frozen=True, slots=True)
class ServiceStarted:
    """A service begins to run, for the first time or again."""

    service: str


@dataclass(frozen=True, slots=True)
class ServiceWaiting:
    """A service cannot work now; the supervisor starts it again after the pause."""

    service: str
    reason: str
    pause_seconds: float
    needs_a_person: bool


@dataclass(frozen=True, slots=True)
class ServiceFailed:
    """A service ended by a bug; the process drains and ends."""

    service: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Draining:
    """A signal came: nothing new is taken, what is under way may end."""

    grace_seconds: float


@dataclass(frozen=True, slots=True)
class DrainOverrun:
    """The grace is over and somebody was still busy."""

    busy: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeadTaken:
    """This relay leads the stream from now on."""

    stream: str
    epoch: int
    previous: str


@dataclass(frozen=True, slots=True)
class StandingBy:
    """Another relay leads the stream."""

    stream: str


@dataclass(frozen=True, slots=True)
class PagePublished:
    """A page is confirmed by the broker. ``oldest_age_seconds``: commit-side age of its oldest event when read."""

    stream: str
    events: int
    last_sequence: int
    oldest_age_seconds: float
    confirm_seconds: float


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything committed up to now is confirmed."""

    stream: str


@dataclass(frozen=True, slots=True)
class EventRejected:
    """An event cannot become a message; it is recorded and a dead letter is out."""

    stream: str
    message_id: str
    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unrouted:
    """The broker routed a message to no queue; it was parked in outbox.unrouted."""

    message_id: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class UnroutedSeen:
    """How many messages wait in outbox.unrouted, and how many came there, at least, since the last look."""

    messages: int
    arrived: int


@dataclass(frozen=True, slots=True)
class PublishingBlocked:
    """The broker has no memory or disk left and takes nothing; we wait."""

    broker: str
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class PublishingUnblocked:
    """The broker takes messages again."""

    broker: str
    blocked_seconds: float
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class PublishingRefused:
    """The broker refused a message (a nack); the page is sent again on a new channel."""

    broker: str
    reason: str


@dataclass(frozen=True, slots=True)
class SendingAgain:
    """Pages were under way when the connection failed: their events may arrive twice, with the same ids."""

    stream: str
    events: int


@dataclass(frozen=True, slots=True)
class StreamObserved:
    """The watchdog has looked; see `Observation`."""

    stream: str
    is_waiting: bool
    oldest_age_seconds: float
    holder_pid: int | None
    holder_transactions: int | None
    holder_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class Stalled:
    """Committed events wait, nothing is published, and nobody has said why; the relay begins anew."""

    stream: str
    still_seconds: float
    oldest_age_seconds: float


@dataclass(frozen=True, slots=True)
class CursorSaved:
    """The cursor is in the database."""

    stream: str
    position: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch of messages is in the inbox. ``skipped``: as stale, because the flow says so."""

    flow: str
    accepted: int
    duplicates: int
    dead: int
    skipped: int


@dataclass(frozen=True, slots=True)
class LanesChanged:
    """The lanes that this process holds for a flow have changed."""

    flow: str
    held: int
    fair_share: int
    taken: int
    in_doubt: int


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """One call ended and its settlement is in the database."""

    flow: str
    message_id: str
    sequence: int
    attempt: int
    outcome: str
    state: str
    seconds: float
    traceparent: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class SettleRefused:
    """Results were void, because the lane has a new owner."""

    flow: str
    results: int


@dataclass(frozen=True, slots=True)
class DeadLetterPublished:
    """The copy of a dead delivery is in the dead-letter queue."""

    flow: str
    message_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class PartitionChanged:
    """A partition of the outbox table was created, opened, closed, emptied or dropped."""

    stream: str
    partition: str
    change: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PartitionPostponed:
    """A change of a partition has to wait; nothing else waits for it."""

    stream: str
    partition: str
    change: str
    reason: str


@dataclass(frozen=True, slots=True)
class PartitionsSeen:
    """How the partitions stand after a round of upkeep."""

    stream: str
    ahead: int
    oldest_age_seconds: float
    is_default_used: bool


_Services = ServiceStarted | ServiceWaiting | ServiceFailed | Draining | DrainOverrun
_Publishing = PublishingBlocked | PublishingUnblocked | PublishingRefused
# Defined beside what they are about.
_Told = GuardEvents | ConsumerEvents | FlowEvents | LaneEvents | DeadEvents
_Elsewhere = _Told | AlertEvents | ReconcileEvents | IntakeEvents | ContractEvents | SettingsEvents
Lifecycle = (
    _Services
    | _Publishing
    | _Elsewhere
    | DeadLetterPublished
    | LeadTaken
    | StandingBy
    | PagePublished
    | CaughtUp
    | EventRejected
    | Unrouted
    | UnroutedSeen
    | SendingAgain
    | StreamObserved
    | Stalled
    | CursorSaved
    | PartitionChanged
    | PartitionPostponed
    | PartitionsSeen
    | Accepted
    | LanesChanged
    | AttemptEnded
    | SettleRefused
)

Report = Callable[[Lifecycle], None]
