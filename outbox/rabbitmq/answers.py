"""Which messages of a channel the broker has answered for. Pure; stands where aiormq keeps its own tables.

aiormq asks these tables for each delivery tag of an answer: one future, one callback and one dictionary entry a
message, which together cost more than sending it. Here a page of messages is one entry. What aiormq 7 does with its
tables is all that they offer: ``tag in confirmations``, ``tag >= key for key in confirmations.keys()``,
``confirmations.pop(tag_or_key)`` and, on what that gives, ``done``, ``set_result`` and ``set_exception``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

from outbox.model.errors import PublishNotConfirmed


class _Answer(Protocol):
    """A confirm frame: up to a tag, or for this one."""

    delivery_tag: int | None
    multiple: bool


class Page:
    """Messages that were written together, under consecutive tags.

    Args:
        server: how people call the broker.
        message_ids: one for each message, in order.
        first_tag: the delivery tag of the first.
    """

    def __init__(self, server: str, message_ids: Sequence[str], first_tag: int) -> None:
        self._server = server
        self._message_ids = message_ids
        self._first_tag = first_tag
        self._last_tag = first_tag + len(message_ids) - 1
        # Everything below is confirmed; above it, what was confirmed out of turn.
        self._unconfirmed_from = first_tag
        self._confirmed_beyond: set[int] = set()
        self.returned: list[int] = []
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __contains__(self, tag: int) -> bool:
        return self._first_tag <= tag <= self._last_tag

    def __le__(self, tag: int) -> bool:
        """Say whether an answer "up to this tag" speaks of this page."""
        return self._first_tag <= tag

    def tag_of(self, message_id: str) -> int | None:
        """Return the tag that a message was sent under."""
        try:
            return self._first_tag + self._message_ids.index(message_id)
        except ValueError:
            return None

    def done(self) -> bool:
        """Answer aiormq, which asks whether somebody has given up waiting; a page is told everything."""
        return False

    def set_result(self, ack: _Answer) -> None:
        """Take an ack."""
        tag = ack.delivery_tag or 0
        if ack.multiple:
            self._unconfirmed_from = max(self._unconfirmed_from, min(tag, self._last_tag) + 1)
        elif tag >= self._unconfirmed_from:
            self._confirmed_beyond.add(tag)
        while self._unconfirmed_from in self._confirmed_beyond:
            self._confirmed_beyond.discard(self._unconfirmed_from)
            self._unconfirmed_from += 1
        if self._unconfirmed_from > self._last_tag and not self.answered.done():
            self.answered.set_result(None)

    def set_exception(self, error: BaseException) -> None:
        """Take a nack."""
        self.fail(PublishNotConfirmed(f"{self._server} refused a message: {error}"))

    def note_return(self, tag: int) -> None:
        """Note that a message was routed to no queue; the ack that follows says nothing else."""
        self.returned.append(tag - self._first_tag)

    def fail(self, error: Exception) -> None:
        """End the wait: nobody will answer any more, or one answer was a refusal."""
        if not self.answered.done():
            self.answered.set_exception(error)


class _Returned:
    """What aiormq tells of a returned message."""

    def __init__(self, page: Page, tag: int) -> None:
        self._page = page
        self._tag = tag

    def set_exception(self, _: BaseException) -> None:
        self._page.note_return(self._tag)


class Unanswered:
    """The pages of a channel that wait for answers, oldest first."""

    def __init__(self) -> None:
        self._pages: list[Page] = []

    def __iter__(self) -> Iterator[Page]:
        return iter(tuple(self._pages))

    def add(self, page: Page) -> None:
        """Expect answers for a page."""
        self._pages.append(page)

    def discard(self, page: Page) -> None:
        """Expect none any more."""
        if page in self._pages:
            self._pages.remove(page)

    def holding(self, tag: int) -> Page | None:
        """Return the page with this tag."""
        return next((page for page in self._pages if tag in page), None)


class Confirmations:
    """``Channel.confirmations``: its keys are pages, and every tag in them is found."""

    def __init__(self, unanswered: Unanswered) -> None:
        self._unanswered = unanswered

    def __contains__(self, tag_or_page: int | Page) -> bool:
        return isinstance(tag_or_page, Page) or self._unanswered.holding(tag_or_page) is not None

    def __setitem__(self, tag: int, _: object) -> None:
        # A returned message gets a placeholder there, so that the ack behind it finds one; a page needs none.
        pass

    def keys(self) -> tuple[Page, ...]:
        """Return the pages that an answer with "multiple" may speak of."""
        return tuple(self._unanswered)

    def pop(self, tag_or_page: int | Page, *default: None) -> Page | _Returned | None:
        """Return who wants to know. With a default, aiormq asks for a returned message; without, for a confirm."""
        if isinstance(tag_or_page, Page):
            return tag_or_page
        page = self._unanswered.holding(tag_or_page)
        return _Returned(page, tag_or_page) if page is not None and default else page


class TagsByMessageId:
    """``Channel.message_id_delivery_tag``: looked for when a message is returned, which is rare."""

    def __init__(self, unanswered: Unanswered) -> None:
        self._unanswered = unanswered

    def get(self, message_id: str) -> int | None:
        """Return the tag that a message was sent under."""
        return next((tag for page in self._unanswered if (tag := page.tag_of(message_id)) is not None), None)
