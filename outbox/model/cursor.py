"""The snapshot cursor: what is published, as a value. Pure; the SQL behind it reads rows by it.

``previous`` is the snapshot up to which everything is published. A batch is everything visible in ``current`` and not
in ``previous``, in order of id; ``position`` is the last confirmed id of the batch. Each committed row is in exactly
one batch, however late its transaction committed. After PgQ (Marko Kreen, Skype), without its ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from outbox.model.envelope import Envelope, RefusedEvent


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a stream is published. Snapshots are PostgreSQL's text form, ``xmin:xmax:xip,…``.

    ``horizon``: rows up to this id are judged by id alone, since a rebase; it never changes while somebody leads.
    """

    previous: str
    current: str | None = None
    position: int = 0
    horizon: int = 0

    def begun(self, current: str) -> Cursor:
        """Return the cursor at the start of the batch that ends at ``current``."""
        return Cursor(self.previous, current, self.position if self.current == current else 0, self.horizon)

    def advanced(self, sequence: int) -> Cursor:
        """Return the cursor after everything up to this id of the batch is confirmed or recorded as rejected."""
        return replace(self, position=sequence)

    def finished(self) -> Cursor:
        """Return the cursor after the whole batch."""
        if self.current is None:
            raise ValueError("no batch is open")
        return Cursor(self.current, horizon=self.horizon)


@dataclass(frozen=True, slots=True)
class Lead:
    """The right to move a stream's cursor, until somebody raises the epoch. ``origin``: the outbox and its copies."""

    epoch: int
    cursor: Cursor
    origin: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A range of visibility to be published. ``low`` and ``high`` bound the ids of new transactions, if any.

    ``floor``: no smaller id can be in the batch, and partitions below it are not looked at.
    """

    current: str
    stragglers: str
    low: int | None
    high: int | None
    floor: int = 0

    def is_empty(self) -> bool:
        """Say whether nothing has become visible."""
        return self.low is None and self.stragglers == "{}"

    def is_small(self, rows: int) -> bool:
        """Say whether it surely has no more rows than this, of whatever lane."""
        return self.stragglers == "{}" and (self.low is None or self.high is None or self.high - self.low < rows)

    def start(self, position: int) -> int:
        """Return the id behind which reading goes on when everything up to this position is published."""
        return max(position, self.floor - 1)


@dataclass(frozen=True, slots=True)
class Page:
    """The next events of a batch, in order of id. ``oldest_age_seconds``: age of the oldest by the database's clock.

    ``reach``: the page ends because nothing behind this id was looked at; up to it there is nothing more of this lane.
    """

    events: Sequence[Envelope | RefusedEvent]
    payload_bytes: int
    oldest_age_seconds: float
    reach: int | None = None

    def is_last(self, limits: PageLimits) -> bool:
        """Say whether the batch ends with this page."""
        return self.reach is None and not self.is_full(limits)

    def is_full(self, limits: PageLimits) -> bool:
        """Say whether the page was cut by count or by bytes."""
        return len(self.events) >= limits.max_events or self.payload_bytes >= limits.max_page_bytes

    def last_sequence(self) -> int:
        """Return the id that the cursor is at once this page is confirmed."""
        return self.events[-1].sequence if self.reach is None else self.reach


@dataclass(frozen=True, slots=True)
class Observation:
    """A stream as the database shows it to anybody.

    ``cursor_state`` changes whenever anything was published and saved. ``holder_…``: the session with the oldest
    transaction or snapshot, if there is one; its age in seconds is None where the relay's role may not see it.
    """

    cursor_state: str
    is_waiting: bool
    oldest_age_seconds: float
    holder_pid: int | None
    holder_transactions: int | None
    holder_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class PageLimits:
    """What a page may hold at most.

    A payload up to ``max_payload_bytes`` is read; one up to ``max_claimed_bytes`` stays where it is and travels as a
    reference; a larger one is refused.
    """

    max_events: int
    max_page_bytes: int
    max_payload_bytes: int
    max_claimed_bytes: int = 0
