"""When a flow's queue keeps its messages."""

from __future__ import annotations

from outbox.inbox.room import Room


def test_it_is_full_at_the_mark_and_has_room_again_a_fifth_below() -> None:
    room = Room(100)
    assert [room.see(waiting) for waiting in (0, 99, 100, 99, 80, 79, 99)] == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_it_looks_after_every_tenth_of_the_mark_and_when_the_mark_may_be_reached() -> None:
    room = Room(100)
    assert [room.is_look_due(accepted) for accepted in (4, 5, 1)] == [False, False, True]
    room.see(95)
    assert [room.is_look_due(accepted) for accepted in (4, 1)] == [False, True]


def test_a_small_mark_is_looked_at_each_time() -> None:
    assert Room(1).is_look_due(1)
