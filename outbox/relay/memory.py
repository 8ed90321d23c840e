"""What this process has seen published; it outlives the sessions of the relay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from outbox.model.cursor import Page
from outbox.model.envelope import RefusedEvent
from outbox.model.witness import REMEMBERED_EVENTS, Published, Witness, together


class _Noted(NamedTuple):
    epoch: int
    page: Page
    refused: Sequence[RefusedEvent]


class Memory:
    """The newest published events of one outbox, as far as this process knows."""

    def __init__(self) -> None:
        self._published: dict[str, Published] = {}
        # Newer than these, and not yet among them.
        self._latest: _Noted | None = None
        self._origin: str | None = None
        # Whether the broker knows less.
        self.has_news = False

    def recall(self, origin: str, from_broker: Witness | None) -> Witness | None:
        """Return everything that is known of this outbox, and go on from there; None: nobody remembers anything.

        Both sides count: another relay may have led meanwhile, and the broker hears of each event a moment later.
        """
        known = together(self.witness() if origin == self._origin else None, from_broker)
        self._origin = origin
        self._latest = None
        self.has_news = known is None or known != from_broker
        self._published = {one.message_id: one for one in known.published} if known is not None else {}
        return known

    def note(self, epoch: int, page: Page, refused: Sequence[RefusedEvent]) -> None:
        """Remember a page that the broker has confirmed, without what it has refused."""
        noted = _Noted(epoch, page, refused)
        published = len(page.events) - len(refused)
        if published >= REMEMBERED_EVENTS:
            # Nothing older will be asked for: while a backlog drains, a page is looked at only when the broker is told.
            self._published.clear()
            self._latest = noted
        else:
            self._take_in_latest()
            self._take_in(noted)
        self.has_news = self.has_news or published > 0

    def witness(self) -> Witness:
        """Return what the broker is to remember."""
        self._take_in_latest()
        return Witness(tuple(self._published.values()))

    def _take_in_latest(self) -> None:
        if self._latest is not None:
            self._take_in(self._latest)
            self._latest = None

    def _take_in(self, noted: _Noted) -> None:
        unpublished = {event.sequence for event in noted.refused}
        for event in noted.page.events:
            if event.sequence not in unpublished:
                # What was published again counts once, and as the newest.
                self._published.pop(event.message_id, None)
                self._published[event.message_id] = Published(noted.epoch, event.sequence, event.message_id)
        while len(self._published) > REMEMBERED_EVENTS:
            del self._published[next(iter(self._published))]
