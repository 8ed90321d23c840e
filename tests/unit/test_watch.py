"""When the watchdog speaks: events wait, nothing moves, and nobody has said why."""

from __future__ import annotations

from outbox.model.cursor import Observation
from outbox.relay.watch import Standing


def seen(cursor_state: str, *, is_waiting: bool = True) -> Observation:
    return Observation(cursor_state, is_waiting, 1.0, None, None, None)


def test_a_cursor_that_stands_still_while_events_wait_is_counted_from_the_first_look() -> None:
    standing = Standing()
    assert standing.see(seen("a"), 10, is_excused=False) == 0
    assert standing.see(seen("a"), 25, is_excused=False) == 15
    assert not standing.has_moved


def test_a_cursor_that_moves_is_never_counted() -> None:
    standing = Standing()
    assert [standing.see(seen(state), now, is_excused=False) for now, state in enumerate("abcd")] == [0, 0, 0, 0]
    assert standing.has_moved


def test_standing_still_with_nothing_to_do_is_not_counted() -> None:
    standing = Standing()
    standing.see(seen("a", is_waiting=False), 0, is_excused=False)
    assert standing.see(seen("a", is_waiting=False), 100, is_excused=False) == 0
    assert standing.see(seen("a"), 101, is_excused=False) == 1


def test_a_known_reason_stops_the_count_and_it_begins_anew_behind_it() -> None:
    standing = Standing()
    standing.see(seen("a"), 0, is_excused=False)
    assert standing.see(seen("a"), 50, is_excused=True) == 0
    assert not standing.has_moved
    assert standing.see(seen("a"), 57, is_excused=False) == 7
