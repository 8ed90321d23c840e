"""How long an answer of the broker is waited for."""

from __future__ import annotations

from outbox.rabbitmq.patience import Patience


def test_an_answer_that_does_not_come_is_waited_for_until_the_time_is_over() -> None:
    patience = Patience(30, now=100)
    assert patience.lasts(129.9, is_blocked=False)
    assert patience.left(129) == 1
    assert not patience.lasts(130, is_blocked=False)
    assert patience.left(131) == 0


def test_a_broker_that_blocks_is_waited_for_however_long_it_takes() -> None:
    patience = Patience(30, now=100)
    assert all(patience.lasts(now, is_blocked=True) for now in range(101, 1000))


def test_a_broker_that_comes_back_has_the_whole_time_for_its_answer() -> None:
    patience = Patience(30, now=100)
    # Blocked at the last look, and back at this one, long after the first deadline.
    assert patience.lasts(128, is_blocked=True)
    assert patience.lasts(500, is_blocked=False)
    assert patience.lasts(529, is_blocked=False)
    assert not patience.lasts(530, is_blocked=False)
