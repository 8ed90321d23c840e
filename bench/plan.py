"""What is measured, how often and how long. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

T = TypeVar("T")


class Section(StrEnum):
    """A part of the run that can be asked for by itself."""

    DRAIN = "drain"
    LATENCY = "latency"
    ERP = "erp"
    IDLE = "idle"
    CRASH = "crash"
    FLOW = "flow"
    DEPTH = "depth"
    MAPPING = "mapping"
    INTAKE = "intake"


class Condition(StrEnum):
    """What a stranger's session does meanwhile, in the same database."""

    QUIET = "quiet"
    # A transaction that has drawn an id and stays open: it holds the horizon of VACUUM and of every xmin fence.
    XID = "xid open"
    # A repeatable read transaction that only reads: it holds the horizon of VACUUM without having an id.
    SNAPSHOT = "snapshot held"


class Contender(StrEnum):
    """Whoever moves events to the broker."""

    LIMIT = "C limit"
    RELAY = "relay"
    PLAIN = "relay, plain publisher"
    SKIP_LOCKED = "SKIP LOCKED + aio-pika"


class Applier(StrEnum):
    """Whoever brings messages into effect in another system."""

    BARE = "bare aiohttp loop"
    FLOW = "flow"
    BATCHES = "flow, batches"
    # One key has a dead letter, and everything of it waits behind that.
    BLOCKED = "flow beside a blocked key"
    # Its queue holds many times what is measured.
    FLOOD = "flow before a full queue"
    CONSUMER = "aio-pika consumer with processed_messages"


# What is committed in the first moments of a load meets a publisher that is idle, and is not counted.
WARM_UP_SECONDS = 0.5


class MappingWay(StrEnum):
    """Whatever turns a payload into a target's document."""

    RULES = "compiled rules"
    HAND = "Python by hand"


class Plan(BaseModel):
    """The size of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sections: tuple[Section, ...] = tuple(Section)
    rounds: PositiveInt = 3
    # Events that wait when a drain begins, and that are measured.
    events: PositiveInt = 100_000
    payload_bytes: PositiveInt = 1_024
    events_per_transaction: PositiveInt = 10
    deep_events: PositiveInt = 5_000_000
    # How long each latency, ERP and idle measurement takes; the first moments of a load are not counted.
    seconds: Annotated[float, Field(ge=2 * WARM_UP_SECONDS)] = 5.0
    idle_seconds: PositiveFloat = 15.0
    # Deliveries that wait behind a dead one of their key, and messages in the full queue.
    blocked: PositiveInt = 100_000
    flood_events: PositiveInt = 1_000_000
    rates: tuple[PositiveInt, ...] = (100, 1_000, 5_000)

    @model_validator(mode="after")
    def _is_deep_enough(self) -> Self:
        if self.deep_events < self.events * (self.rounds + 1):
            raise ValueError("the deep backlog must outlast its rounds: take more deep events, or fewer events")
        return self

    @property
    def warm_up_events(self) -> int:
        """Events of the round that is not measured, in which every message is compared with the database."""
        return max(self.events // 10, 1)

    @property
    def flow_events(self) -> int:
        """Events that each flow applies: a call costs more than a message."""
        return max(self.events // 10, 1)

    def is_complete(self) -> bool:
        """Say whether everything is measured, and nothing less than what the bars are for."""
        return (
            set(self.sections) >= set(FULL.sections) - _CAME_LATER
            and set(self.rates) >= set(FULL.rates)
            and all(getattr(self, size) >= getattr(FULL, size) for size in _SIZES)
        )


def in_turn(members: Iterable[T], number: int) -> list[T]:
    """Return the members in the order of a round: whoever was first is last in the next, so that no place is better."""
    order = list(members)
    first = number % len(order) if order else 0
    return order[first:] + order[:first]


FULL = Plan()
QUICK = Plan(
    rounds=1, events=10_000, deep_events=100_000, blocked=10_000, flood_events=20_000, seconds=2.0, idle_seconds=3.0
)

# A report of the time before there were any is still a full one.
_CAME_LATER = frozenset({Section.MAPPING, Section.INTAKE})
_SIZES = ("rounds", "events", "payload_bytes", "deep_events", "blocked", "flood_events", "seconds", "idle_seconds")

# The bar for latency is set at this rate.
BAR_RATE = 1_000
# What the intake must take without an error.
INTAKE_RATE = 2_000
