"""Decides what is done with a due delivery: called, or parked with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.model.adapter import Adapter, Delivery, Request
from outbox.model.delivery import State, may_send_again
from outbox.model.errors import MappingError
from outbox.model.inbox import Beginning, DueDelivery, Parking
from outbox.model.mapping import Map


@dataclass(frozen=True, slots=True)
class Call:
    """A delivery and the request that applies it."""

    due: DueDelivery
    request: Request
    request_sha256: bytes

    def beginning(self) -> Beginning:
        """Return what is stored before the first byte leaves."""
        return Beginning(self.due.id, self.due.epoch, self.request_sha256)


def idempotency_key(flow: str, message_id: str) -> str:
    """Return the key of a delivery: the same for every try, another for every flow."""
    return f"{flow}-{message_id}"


def decide(flow: str, due: DueDelivery, mapping: Map, adapter: Adapter) -> Call | Parking:
    """Return the call for a delivery, or why there must not be one."""
    try:
        document = mapping.apply(due.body)
        request = adapter.render(
            Delivery(
                flow=flow,
                message_id=due.message_id,
                type=due.type,
                version=due.version,
                key=due.key,
                sequence=due.sequence,
                idempotency_key=idempotency_key(flow, due.message_id),
                document=document,
                traceparent=due.traceparent,
            )
        )
    except MappingError as error:
        return _unmappable(due, str(error))
    call = Call(due, request, request.sha256())
    if due.sent_age_seconds is None:
        return call
    return _again(call, due.sent_age_seconds, adapter)


def _again(call: Call, sent_age_seconds: float, adapter: Adapter) -> Call | Parking:
    due = call.due
    is_same_request = due.request_sha256 == call.request_sha256
    if due.state is not State.IN_DOUBT and is_same_request:
        # Every answer so far was definite: it was not done, so trying again needs no strategy.
        return call
    verdict = may_send_again(
        adapter.recovery(due.type), sent_age_seconds=sent_age_seconds, is_same_request=is_same_request
    )
    if verdict is None:
        return call
    return Parking(due.id, due.epoch, verdict.state, verdict.reason or "", verdict.reason_class or "in_doubt")


def _unmappable(due: DueDelivery, reason: str) -> Parking:
    if due.sent_age_seconds is None:
        return Parking(due.id, due.epoch, State.DEAD, reason, "mapping")
    return Parking(
        due.id,
        due.epoch,
        State.IN_DOUBT,
        f"may have been applied, and the request cannot be built again: {reason}",
        "in_doubt",
    )
