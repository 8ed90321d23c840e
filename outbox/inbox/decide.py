"""Decides what is done with a due delivery: called, asked about, or parked with the reason. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import assert_never

from outbox.model.adapter import Adapter, Capabilities, Delivery, Request
from outbox.model.awaited import ReferencesAwaited, Waiting, waiting
from outbox.model.delivery import State
from outbox.model.errors import MappingError
from outbox.model.inbox import Beginning, CallKind, DueDelivery, Parking
from outbox.model.mapping import Map
from outbox.model.recovery import (
    KEYED,
    ClientNamedCreate,
    Doubt,
    LookUp,
    Park,
    Poll,
    RecoveryStrategy,
    SendAgain,
    UpsertByReference,
    Wait,
    resume,
)
from outbox.model.storable import is_storable
from outbox.model.versions import Cast, unchanged


@dataclass(frozen=True, slots=True)
class Send:
    """A delivery and the request that applies it."""

    due: DueDelivery
    request: Request
    request_sha256: bytes
    capabilities: Capabilities
    starts_anew: bool = False

    def beginning(self) -> Beginning:
        """Return what is stored before the first byte leaves."""
        return Beginning(
            self.due.id,
            self.due.epoch,
            CallKind.SEND,
            self.request_sha256,
            self.request.reference,
            self.capabilities.version,
            may_differ=isinstance(self.capabilities.recovery, UpsertByReference | ClientNamedCreate),
            starts_anew=self.starts_anew,
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """A delivery in doubt, and what the target is asked: for a reference or a job.

    ``request``: what would be sent now, for the record to be compared with.
    """

    due: DueDelivery
    kind: CallKind
    about: str
    capabilities: Capabilities
    request: Request | None = None

    def beginning(self) -> Beginning:
        """Return what is stored before."""
        return Beginning(self.due.id, self.due.epoch, self.kind)


Call = Send | Ask


def idempotency_key(flow: str, message_id: str, number: int = 0, generation: int = 0) -> str:
    """Return the key of a delivery: the same for every try, another for every flow and replay.

    ``number``: counts the keys given up because nothing under them took effect.
    """
    replay = f"-replay{generation}" if generation else ""
    return f"{flow}-{message_id}{replay}" + (f"-{number}" if number else "")


def decide(
    flow: str, due: DueDelivery, mapping: Map, adapter: Adapter, cast: Cast = unchanged
) -> Call | Parking | Waiting:
    """Return the call for a delivery, or why there must not be one, or not yet."""
    capabilities = Capabilities()
    try:
        capabilities = adapter.capabilities(due.type)
        request = _rendered(flow, due, mapping, adapter, cast)
    except MappingError as error:
        if due.state is not State.IN_DOUBT:
            if isinstance(error, ReferencesAwaited):
                return waiting(due.id, due.epoch, error.lacks)
            # Nothing was sent, or every answer so far was definite: nothing took effect.
            return Parking(due.id, due.epoch, State.DEAD, str(error), "mapping")
        return _resumed(due, capabilities, None, f"the request cannot be built again: {error}")
    send = Send(due, request, request.sha256(), capabilities)
    if due.state is State.IN_DOUBT:
        return _resumed(due, capabilities, send, None)
    if due.request_sha256 is None:
        return send
    if not _is_open(capabilities.recovery, due.sent_age_seconds or 0.0):
        # That it was not done is only what the answers say, and by now the target does not know the key any more.
        return _in_doubt(due, "the target's idempotency window is over", 0.0)
    if due.request_sha256 == send.request_sha256:
        # By every answer so far it was not done, so trying again needs no strategy.
        return send
    # And another request gets another key.
    anew = _rendered(flow, replace(due, key_number=due.key_number + 1), mapping, adapter, cast)
    return Send(due, anew, anew.sha256(), capabilities, starts_anew=True)


def goes_alone(due: DueDelivery) -> bool:
    """Say whether a delivery must not share a call: it has failed or is in doubt, and may be what a call fails for."""
    return due.failures > 0 or due.state is State.IN_DOUBT


def groups(calls: Iterable[Call]) -> list[list[Call]]:
    """Put what one call takes together: requests of one type, up to the target's limit, that need not go alone."""
    grouped: list[list[Call]] = []
    open_groups: dict[str, list[Call]] = {}
    for call in calls:
        is_shareable = isinstance(call, Send) and not goes_alone(call.due)
        group = open_groups.get(call.due.type) if is_shareable else None
        if group is None or len(group) >= call.capabilities.max_batch:
            group = []
            grouped.append(group)
            if is_shareable:
                open_groups[call.due.type] = group
        group.append(call)
    return grouped


def _rendered(flow: str, due: DueDelivery, mapping: Map, adapter: Adapter, cast: Cast) -> Request:
    version, payload = cast(due.type, due.version, due.body)
    request = adapter.render(
        Delivery(
            flow=flow,
            message_id=due.message_id,
            type=due.type,
            version=version,
            key=due.key,
            sequence=due.sequence,
            idempotency_key=idempotency_key(flow, due.message_id, due.key_number, due.generation),
            document=mapping.apply(payload),
            traceparent=due.traceparent,
            payload=payload,
        )
    )
    if request.reference is not None and not is_storable(request.reference):
        raise MappingError("(reference)", "has a character that cannot be stored, NUL or half of a surrogate pair")
    return request


def _resumed(due: DueDelivery, capabilities: Capabilities, send: Send | None, problem: str | None) -> Call | Parking:
    is_same_request = send is not None and send.request_sha256 == due.request_sha256
    is_named = send is not None and due.reference is not None and send.request.reference == due.reference
    doubt = Doubt(
        first_sent_age_seconds=due.sent_age_seconds or 0.0,
        last_sent_age_seconds=due.last_sent_age_seconds or 0.0,
        is_same_request=is_same_request,
        is_same_reference=is_same_request or is_named,
        job=due.job,
    )
    step = resume(capabilities.recovery, doubt, capabilities.asking if due.reference is not None else None)
    match step:
        case SendAgain() if send is not None:
            return send
        case LookUp() if due.reference is not None:
            return Ask(due, CallKind.LOOK_UP, due.reference, capabilities, send.request if send is not None else None)
        case Poll(job):
            return Ask(due, CallKind.POLL, job, capabilities)
        case Wait(seconds):
            return _in_doubt(
                due, "the target may still be at it: neither asking nor sending again is safe yet", seconds
            )
        case Park(reason):
            return _in_doubt(due, f"sending it again is not safe: {problem or reason}")
        case SendAgain() | LookUp():
            return _in_doubt(due, f"sending it again is not safe: {problem}")
        case _:
            assert_never(step)


def _is_open(strategy: RecoveryStrategy, sent_age_seconds: float) -> bool:
    return not isinstance(strategy, KEYED) or strategy.is_open(sent_age_seconds)


def _in_doubt(due: DueDelivery, reason: str, delay_seconds: float | None = None) -> Parking:
    return Parking(due.id, due.epoch, State.IN_DOUBT, f"may have been applied, and {reason}", "in_doubt", delay_seconds)
