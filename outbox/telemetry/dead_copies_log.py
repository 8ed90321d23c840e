"""What becomes of the copies of dead letters, as log lines."""

from __future__ import annotations

from typing import assert_never

from structlog.typing import FilteringBoundLogger

from outbox.model import dead_copies
from outbox.model.dead_copies import DeadEvents


def write_dead_copies(log: FilteringBoundLogger, event: DeadEvents) -> None:
    """Write one event."""
    match event:
        case dead_copies.Redriven(flow, tried_again, kept_dead):
            look = {"next_step": '"outbox dead show" tells what to look into before "outbox dead retry"'}
            log.warning(
                "dead letters moved back on the broker",
                flow=flow,
                tried_again=tried_again,
                kept_dead=kept_dead,
                **(look if kept_dead else {}),
            )
        case dead_copies.CopiesRemoved(flow, removed, left, seconds):
            log.info("copies removed", flow=flow, removed=removed, left=left, seconds=round(seconds, 3))
        case dead_copies.CopiesStay(flow, reason):
            log.error("copies of resolved dead letters stay in their queue", flow=flow, reason=reason)
        case _:
            assert_never(event)
