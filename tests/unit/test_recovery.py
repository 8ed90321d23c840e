"""The next step of a delivery in doubt: one for each strategy and everything that is stored, never a second effect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.model.recovery import (
    Asking,
    AsyncJob,
    ClientNamedCreate,
    Doubt,
    IdempotencyKey,
    LookUp,
    LookupThenCreate,
    NextStep,
    NoRecovery,
    Park,
    Poll,
    RecoveryStrategy,
    SendAgain,
    UpsertByReference,
    Wait,
    resume,
)

KEY = IdempotencyKey(window_seconds=3600, margin_seconds=60)
JOB = AsyncJob(window_seconds=3600, margin_seconds=60)
LOOKUP = LookupThenCreate()
ASKING = Asking(settle_seconds=60)
FRESH = Doubt(
    first_sent_age_seconds=100, last_sent_age_seconds=100, is_same_request=True, is_same_reference=True, job=None
)
LATE = replace(FRESH, first_sent_age_seconds=3600)
CHANGED = replace(FRESH, is_same_request=False)
RENAMED = replace(CHANGED, is_same_reference=False)


@pytest.mark.parametrize(
    ("strategy", "doubt", "with_lookup", "without"),
    [
        (KEY, FRESH, SendAgain(), SendAgain()),
        (KEY, replace(FRESH, first_sent_age_seconds=3540), LookUp(), "outside the target's idempotency window"),
        (KEY, LATE, LookUp(), "outside the target's idempotency window of 3600 s"),
        (KEY, CHANGED, LookUp(), "the mapping or the adapter's settings changed"),
        (UpsertByReference(), LATE, SendAgain(), SendAgain()),
        (UpsertByReference(), CHANGED, SendAgain(), SendAgain()),
        (UpsertByReference(), RENAMED, LookUp(), "changed the reference"),
        (UpsertByReference(120), FRESH, Wait(20), Wait(20)),
        (ClientNamedCreate(120), FRESH, LookUp(), Wait(20)),
        (UpsertByReference(120), replace(FRESH, last_sent_age_seconds=120), SendAgain(), SendAgain()),
        (UpsertByReference(120), RENAMED, LookUp(), "changed the reference"),
        (ClientNamedCreate(), LATE, LookUp(), SendAgain()),
        (ClientNamedCreate(), RENAMED, LookUp(), "changed the reference"),
        (LOOKUP, FRESH, LookUp(), "cannot be asked"),
        (LOOKUP, replace(LATE, last_sent_age_seconds=59.5), Wait(0.5), "cannot be asked"),
        (LOOKUP, replace(RENAMED, last_sent_age_seconds=60), LookUp(), "cannot be asked"),
        (JOB, replace(LATE, job="/jobs/7"), Poll("/jobs/7"), Poll("/jobs/7")),
        (JOB, FRESH, SendAgain(), SendAgain()),
        (JOB, CHANGED, LookUp(), "the mapping or the adapter's settings changed"),
        (JOB, LATE, LookUp(), "outside the target's idempotency window"),
        (NoRecovery(), FRESH, LookUp(), "no recovery strategy"),
    ],
)
def test_each_strategy_has_one_next_step(
    strategy: RecoveryStrategy, doubt: Doubt, with_lookup: NextStep, without: NextStep | str
) -> None:
    assert resume(strategy, doubt, ASKING) == with_lookup
    step = resume(strategy, doubt, None)
    if isinstance(without, str):
        assert isinstance(step, Park)
        assert without in step.reason
    else:
        assert step == without


def test_absent_right_after_a_call_proves_nothing_also_where_a_lookup_is_the_second_choice() -> None:
    just_sent = replace(LATE, last_sent_age_seconds=10)
    assert resume(KEY, just_sent, ASKING) == Wait(50)
    assert resume(NoRecovery(), just_sent, ASKING) == Wait(50)


doubts = st.builds(
    Doubt,
    first_sent_age_seconds=st.floats(0, 1e6),
    last_sent_age_seconds=st.floats(0, 1e6),
    is_same_request=st.booleans(),
    is_same_reference=st.booleans(),
    job=st.none() | st.just("/jobs/7"),
)
UPSERT = UpsertByReference(settle_seconds=60)
NAMED = ClientNamedCreate(settle_seconds=60)
strategies = st.sampled_from([KEY, UPSERT, NAMED, LOOKUP, JOB, NoRecovery()])


@given(strategies, doubts, st.sampled_from([None, ASKING]))
def test_a_request_is_sent_again_only_where_the_target_recognises_it(
    strategy: RecoveryStrategy, doubt: Doubt, asking: Asking | None
) -> None:
    if resume(strategy, doubt, asking) != SendAgain():
        return
    match strategy:
        case IdempotencyKey() | AsyncJob():
            assert doubt.is_same_request
            assert doubt.first_sent_age_seconds < 3540
        case UpsertByReference() | ClientNamedCreate():
            assert doubt.is_same_reference
            assert doubt.last_sent_age_seconds >= 60
        case _:
            pytest.fail(f"{strategy} never sends again without having asked")


@given(strategies, doubts)
def test_what_cannot_be_asked_is_never_looked_up(strategy: RecoveryStrategy, doubt: Doubt) -> None:
    step = resume(strategy, doubt, None)
    assert not isinstance(step, LookUp)
    assert not isinstance(step, Wait) or strategy in (UPSERT, NAMED)
