"""A look for what is due begins where the one before found its oldest, and now and then at the very beginning."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.inbox.reach import Reach

_LANES = frozenset({(0, 1)})


@dataclass
class _Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_look_is_whole_and_the_next_begins_at_its_oldest() -> None:
    clock = _Clock()
    reach = Reach(clock)
    assert reach.begin(_LANES) is None
    reach.end(30.0)
    clock.now += 1.0
    assert reach.begin(_LANES) == 30.0 + 1.0 + 2.0


def test_it_follows_what_is_found_and_not_what_is_missing() -> None:
    clock = _Clock()
    reach = Reach(clock)
    reach.begin(_LANES)
    reach.end(30.0)
    clock.now += 1.0
    reach.begin(_LANES)
    reach.end(0.5)
    clock.now += 4.0
    assert reach.begin(_LANES) == 0.5 + 4.0 + 2.0
    reach.end(None)
    clock.now += 1.0
    assert reach.begin(_LANES) == 0.5 + 5.0 + 2.0, "the target may throttle: what was due before is due still"


def test_a_whole_look_is_made_every_ten_seconds_and_less_often_when_it_takes_long() -> None:
    clock = _Clock()
    reach = Reach(clock)
    reach.begin(_LANES)
    clock.now += 2.0
    reach.end(0.0)
    clock.now += 39.0
    assert reach.begin(_LANES) is not None
    clock.now += 1.0
    assert reach.begin(_LANES) is None
    reach.end(0.0)
    clock.now += 9.0
    assert reach.begin(_LANES) is not None
    clock.now += 1.0
    assert reach.begin(_LANES) is None


def test_other_lanes_are_looked_at_from_the_beginning() -> None:
    reach = Reach(_Clock())
    reach.begin(_LANES)
    reach.end(0.0)
    assert reach.begin(_LANES) is not None
    assert reach.begin(frozenset({(0, 2)})) is None, "the same lane, held anew"
