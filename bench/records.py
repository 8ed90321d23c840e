"""What was measured: one record for each measurement, and the report that holds them all. No judgement."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bench.plan import Applier, Condition, Contender, MappingWay, Plan


class Record(BaseModel):
    """A value that is written to the report and read back without loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Drain(Record):
    """One contender published one backlog.

    ``events_per_second`` is seen from the queue: from the last look at which it was empty to the last message. The CPU
    time is the contender's process between the same two looks; ``peak_resident_mb`` and ``process_seconds`` are of its
    whole life. ``dead_made``: row versions that it made obsolete in its event table; ``dead_left``: those that VACUUM
    had not removed when it ended.
    """

    round: int
    contender: Contender
    condition: Condition
    events: int
    arrived: int
    events_per_second: float
    cpu_microseconds_per_event: float
    peak_resident_mb: float
    process_seconds: float
    dead_made: int | None = None
    dead_left: int | None = None


class Depth(Record):
    """The relay published the first events of a backlog.

    ``events_per_second`` is of the pages. ``begin_batch_seconds`` is what finding the batch costs, once for a backlog;
    ``first_message_seconds`` is from the start of the process to the first message in the queue.
    """

    round: int
    waiting: int
    events: int
    arrived: int
    events_per_second: float
    begin_batch_seconds: float
    first_message_seconds: float

    def whole_backlog_per_second(self) -> float:
        """Return the rate with the cost of finding the batch spread over the backlog that was found."""
        return self.waiting / (self.begin_batch_seconds + self.waiting / self.events_per_second)


class Quantiles(Record):
    """A distribution, in milliseconds."""

    p50: float
    p99: float
    max: float


class Latency(Record):
    """Events committed at a fixed rate, each in a transaction of its own.

    Every time begins when the application has the answer to its COMMIT. ``confirm`` ends when the relay has the
    broker's confirm for the page that holds the event, ``delivered`` when an independent consumer has the message.
    ``late_p99_ms``: how late the committer itself was, for the load to be judged.
    """

    round: int
    contender: Contender
    condition: Condition
    wanted_per_second: int
    committed: int
    committed_per_second: float
    late_p99_ms: float
    lost: int
    repeated: int
    confirm: Quantiles | None
    delivered: Quantiles


class ErpTable(StrEnum):
    """Where an ERP transaction inserts its second row."""

    PLAIN = "plain one-index table"
    OUTBOX = "outbox.event"
    OUTBOX_RELAYED = "outbox.event, relay running"


class Erp(Record):
    """Transactions of an ERP: an update of a business row and an insert. ``arrived``: in the queue, with a relay."""

    round: int
    table: ErpTable
    condition: Condition
    transactions: int
    per_second: float
    arrived: int | None = None


class Idle(Record):
    """A relay without work."""

    round: int
    condition: Condition
    seconds: float
    cpu_percent_of_a_core: float
    statements_per_second: float
    resident_mb: float


class Flow(Record):
    """One applier worked through its queue, or through the first of a full one.

    Rates are seen from the target, from its first effect to its last.
    """

    round: int
    applier: Applier
    events: int
    effects: int
    effects_per_second: float
    cpu_microseconds_per_effect: float
    peak_resident_mb: float
    process_seconds: float


class Mapped(Record):
    """One document was mapped again and again: reading its JSON and making the target's document, by CPU time."""

    round: int
    way: MappingWay
    payload_bytes: int
    microseconds_per_document: float


class Crash(Record):
    """A relay that was killed and started again under a load; ``repeated``: arrivals beyond the first of each event."""

    events_per_second: int
    kills: int
    committed: int
    lost: int
    repeated: int


class Intake(Record):
    """Signed webhooks sent at a fixed rate; ``taken`` were answered with 202, ``events`` are in the outbox.

    A time begins at the moment that was fixed for its request, and ends with the answer, which follows the commit.
    ``late_p99_ms``: how late the sender itself was, for the load to be judged.
    """

    round: int
    wanted_per_second: int
    taken: int
    others: int
    events: int
    per_second: float
    late_p99_ms: float
    answered: Quantiles
    cpu_microseconds_per_request: float
    peak_resident_mb: float


class Bar(Record):
    """What a figure must reach."""

    kind: Literal["at least", "at most"]
    limit: float

    def is_met(self, value: float) -> bool:
        """Say whether a value reaches it."""
        return value >= self.limit if self.kind == "at least" else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.kind == 'at least' else '≤'} {self.limit:g}"


class Figure(Record):
    """A median over the rounds with its spread, and the bar, if one is set. None: it was not measured."""

    name: str
    unit: str
    value: float | None
    low: float | None = None
    high: float | None = None
    bar: Bar | None = None

    def is_missed(self) -> bool:
        """Say whether there is a bar and the value does not reach it."""
        return self.bar is not None and self.value is not None and not self.bar.is_met(self.value)


class Machine(Record):
    """Where it was measured; nothing that would name the machine."""

    cores: int
    processor: str
    memory_gb: float
    system: str
    python: str
    postgresql: str
    rabbitmq: str
    load_before: float
    is_private: bool
    # As the server and this version have them in effect, not as somebody wrote them down.
    postgresql_settings: dict[str, str]
    relay_settings: dict[str, str]


class Report(Record):
    """One run. The figures follow from the records and nothing else."""

    format: Literal[1] = 1
    commit: str
    has_uncommitted_changes: bool
    measured_at: datetime
    seconds: float
    plan: Plan
    machine: Machine
    how: tuple[str, ...]
    absent: dict[Contender, str]
    drains: tuple[Drain, ...] = ()
    depths: tuple[Depth, ...] = ()
    latencies: tuple[Latency, ...] = ()
    erps: tuple[Erp, ...] = ()
    idles: tuple[Idle, ...] = ()
    flows: tuple[Flow, ...] = ()
    crashes: tuple[Crash, ...] = ()
    mappings: tuple[Mapped, ...] = ()
    intakes: tuple[Intake, ...] = ()
    wrong: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
