"""What becomes of notices, as log lines: never their text, never an address."""

from __future__ import annotations

from typing import assert_never

from structlog.typing import FilteringBoundLogger

from outbox.model.alert_events import AlertEvents, AlertsSeen, NoticeFailed, NoticeSent


def write_notices(log: FilteringBoundLogger, event: AlertEvents) -> None:
    """Write one event."""
    match event:
        case NoticeSent(channel, standing, over, refused, is_repeated):
            write = log.warning if refused or is_repeated else log.info
            write(
                "notice sent", channel=channel, standing=standing, over=over, refused=refused, is_repeated=is_repeated
            )
        case NoticeFailed(channel, reason, failures, pause_seconds):
            log.error(
                "a channel took no notice, it is tried again",
                channel=channel,
                reason=reason,
                failures=failures,
                pause_seconds=round(pause_seconds, 1),
                next_step=f'"outbox alerts test {channel}" tries it now',
            )
        case AlertsSeen(standing):
            log.debug("alerts seen", standing=standing)
        case _:
            assert_never(event)
