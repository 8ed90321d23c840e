"""Makes one call of an adapter, and decides what its answers make of the deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from outbox.inbox.decide import Ask, Call, Send
from outbox.model.adapter import Adapter, Capabilities
from outbox.model.delivery import RetryPolicy, State, settle, settle_look_up, settle_poll
from outbox.model.inbox import CallKind, DueDelivery, Result
from outbox.model.outcome import (
    Configuration,
    CredentialsExpired,
    Different,
    Found,
    NotTold,
    Outcome,
    Receipt,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
    found_name,
    outcome_name,
)
from outbox.model.read_back import reads_back, settle_different, settle_taken
from outbox.model.recovery import AsyncJob, ClientNamedCreate, IdempotencyKey, UpsertByReference

# Without a status these say that the call did not begin: no connection, no place, no token, a wrong certificate.
_BEFORE_SENDING = (TargetDown, Throttled, CredentialsExpired, Configuration)
# Too large: the target has not read it.
_NOT_READ = 413

Answer = Receipt | Found


async def answered(adapter: Adapter, calls: Sequence[Call], leave_by: float) -> Sequence[Answer]:
    """Make the call of a group, and return an answer for each; see `outbox.inbox.decide.groups`.

    ``leave_by``: see `outbox.model.adapter.Adapter.send`.
    """
    try:
        match calls[0]:
            case Send():
                requests = [call.request for call in calls if isinstance(call, Send)]
                receipts = await adapter.send(requests, leave_by=leave_by, traceparent=calls[0].due.traceparent)
                if len(receipts) == len(calls):
                    return receipts
                return _for_all(calls, f"the adapter answered {len(receipts)} of {len(calls)} requests")
            case Ask(due, CallKind.LOOK_UP, about, request=request):
                return [await adapter.look_up(due.type, about, leave_by=leave_by, request=request)]
            case Ask(due, _, about):
                return [await adapter.poll(due.type, about, leave_by=leave_by)]
    except Exception as error:  # noqa: BLE001 - the one place where an attempt's outcome is decided
        # A bug in an adapter: the request may have left, so the delivery is in doubt and not lost.
        return _for_all(calls, f"the adapter failed: {type(error).__name__}")


def not_sent(calls: Sequence[Call], reason: str) -> Sequence[Answer]:
    """Return the answers of a group that we have not let leave: nothing is said of the target, or of the message."""
    outcome = Throttled(reason, kind="concurrency", is_ours=True)
    return [Found(NotTold(outcome)) if _is_look_up(call) else Receipt(outcome) for call in calls]


def result_of(call: Call, answer: Answer, *, attempt: int, policy: RetryPolicy, jitter: float) -> Result:
    """Return what is written of a call that came back."""
    due, recovery, asking = call.due, call.capabilities.recovery, call.capabilities.asking
    is_unsent, is_shared = False, isinstance(answer, Receipt) and answer.is_shared
    if isinstance(answer, Receipt) and answer.is_shared:
        answer = replace(answer, outcome=_of_one(answer, call.capabilities))
    # What failed with others goes alone first, whoever is to blame.
    is_excused = _is_excused(due, policy) and not is_shared
    match call, answer:
        case Send(_, request), Receipt(outcome) if (
            asking is not None and request.reference is not None and reads_back(outcome, recovery)
        ):
            settlement = settle_taken(asking.settle_seconds, failures=due.failures, policy=policy, jitter=jitter)
        case Send(), Receipt(outcome):
            is_unsent = isinstance(outcome, _BEFORE_SENDING) and answer.http_status is None
            settlement = settle(
                outcome,
                attempt=attempt,
                # The failure that parts a delivery from the others proves nothing against it.
                failures=None if is_excused else due.failures - (call.capabilities.max_batch > 1),
                policy=policy,
                jitter=jitter,
                recovery=recovery,
                is_unsent=is_unsent,
                was_in_doubt=due.state is State.IN_DOUBT,
            )
        case Ask(_, CallKind.POLL, job), Receipt(outcome):
            settlement = settle_poll(
                replace(outcome, is_failure=False) if is_excused and isinstance(outcome, Unknown) else outcome,
                job=job,
                sent_age_seconds=due.last_sent_age_seconds or 0.0,
                recovery=recovery if isinstance(recovery, AsyncJob) else AsyncJob(0),
                attempt=attempt,
                failures=due.failures,
                policy=policy,
                jitter=jitter,
            )
        case Ask(), Found(told):
            if is_excused and isinstance(told, NotTold) and isinstance(told.outcome, Retry):
                told = NotTold(TargetDown(told.outcome.reason, told.outcome.after_seconds))
            settlement = settle_look_up(told, attempt=attempt, failures=due.failures, policy=policy, jitter=jitter)
            if isinstance(recovery, ClientNamedCreate) and isinstance(told, Different):
                settlement = settle_different(told)
        case _:
            raise TypeError(f"{type(answer).__name__} is no answer to {type(call).__name__}")
    name = outcome_name(answer.outcome) if isinstance(answer, Receipt) else found_name(answer.answer)
    kind = call.kind if isinstance(call, Ask) else CallKind.SEND
    return Result(due.id, due.epoch, kind, name, answer.http_status, is_unsent, settlement)


def _is_excused(due: DueDelivery, policy: RetryPolicy) -> bool:
    """Say whether a failure may as well be the target's.

    While a circuit is open the target is known to fail. While it only suspects, which takes no more than one delivery,
    nobody knows; so there is an end to that, for a message that fails where nothing else is going on.
    """
    return due.is_probe or (due.is_watched and due.failing_seconds < policy.patience_seconds)


def _of_one(answer: Receipt, capabilities: Capabilities) -> Outcome:
    """Return what the end of a call with several deliveries means for one: where it may be to blame, it failed."""
    match answer.outcome:
        case Rejected(reason) | StaleConflict(reason) | Retry(reason) as outcome:
            after_seconds = outcome.after_seconds if isinstance(outcome, Retry) else None
            reason = f"{reason} (sent with others; goes alone next time)"
            if _did_nothing(answer, capabilities):
                return Retry(reason, after_seconds)
            return Unknown(f"{reason}, and some of them may have been applied", after_seconds, is_failure=True)
        case Unknown() as outcome:
            return replace(outcome, is_failure=True)
        case outcome:
            return outcome


def _did_nothing(answer: Receipt, capabilities: Capabilities) -> bool:
    """Say whether a call that was refused as a whole did nothing, or nothing that a repetition would do twice."""
    if capabilities.is_atomic or answer.http_status == _NOT_READ:
        return True
    match capabilities.recovery:
        case IdempotencyKey(caches_errors=caches_errors):
            # The next try would have another key.
            return not caches_errors
        case strategy:
            return isinstance(strategy, UpsertByReference | ClientNamedCreate)


def _for_all(calls: Sequence[Call], reason: str) -> Sequence[Answer]:
    def answer(call: Call) -> Answer:
        if _is_look_up(call):
            return Found(NotTold(Retry(reason)))
        # A question may be asked again for as long as it likes, a request only as its strategy allows.
        return Receipt(Unknown(reason, is_failure=isinstance(call, Ask)), is_shared=len(calls) > 1)

    return [answer(call) for call in calls]


def _is_look_up(call: Call) -> bool:
    return isinstance(call, Ask) and call.kind is CallKind.LOOK_UP
