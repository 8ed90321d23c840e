"""Values of the inbox that cross a border: what is accepted, fetched, settled, and what is dead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from outbox.model.circuit import CircuitState
from outbox.model.dead_copies import Copy
from outbox.model.delivery import Settlement, State

# On a dead letter's copy, when the broker would not take its body.
BODY_LEFT_OUT = "x-outbox-body-left-out-bytes"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it enters the inbox. With a ``refusal`` it is dead on arrival, for the reason given.

    Without a ``body`` its payload is in the outbox, where the ``claim`` says. With a ``copy`` it is that of a dead
    letter, which somebody moved back to the flow's queue.
    """

    message_id: str
    sequence: int
    type: str
    version: int
    key: str | None
    headers_json: str
    body: bytes | None
    traceparent: str | None = None
    refusal: str | None = None
    claim: str | None = None
    copy: Copy | None = None


@dataclass(frozen=True, slots=True)
class AcceptCounts:
    """What became of a batch of arrivals. ``accepted`` are all new ones, also those that are dead or skipped.

    ``redriven``, ``kept_dead``: copies of dead letters that were moved back; tried again, or not.
    """

    accepted: int
    duplicates: int
    dead: int
    redriven: int
    kept_dead: int
    skipped: int


@dataclass(frozen=True, slots=True)
class HeldLanes:
    """The lanes that this process holds after a renewal: lane number to epoch."""

    epochs: Mapping[int, int]
    taken: int
    fair_share: int
    in_doubt: int


@dataclass(frozen=True, slots=True)
class FlowStanding:
    """How a flow stands in the database. Counts stop at a bound; ages are 0 when there is nothing.

    ``changed_by``: the person who opened or closed the circuit; None: a process did. ``oldest_waiting_age_seconds``:
    of what waits for its first call since it is due, of what waits for another one since it was accepted; parked ones
    do not wait. ``quiet_seconds``: since a message was accepted, to ten seconds. ``awaiting``: what waits for ids of
    other systems.
    """

    circuit: CircuitState
    needs_a_person: bool
    reason: str | None
    changed_at: datetime
    changed_by: str | None
    dead: int
    in_doubt: int
    blocked: int
    oldest_due_age_seconds: float
    oldest_waiting_age_seconds: float
    quiet_seconds: float
    awaiting: int = 0


class CallKind(StrEnum):
    """What a call is for; only one that sends can take effect. The same words in ``inbox.attempt.call``."""

    SEND = "send"
    LOOK_UP = "look_up"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that may be acted on now. The ages are None when no request has left yet.

    ``is_watched``: the flow's circuit wants to know how its call ends, also when it goes well: calls have failed, and
    none has shown since that the target works; ``is_probe``: its call decides whether the circuit closes;
    ``failing_seconds``: for how long it has been failing, told of what is watched.
    ``due_seconds``: for how long it has been due. ``generation``: 0, or the replay that wants it applied again.
    ``circuit_changed_at``: when the flow's circuit was last opened or closed.
    ``key_number``, ``reference``, ``job``: of what was sent; see the columns of ``inbox.delivery``.
    """

    id: int
    lane: int
    epoch: int
    state: State
    sequence: int
    message_id: str
    type: str
    version: int
    key: str | None
    attempt: int
    failures: int
    sent_age_seconds: float | None
    last_sent_age_seconds: float | None
    request_sha256: bytes | None
    key_number: int
    reference: str | None
    job: str | None
    traceparent: str | None
    body: bytes
    generation: int = 0
    is_watched: bool = False
    is_probe: bool = False
    due_seconds: float = 0.0
    failing_seconds: float = 0.0
    circuit_changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Beginning:
    """A call that is about to leave. What is sent is stored first, its hash and all.

    ``may_differ``: another request may go to the record of the same reference. ``starts_anew``: every answer so far
    said that nothing was done, and this is another request under the next key.
    """

    id: int
    epoch: int
    kind: CallKind
    request_sha256: bytes | None = None
    reference: str | None = None
    adapter_version: str | None = None
    may_differ: bool = False
    starts_anew: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a call. ``is_unsent``: it is certain that no byte of the request left."""

    id: int
    epoch: int
    kind: CallKind
    outcome: str
    http_status: int | None
    is_unsent: bool
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Parking:
    """A delivery that is parked without a call. With ``delay_seconds`` it is only too early to ask."""

    id: int
    epoch: int
    state: State
    reason: str
    reason_class: str
    delay_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead delivery whose copy belongs into the dead-letter queue."""

    id: int
    flow: str
    message_id: str
    sequence: int
    type: str
    version: int
    key: str | None
    attempts: int
    reason: str
    reason_class: str
    headers: Mapping[str, object]
    body: bytes
    deaths: int = 1

    def fitting(self, max_bytes: int | None) -> DeadLetter:
        """Return the copy as this broker takes it: a body that is too large is left out and stays in the inbox."""
        if max_bytes is None or len(self.body) <= max_bytes:
            return self
        return replace(self, body=b"", headers={**self.headers, BODY_LEFT_OUT: len(self.body)})
