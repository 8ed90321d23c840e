"""When a consumer that gets nothing is dead: messages wait at every look, none is taken, and nobody else takes any."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext, suppress

import pytest

from outbox.inbox import accept
from outbox.inbox.accept import Acceptor, AcceptorSettings
from outbox.inbox.silence import Silence
from outbox.model.consumer_events import ConsumerSilent
from outbox.model.errors import Unavailable
from outbox.model.lifecycle import Lifecycle
from outbox.supervisor import Pulse, Stop

AFTER = 60.0


def seen(*looks: tuple[float, int]) -> list[float]:
    """Return what each look, at a second and with so many ready messages, says of the silence."""
    silence = Silence(AFTER)
    assert not silence.is_look_due(0.0)
    return [silence.see(ready, now) for now, ready in looks]


def test_a_queue_is_looked_at_only_when_nothing_came_for_a_while() -> None:
    silence = Silence(AFTER)
    assert [silence.is_look_due(now) for now in (100.0, 114.9, 115.0)] == [False, False, True]
    silence.end()
    assert [silence.is_look_due(now) for now in (116.0, 130.9, 131.0)] == [False, False, True]


def test_messages_that_wait_at_every_look_are_silence_from_the_first_look_on() -> None:
    assert seen((15, 3), (30, 3), (45, 4), (60, 9), (75, 9)) == [0, 15, 30, 45, 60]


@pytest.mark.parametrize(
    ("looks", "silent_seconds"),
    [
        (((15, 3), (30, 0), (45, 3)), 0),
        (((15, 3), (30, 2), (45, 2)), 15),
        (((15, 3), (30, 3), (75, 3), (90, 3)), 15),
        (((90, 3),), 0),
    ],
    ids=["the queue was empty", "somebody takes messages", "nobody asked for a while", "the first look"],
)
def test_silence_begins_anew_when(looks: tuple[tuple[float, int], ...], silent_seconds: float) -> None:
    assert seen(*looks)[-1] == silent_seconds


def test_a_queue_has_moved_when_it_is_empty_or_holds_fewer_messages_than_before() -> None:
    silence = Silence(AFTER)
    moved = []
    for now, ready in ((15.0, 3), (30.0, 4), (45.0, 4), (60.0, 3), (75.0, 0)):
        silence.see(ready, now)
        moved.append(silence.has_moved)
    assert moved == [False, False, False, True, True]


class Queue:
    """A subscription that delivers nothing and a session, as the acceptor declares them."""

    def __init__(self, ready: int | None, *, is_taken_elsewhere: bool, looks: int) -> None:
        self.ready, self.is_taken_elsewhere, self.looks_left = ready, is_taken_elsewhere, looks
        self.stop = Stop()
        self.told: list[Lifecycle] = []

    def session(self, _flow: str) -> AbstractAsyncContextManager[Queue]:
        return nullcontext(self)

    subscription = session

    async def register(self, lanes: int) -> int:
        return lanes

    async def batch(self, _most: int, *, wait_seconds: float) -> list[object]:
        await self.stop.pause(wait_seconds)
        return []

    async def ready_messages(self) -> int | None:
        self.looks_left -= 1
        if self.looks_left == 0:
            self.stop.set()
        return self.ready

    async def has_accepted(self, _within_seconds: float) -> bool:
        return self.is_taken_elsewhere

    async def waiting(self, _count_up_to: int) -> int:
        return 0

    async def run(self) -> Acceptor:
        acceptor = Acceptor(
            "orders", self, self, AcceptorSettings(1, 1, 10, 0.02), report=self.told.append, on_accepted=lambda: None
        )
        with suppress(Unavailable):
            await acceptor.run(self.stop, Pulse())
        return acceptor


async def test_an_acceptor_that_gets_nothing_while_messages_wait_tells_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accept, "_WAIT_SECONDS", 0.001)
    queue = Queue(3, is_taken_elsewhere=False, looks=1000)
    acceptor = await queue.run()
    (told,) = queue.told
    assert isinstance(told, ConsumerSilent)
    assert (told.flow, told.ready) == ("orders", 3)
    assert acceptor.is_silent
    assert not queue.stop.is_set()


@pytest.mark.parametrize(
    ("ready", "is_taken_elsewhere"),
    [(3, True), (0, False), (None, False)],
    ids=["another process takes them", "the queue is empty", "the broker does not say"],
)
async def test_an_acceptor_that_gets_nothing_for_a_good_reason_goes_on(
    monkeypatch: pytest.MonkeyPatch, ready: int | None, *, is_taken_elsewhere: bool
) -> None:
    monkeypatch.setattr(accept, "_WAIT_SECONDS", 0.001)
    queue = Queue(ready, is_taken_elsewhere=is_taken_elsewhere, looks=20)
    acceptor = await queue.run()
    assert queue.told == []
    assert not acceptor.is_silent
    assert queue.stop.is_set()
