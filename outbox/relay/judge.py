"""Which events of a page may be sent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from outbox.model.contract_events import DeprecatedPublished
from outbox.model.envelope import BREAKS_CONTRACT, Envelope, RefusedEvent
from outbox.relay.ports import Contracts


def judged(
    events: Sequence[Envelope | RefusedEvent], contracts: Contracts | None
) -> tuple[list[Envelope], list[RefusedEvent]]:
    """Return what may be sent, in order, and what is refused: when it was read, or because of its contract."""
    refused = [event for event in events if isinstance(event, RefusedEvent)]
    if contracts is None:
        return [event for event in events if isinstance(event, Envelope)], refused
    sendable = []
    for event in events:
        if isinstance(event, Envelope):
            reason = contracts.refusal(event)
            if reason is None:
                sendable.append(event)
            else:
                refused.append(_refused(event, reason))
    return sendable, refused


def deprecated(events: Sequence[Envelope], stream: str, contracts: Contracts | None) -> list[DeprecatedPublished]:
    """Return what there is to tell of deprecated versions among events."""
    dates = {} if contracts is None else contracts.deprecated
    if not dates:
        return []
    counted = Counter(key for event in events if (key := (event.type, event.version)) in dates)
    return [DeprecatedPublished(stream, *key, dates[key], times) for key, times in counted.items()]


def _refused(event: Envelope, reason: str) -> RefusedEvent:
    return RefusedEvent(event.message_id, event.sequence, event.type, event.version, event.key, reason, BREAKS_CONTRACT)
