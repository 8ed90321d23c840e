"""What the relay tells of contracts, as log lines."""

from __future__ import annotations

from dataclasses import asdict

import structlog

from outbox.model.contract_events import DeprecatedPublished


def write_deprecated(log: structlog.typing.FilteringBoundLogger, event: DeprecatedPublished) -> None:
    """Tell of a deprecated version; the caller tells of each once."""
    log.warning(
        "events of a deprecated version are published",
        **asdict(event),
        next_step="let producers write a newer version; told once, outbox_deprecated_events_total counts on",
    )
