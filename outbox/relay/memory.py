"""What this process has seen published; it outlives the sessions of the relay."""

from __future__ import annotations

from collections.abc import Sequence

from outbox.model.cursor import Page
from outbox.model.envelope import Envelope, RefusedEvent
from outbox.model.witness import REMEMBERED_EVENTS, Published, Witness, together


class Memory:
    """The newest published events of one outbox, as far as this process knows. Costs nothing per event."""

    def __init__(self) -> None:
        self._published: dict[str, Published] = {}
        self._origin: str | None = None
        # Whether the broker knows less.
        self.has_news = False

    def recall(self, origin: str, from_broker: Witness | None) -> Witness | None:
        """Return everything that is known of this outbox, and go on from there; None: nobody remembers anything.

        Both sides count: another relay may have led meanwhile, and the broker hears of each event a moment later.
        """
        known = together(self.witness() if origin == self._origin else None, from_broker)
        self._origin = origin
        self.has_news = known is None or known != from_broker
        self._published = {one.message_id: one for one in known.published} if known is not None else {}
        return known

    def note(self, epoch: int, page: Page, refused: Sequence[RefusedEvent]) -> None:
        """Remember a page that the broker has confirmed, without what it has refused."""
        unpublished = {event.sequence for event in refused}
        for event in page.events[-REMEMBERED_EVENTS:]:
            if isinstance(event, Envelope) and event.sequence not in unpublished:
                # What was published again counts once, and as the newest.
                self._published.pop(event.message_id, None)
                self._published[event.message_id] = Published(epoch, event.sequence, event.message_id)
                self.has_news = True
        while len(self._published) > REMEMBERED_EVENTS:
            del self._published[next(iter(self._published))]

    def witness(self) -> Witness:
        """Return what the broker is to remember."""
        return Witness(tuple(self._published.values()))
