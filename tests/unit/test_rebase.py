"""What the facts about a cursor and its server mean, and what is remembered as published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.model.cursor import Cursor, Lead, Page
from outbox.model.envelope import Envelope, RefusedEvent
from outbox.model.rebase import RebasePlan, Recollection, certainties, findings, uncertainties
from outbox.model.witness import REMEMBERED_EVENTS, Published, Witness, together
from outbox.relay.guard import Guard
from outbox.relay.memory import Memory

HEALTHY = RebasePlan(
    epoch=3,
    saved_age_seconds=1.0,
    origin="o",
    saved_cluster=7,
    cluster=7,
    saved_database=5,
    database=5,
    saved_timeline="00000001",
    timeline="00000001",
    saved_transaction=90,
    newest_row_transaction=95,
    transaction=100,
    events=10,
    first_sequence=1,
    last_sequence=10,
    sequence_value=12,
    unpassed=0,
    first_unpassed=None,
    last_unpassed=None,
    rejected=1,
    chosen=0,
    first_chosen=None,
    last_chosen=None,
    oldest_chosen_age_seconds=None,
    newest_chosen_age_seconds=None,
    chosen_types={},
    recollection=Recollection(remembered=10, highest_sequence=10),
)
LOST = Recollection(remembered=10, highest_sequence=30, lost=2, first_lost=29, last_lost=30)


@pytest.mark.parametrize(
    ("plan", "found"),
    [
        (HEALTHY, []),
        (replace(HEALTHY, saved_cluster=None, saved_database=None, saved_timeline=None), []),
        (replace(HEALTHY, cluster=8, timeline="00000002"), ["another cluster"]),
        (replace(HEALTHY, database=6), ["another database of this cluster"]),
        (replace(HEALTHY, timeline="00000002"), ["failed over or was recovered"]),
        (replace(HEALTHY, transaction=89), ["cursor is ahead", "not come to yet"]),
        (replace(HEALTHY, recollection=LOST), ["2 of the last 10 published events do not exist here"]),
    ],
)
def test_each_sign_of_a_restore_is_found_and_a_healthy_cursor_has_none(plan: RebasePlan, found: list[str]) -> None:
    sentences = findings(plan)
    assert len(sentences) == len(found)
    assert all(part in sentence for part, sentence in zip(found, sentences, strict=True))


def test_only_what_is_certain_is_called_certain() -> None:
    plan = replace(HEALTHY, cluster=8, unpassed=4, first_unpassed=7, last_unpassed=10)
    assert certainties(plan)[0].startswith("6 of 10 events were passed by the cursor: each was published, or is one of")
    assert "4 events (sequence 7 to 10) were not passed" in uncertainties(plan)[0]
    assert "cannot be seen from here" in uncertainties(plan)[1]
    assert uncertainties(HEALTHY) == []
    unasked = replace(HEALTHY, recollection=Recollection(problem="RabbitMQ is away"))
    assert uncertainties(unasked) == ["The broker could not be asked what it remembers: RabbitMQ is away."]


def test_no_sequence_number_is_given_out_again_that_a_receiver_may_know() -> None:
    assert HEALTHY.next_sequence_above() == 12
    assert replace(HEALTHY, sequence_value=5).next_sequence_above() == 10
    assert replace(HEALTHY, recollection=LOST).next_sequence_above() > 30 + 10_000


def test_a_witness_comes_back_from_the_broker_as_it_went() -> None:
    witness = Witness((Published(1, 7, "a"), Published(2, 9, "b")))
    assert Witness.from_json(witness.to_json("o")) == ("o", witness)
    assert witness.highest_sequence() == 9
    for garbage in (b"", b"{}", b"[1]", b'{"published": [[1]]}', b'{"published": 3}'):
        with pytest.raises(ValueError):  # noqa: PT011 - any message will do
            Witness.from_json(garbage)


def test_what_two_remember_counts_once_and_for_its_last_publisher() -> None:
    first, second = Witness((Published(1, 7, "a"), Published(3, 8, "b"))), Witness((Published(2, 7, "a"),))
    both = together(first, second)
    assert both is not None
    assert set(both.published) == {Published(2, 7, "a"), Published(3, 8, "b")}
    assert together(None, second) == second
    assert together(None, None) is None


def _page(*sequences: int) -> Page:
    return Page([Envelope(f"m{n}", n, "t", 1, None, b"{}", 0, {}) for n in sequences], 2, 0.0)


def test_a_memory_keeps_the_newest_events_and_nothing_that_was_refused() -> None:
    memory = Memory()
    assert memory.recall("o", None) is None, "a new process knows nothing"
    memory.note(1, _page(*range(1, 500)), ())
    memory.note(1, _page(500, 501), [RefusedEvent("m501", 501, "t", 1, None, "too large")])
    memory.note(2, _page(400), ())
    witness = memory.witness()
    assert len(witness.published) == REMEMBERED_EVENTS
    assert witness.published[-1] == Published(2, 400, "m400")
    assert witness.highest_sequence() == 500
    assert memory.recall("o", Witness((Published(3, 900, "x"),))) is not None
    assert memory.witness().highest_sequence() == 900
    memory.note(4, _page(*range(1000, 1000 + REMEMBERED_EVENTS)), ())
    assert memory.recall("another outbox", None) is None
    assert memory.witness() == Witness()


def test_a_memory_counts_what_a_large_page_repeats_once_and_forgets_what_it_refused() -> None:
    memory = Memory()
    memory.recall("o", None)
    memory.note(1, _page(3, 900), ())
    refused = [RefusedEvent(f"m{n}", n, "t", 1, None, "too large") for n in (1, 250)]
    memory.note(2, _page(*range(1, REMEMBERED_EVENTS + 51)), refused)
    memory.note(3, _page(3), ())
    remembered = memory.witness().published
    assert len(remembered) == REMEMBERED_EVENTS
    assert remembered[-2:] == (Published(2, 249, "m249"), Published(3, 3, "m3"))
    assert not {1, 250, 900} & {one.sequence for one in remembered}


def test_a_page_of_which_nothing_was_published_is_no_news() -> None:
    memory = Memory()
    memory.recall("o", Witness())
    memory.note(1, _page(7), [RefusedEvent("m7", 7, "t", 1, None, "too large")])
    assert not memory.has_news


class _Broker:
    """Counts what the broker is told; no server is needed to see when nothing is."""

    def __init__(self) -> None:
        self.kept: Witness | None = None
        self.told = 0

    async def recall(self, _origin: str) -> Witness | None:
        return self.kept

    async def remember(self, _origin: str, witness: Witness) -> None:
        self.told += 1
        self.kept = witness


class _Database:
    async def verify(self, _lead: Lead, _witness: Witness | None) -> str | None:
        return None


async def test_the_broker_is_told_only_what_it_does_not_know() -> None:
    broker, lead, memory = _Broker(), Lead(2, Cursor("1:1:"), "o"), Memory()
    for expected in (1, 1):
        guard = Guard("outbox.event", lead, _Database(), broker, memory, lambda _event: None)
        await guard.verify()
        await guard.tell()
        assert broker.told == expected, "taking the lead again and saving an idle cursor cost no message"
    guard.note(_page(7), ())
    for _ in range(3):
        await guard.tell()
    await guard.tell_at_the_end()
    assert broker.told == 2
    assert broker.kept is not None
    assert broker.kept.highest_sequence() == 7


async def test_what_is_published_while_the_broker_is_told_is_told_the_next_time() -> None:
    lead, memory = Lead(2, Cursor("1:1:"), "o"), Memory()

    class SlowBroker(_Broker):
        async def remember(self, origin: str, witness: Witness) -> None:
            if self.told == 1:
                guard.note(_page(8), ())
            await super().remember(origin, witness)

    broker = SlowBroker()
    guard = Guard("outbox.event", lead, _Database(), broker, memory, lambda _event: None)
    await guard.verify()
    guard.note(_page(7), ())
    await guard.tell()
    await guard.tell()
    assert broker.kept is not None
    assert broker.kept.highest_sequence() == 8
