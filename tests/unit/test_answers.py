"""Confirms matched by page, against a model that keeps one flag for each message."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from outbox.model.errors import PublishNotConfirmed
from outbox.rabbitmq.answers import Confirmations, Page, TagsByMessageId, Unanswered

SIZES = st.lists(st.integers(1, 8), min_size=1, max_size=4)


def channel(sizes: list[int]) -> tuple[Unanswered, list[Page]]:
    unanswered, pages, tag = Unanswered(), [], 1
    for size in sizes:
        page = Page("the broker", [f"id-{n}" for n in range(tag, tag + size)], tag)
        unanswered.add(page)
        pages.append(page)
        tag += size
    return unanswered, pages


def tell(confirmations: Confirmations, answer: Basic.Ack | Basic.Nack) -> None:
    """Do with the tables what aiormq does for a confirm frame."""
    tag = answer.delivery_tag
    assert tag is not None
    if tag not in confirmations:
        return
    keys = [key for key in confirmations.keys() if tag >= key] if answer.multiple else [tag]  # noqa: SIM118 - it is no dictionary
    for key in keys:
        page = confirmations.pop(key)
        assert isinstance(page, Page)
        if isinstance(answer, Basic.Ack):
            page.set_result(answer)
        else:
            page.set_exception(RuntimeError("no"))


@given(sizes=SIZES, data=st.data())
def test_a_page_is_answered_when_its_last_message_is_and_never_before(sizes: list[int], data: st.DataObject) -> None:
    async def scenario() -> None:
        unanswered, pages = channel(sizes)
        confirmations = Confirmations(unanswered)
        last = sum(sizes)
        open_tags = set(range(1, last + 1))
        while open_tags:
            tag = data.draw(st.sampled_from(sorted(open_tags)))
            multiple = data.draw(st.booleans())
            tell(confirmations, Basic.Ack(tag, multiple))
            open_tags -= {one for one in open_tags if one <= tag} if multiple else {tag}
            for page in pages:
                assert page.answered.done() == (not any(one in page for one in open_tags))
            for page in pages:
                if page.answered.done():
                    unanswered.discard(page)

    asyncio.run(scenario())


@given(sizes=SIZES, data=st.data())
def test_a_nack_fails_its_page_and_with_multiple_every_page_up_to_it(sizes: list[int], data: st.DataObject) -> None:
    async def scenario() -> None:
        unanswered, pages = channel(sizes)
        tag = data.draw(st.integers(1, sum(sizes)))
        multiple = data.draw(st.booleans())
        tell(Confirmations(unanswered), Basic.Nack(tag, multiple))
        for page in pages:
            is_meant = tag in page or (multiple and page <= tag)
            assert page.answered.done() == is_meant
            if is_meant:
                assert isinstance(page.answered.exception(), PublishNotConfirmed)
        # An ack that comes later does not turn a refusal into a success.
        tell(Confirmations(unanswered), Basic.Ack(sum(sizes), True))
        assert all(isinstance(page.answered.exception(), PublishNotConfirmed) for page in pages if tag in page)

    asyncio.run(scenario())


@given(sizes=SIZES, data=st.data())
def test_a_return_belongs_to_its_message_and_does_not_answer_it(sizes: list[int], data: st.DataObject) -> None:
    async def scenario() -> None:
        unanswered, pages = channel(sizes)
        confirmations, tags = Confirmations(unanswered), TagsByMessageId(unanswered)
        tag = data.draw(st.integers(1, sum(sizes)))
        assert tags.get("somebody else's") is None
        assert tags.get(f"id-{tag}") == tag
        returned = confirmations.pop(tag, None)
        assert returned is not None
        returned.set_exception(RuntimeError("NO_ROUTE"))
        confirmations[tag] = object()
        first = 1
        for page, size in zip(pages, sizes, strict=True):
            assert page.returned == ([tag - first] if tag in page else [])
            assert not page.answered.done()
            first += size
        tell(confirmations, Basic.Ack(sum(sizes), True))
        assert all(page.answered.done() and page.answered.exception() is None for page in pages)

    asyncio.run(scenario())


def test_a_tag_that_is_not_under_way_is_nobody_s() -> None:
    async def scenario() -> None:
        unanswered, (page,) = channel([3])
        confirmations = Confirmations(unanswered)
        assert 4 not in confirmations
        assert confirmations.pop(4, None) is None
        unanswered.discard(page)
        unanswered.discard(page)
        assert 2 not in confirmations
        assert not confirmations.keys()

    asyncio.run(scenario())


def test_a_page_that_lost_its_channel_tells_why() -> None:
    async def scenario() -> None:
        _, (page,) = channel([2])
        page.set_result(Basic.Ack(1, False))
        page.fail(ConnectionResetError("cut"))
        page.set_result(Basic.Ack(2, False))
        with pytest.raises(ConnectionResetError):
            await page.answered

    asyncio.run(scenario())
