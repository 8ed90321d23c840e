"""The cross-reference, and deliveries that wait for an id in it, as log lines."""

from __future__ import annotations

from dataclasses import asdict
from typing import assert_never

from structlog.typing import FilteringBoundLogger

from outbox.model.flow_events import LinkRefused, RecordsAsked, WaitsBegan, WaitsEnded


def write_xref(log: FilteringBoundLogger, event: LinkRefused | WaitsBegan | WaitsEnded | RecordsAsked) -> None:
    """Write one event."""
    match event:
        case LinkRefused(flow, message_id, sequence, verdict):
            log.error(
                "receipt contradicts the cross-reference",
                flow=flow,
                event_id=message_id,
                sequence=sequence,
                verdict=verdict,
                next_step='"outbox xref conflicts" shows what is there',
            )
        case WaitsBegan():
            log.info("deliveries wait for ids of other systems", **asdict(event))
        case WaitsEnded():
            log.info("deliveries wait no longer for ids", **asdict(event))
        case RecordsAsked():
            log.info("another flow is asked for records that are waited for", **asdict(event))
        case _:
            assert_never(event)
