"""What an answer does not say must stay a doubt: whether a call took effect, and whether a job has failed."""

from __future__ import annotations

import pytest

from adapters.answers import Answer, NoAnswer
from adapters.rest_asking import ended
from adapters.rest_classify import Call, classify
from adapters.rest_settings import JobRequest
from outbox.model.delivery import RetryPolicy, State, settle, settle_poll
from outbox.model.recovery import AsyncJob, IdempotencyKey

CALL = Call(label="GET job", is_repeatable=True, addresses_record=True)
JOB = JobRequest(status="state", applied={"done"})


@pytest.mark.parametrize(
    "came",
    [
        NoAnswer(was_sent=True, reason="no answer within 2 s"),
        NoAnswer(was_sent=True, reason="the answer broke off", status=200),
        Answer(500, {}, b""),
    ],
    ids=["no answer", "broken off", "500"],
)
def test_a_question_that_got_no_answer_says_nothing_of_the_job(came: Answer | NoAnswer) -> None:
    settlement = settle_poll(
        ended(came, CALL, JOB).outcome,
        job="/jobs/1",
        sent_age_seconds=60.0,
        recovery=AsyncJob(3600),
        attempt=2,
        failures=0,
        policy=RetryPolicy(),
        jitter=0.5,
    )
    assert (settlement.state, settlement.starts_anew) == (State.IN_DOUBT, False)


def test_a_server_error_after_a_call_says_nothing_of_its_effect() -> None:
    """Past its window the key is forgotten, and only a doubt asks for the window."""
    settlement = settle(
        classify(Answer(500, {}, b""), CALL),
        attempt=1,
        failures=0,
        policy=RetryPolicy(),
        jitter=0.5,
        recovery=IdempotencyKey(3600),
    )
    assert settlement.state is State.IN_DOUBT
