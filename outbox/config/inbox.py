"""How deliveries are taken, applied and remembered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from outbox.config.rabbitmq import DAY_SECONDS
from outbox.config.strict import Strict
from outbox.model.units import Seconds


class InboxSettings(Strict):
    """How deliveries are taken and applied."""

    lease: Annotated[
        Seconds, Field(ge=3, le=3600, description="How long a lane stays with a process that is silent.")
    ] = 15.0
    concurrency: Annotated[int, Field(ge=1, le=1000, description="Calls in flight per flow and process.")] = 32
    poll: Annotated[Seconds, Field(gt=0, le=60, description="Pause between looks for due deliveries.")] = 0.05
    observe_every: Annotated[
        Seconds, Field(gt=0, le=3600, description="Pause between looks at how a flow stands, for metrics and the log.")
    ] = 10.0
    max_waiting: Annotated[
        int, Field(ge=1, description="Deliveries of a flow that wait for a call; above it the queue keeps the rest.")
    ] = 100_000
    silent_after: Annotated[
        Seconds,
        Field(
            ge=1,
            le=DAY_SECONDS,
            description="Messages that wait this long in a queue while none is delivered are an alarm.",
        ),
    ] = 60.0
    accept_batch: Annotated[
        int, Field(ge=1, le=10_000, description="Messages written to the inbox in one transaction, at most.")
    ] = 500
    queue_life: Annotated[
        Seconds,
        Field(
            gt=0,
            le=3650 * DAY_SECONDS,
            description="How long a message may lie in a queue, also of dead letters, before it comes.",
        ),
    ] = 30 * DAY_SECONDS
    keep: Annotated[
        Seconds | None,
        Field(
            gt=0,
            description="How long finished deliveries are remembered; null: as long as retention.keep, "
            "retention.partition_every and inbox.queue_life together, which is the least.",
        ),
    ] = None
