"""What answers say about the target, and how fast it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from outbox.inbox.pace import Pace
from outbox.model.circuit import Sign, Signal, sign_of
from outbox.model.outcome import (
    Absent,
    AlreadyApplied,
    Applied,
    Configuration,
    CredentialsExpired,
    NotTold,
    Outcome,
    Present,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
)


@pytest.mark.parametrize(
    ("answer", "sign"),
    [
        (Applied("X"), Sign(Signal.WORKS)),
        (AlreadyApplied(), Sign(Signal.WORKS)),
        (Rejected("422"), Sign(Signal.WORKS)),
        (StaleConflict("newer"), Sign(Signal.WORKS)),
        (Present(), Sign(Signal.WORKS)),
        (Absent(), Sign(Signal.WORKS)),
        (Retry("500"), Sign(Signal.TROUBLE, "500")),
        (Unknown("timed out"), Sign(Signal.TROUBLE, "timed out")),
        (TargetDown("refused"), Sign(Signal.TROUBLE, "refused")),
        (CredentialsExpired("old"), Sign(Signal.TROUBLE, "old")),
        (Unknown("302", needs_a_person=True), Sign(Signal.STOP, "302")),
        (Unknown("302", needs_a_person=True, is_final=True), Sign(Signal.STOP, "302", is_final=True)),
        (Configuration("401"), Sign(Signal.STOP, "401")),
        (Configuration("410", is_final=True), Sign(Signal.STOP, "410", is_final=True)),
        (Throttled("429", 7.0), Sign(Signal.THROTTLE, "429", 7.0, is_shared=True)),
        (Throttled("search", 7.0, scope="flow"), Sign(Signal.THROTTLE, "search", 7.0)),
        (Throttled("quota", kind="daily"), Sign(Signal.THROTTLE, "quota", 3600.0, is_shared=True)),
        (Throttled("busy", kind="concurrency"), Sign(Signal.THROTTLE, "busy", 0.0)),
        (TargetDown("503", 120.0), Sign(Signal.TROUBLE, "503", 120.0)),
        (Unknown("502", 120.0), Sign(Signal.TROUBLE, "502", 120.0)),
        (Throttled("all busy", kind="concurrency", is_ours=True), Sign(Signal.NONE)),
        (NotTold(Throttled("all busy", kind="concurrency", is_ours=True)), Sign(Signal.NONE)),
        (NotTold(TargetDown("refused")), Sign(Signal.TROUBLE, "refused")),
    ],
)
def test_a_refused_message_shows_a_working_target_and_a_failed_call_does_not(
    answer: Outcome | Present | Absent | NotTold, sign: Sign
) -> None:
    assert sign_of(answer) == sign


def test_every_outcome_is_a_sign() -> None:
    for kind in get_args(Outcome):
        assert sign_of(kind("why") if "reason" in kind.__slots__ else kind()).signal in Signal


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_processes_of_a_flow_keep_to_its_rate_together_by_their_lanes() -> None:
    clock = _Clock()
    paces = [(Pace(50, 20.0, clock), share) for share in (0.75, 0.25)]
    begun = 0
    for _ in range(1000):
        clock.now += 0.01
        for pace, share in paces:
            calls = pace.free_calls(0, share)
            pace.began(calls)
            begun += calls
    assert begun == pytest.approx(200, abs=4)


def test_an_idle_flow_saves_up_no_more_than_a_tenth_of_a_second() -> None:
    clock = _Clock()
    pace = Pace(1000, 100.0, clock)
    clock.now += 3600
    assert pace.free_calls(0, 1.0) == 10


def test_without_lanes_nothing_is_called() -> None:
    clock = _Clock()
    pace = Pace(10, 100.0, clock)
    pace.began(1)
    clock.now += 10
    assert pace.free_calls(0, 0.0) == 0


def test_after_trouble_calls_come_back_one_by_one() -> None:
    pace = Pace(8, None, _Clock())
    assert pace.free_calls(3, 1.0) == 5
    for _ in range(6):
        pace.note(Signal.TROUBLE)
    assert pace.free_calls(0, 1.0) == 1
    assert pace.free_calls(1, 1.0) == 0
    for allowed in (2, 3, 4, 5, 6, 7, 8, 8):
        pace.note(Signal.WORKS)
        assert pace.free_calls(0, 1.0) == allowed


def test_after_each_change_of_the_circuit_one_call_goes_first() -> None:
    before, after = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    pace = Pace(8, None, _Clock())
    pace.know_circuit(before)
    pace.see_circuit(before, is_probe=False)
    assert pace.free_calls(0, 1.0) == 8, "it was closed all the time"
    pace.see_circuit(after, is_probe=False)
    assert pace.free_calls(0, 1.0) == 1
    pace.note(Signal.WORKS)
    pace.see_circuit(after, is_probe=False)
    assert pace.free_calls(0, 1.0) == 2
    pace.see_circuit(after, is_probe=True)
    assert pace.free_calls(0, 1.0) == 1
