"""What happens at the intake as log lines.

A request is no news, whether it is taken or refused: a sender decides how many there are. What is told is a summary
a second at most, and what a person should look into.
"""

from __future__ import annotations

from typing import assert_never

import structlog

from outbox.model import intake_events
from outbox.model.intake_events import IntakeEvents


def write_intake(log: structlog.typing.FilteringBoundLogger, event: IntakeEvents) -> None:
    """Write one event."""
    match event:
        case intake_events.IntakeListening(host, port):
            log.info("intake listening", host=host, port=port)
        case intake_events.RequestTaken(source, events, known, seconds):
            log.debug("request taken", source=source, events=events, known=known, seconds=round(seconds, 4))
        case intake_events.RequestRefused(source, problem, status):
            log.debug("request refused", source=source, problem=problem, status=status)
        case intake_events.RequestFailed(source, error):
            log.error("a request failed, this is a bug", source=source, exc_info=error)
        case intake_events.ContentChanged(source, message_id):
            log.warning(
                "a known id came with another content, which was not taken",
                source=source,
                event_id=message_id,
                next_step="if the sender uses an id for several events, set what tells them apart as the source's id",
            )
        case intake_events.RefusalsNoted(rows, requests, uncounted):
            log.warning(
                "requests refused",
                rows=rows,
                requests=requests,
                uncounted=uncounted,
                next_step='"outbox intake refused" shows them',
            )
        case intake_events.IntakeForgot(names, refusals):
            log.debug("intake forgot", names=names, refusals=refusals)
        case _:
            assert_never(event)
