"""Lifecycle events as log lines. Never a payload, never a secret: a line holds what is listed here and nothing else."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from typing import assert_never

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from outbox.model import (
    consumer_events,
    contract_events,
    flow_events,
    guard_events,
    lane_events,
    reconcile_events,
)
from outbox.model import lifecycle as happened
from outbox.model.alert_events import AlertEvents
from outbox.model.dead_copies import DeadEvents
from outbox.model.intake_events import IntakeEvents
from outbox.model.lifecycle import Lifecycle
from outbox.model.settings_events import SettingsEvents
from outbox.telemetry.alert_logs import write_notices
from outbox.telemetry.contract_log import write_deprecated
from outbox.telemetry.dead_copies_log import write_dead_copies
from outbox.telemetry.intake_logs import write_intake
from outbox.telemetry.settings_logs import write_settings
from outbox.telemetry.totals_log import write_totals
from outbox.telemetry.xref_log import write_xref

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# These write frames and URLs at debug level, and repeat as warnings what we report ourselves.
_LIBRARIES = ("aio_pika", "aiormq", "pamqp", "aiohttp", "asyncpg", "asyncio")


def configure(*, style: str, level: str) -> None:
    """Send logs to standard error.

    Args:
        style: "json" for programs, "console" for people.
        level: "debug", "info", "warning" or "error".
    """
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Both styles show the variables of every frame unless told otherwise: URLs with passwords, payloads.
    frames_only = ExceptionDictTransformer(show_locals=False)
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.ExceptionRenderer(frames_only), structlog.processors.JSONRenderer()]
        if style == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


class LifecycleLog:
    """Writes what happened; repeats of a state are written once."""

    def __init__(self, program: str) -> None:
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(program=program)
        self._caught_up: set[str] = set()
        self._unrouted = 0
        self._deprecated: set[tuple[str, int]] = set()

    def __call__(self, event: Lifecycle) -> None:
        """Write one event."""
        match event:
            case happened.CaughtUp(stream):
                # Idle polling says so many times a second; the news is that a new leader has no backlog any more.
                if stream not in self._caught_up:
                    self._log.info("caught up", stream=stream)
                self._caught_up.add(stream)
                return
            case happened.LeadTaken(stream):
                self._caught_up.discard(stream)
            case contract_events.DeprecatedPublished(_, event_type, version):
                if (event_type, version) in self._deprecated:
                    return
                self._deprecated.add((event_type, version))
            case happened.UnroutedSeen(messages):
                if messages == self._unrouted:
                    return
                self._unrouted = messages
            case _:
                pass
        _write(self._log, event)


def _write(log: structlog.typing.FilteringBoundLogger, event: Lifecycle) -> None:  # noqa: C901, PLR0912, PLR0915 - one flat case for each event
    if isinstance(event, IntakeEvents):
        # Thousands a second: they look through none of the others' cases.
        write_intake(log, event)
        return
    if isinstance(event, SettingsEvents):
        write_settings(log, event)
        return
    if isinstance(event, DeadEvents):
        write_dead_copies(log, event)
        return
    if isinstance(event, AlertEvents):
        write_notices(log, event)
        return
    match event:
        case happened.ServiceStarted(service):
            log.info("service started", service=service)
        case happened.ServiceWaiting(service, reason, pause_seconds, needs_a_person):
            write = log.error if needs_a_person else log.warning
            write("service waiting", service=service, reason=reason, pause_seconds=round(pause_seconds, 2))
        case happened.ServiceFailed(service, error):
            log.error("service failed, this is a bug", service=service, exc_info=error)
        case happened.Draining(grace_seconds):
            log.info("draining", grace_seconds=grace_seconds)
        case happened.DrainOverrun(busy):
            log.error("drain took too long", busy=list(busy))
        case happened.LeadTaken(stream, epoch, previous):
            log.info("lead taken", stream=stream, epoch=epoch, previous=previous)
        case guard_events.FailoverSurvived(stream, timeline_before, verified_events):
            log.warning(
                "the database has failed over, nothing that is remembered as published is missing",
                stream=stream,
                timeline_before=timeline_before,
                verified_events=verified_events,
            )
        case contract_events.DeprecatedPublished():
            write_deprecated(log, event)
        case happened.StandingBy(stream):
            log.info("standing by, another relay leads", stream=stream)
        case happened.PagePublished(stream, events, last_sequence, oldest_age_seconds, confirm_seconds):
            log.debug(
                "page published",
                stream=stream,
                events=events,
                last_sequence=last_sequence,
                oldest_age_seconds=round(oldest_age_seconds, 4),
                confirm_seconds=round(confirm_seconds, 4),
            )
        case happened.CaughtUp(stream):
            log.debug("caught up", stream=stream)
        case happened.EventRejected(stream, message_id, sequence, reason):
            log.error("event rejected", stream=stream, event_id=message_id, sequence=sequence, reason=reason)
        case happened.Unrouted(message_id, routing_key):
            log.error(
                "nobody has bound this event, parked",
                event_id=message_id,
                routing_key=routing_key,
                next_step='bind a queue to outbox.events for it, then "outbox unrouted redrive"',
            )
        case happened.UnroutedSeen(messages, arrived):
            if messages:
                log.error(
                    "events that nobody has bound are waiting in outbox.unrouted",
                    messages=messages,
                    arrived=arrived,
                    next_step='"outbox unrouted list" shows their types; bind queues, then "outbox unrouted redrive"',
                )
            else:
                log.info("nothing is waiting in outbox.unrouted any more", messages=messages, arrived=arrived)
        case lane_events.LanesShared(stream, held, lanes, processes):
            log.info("lanes shared", stream=stream, held=list(held), lanes=lanes, processes=processes)
        case lane_events.LeadGivenUp(stream):
            log.info("lead given up", stream=stream)
        case happened.PublishingBlocked(broker, stream):
            log.error("the broker takes nothing, it is out of memory or disk", broker=broker, stream=stream)
        case happened.PublishingUnblocked(broker, blocked_seconds, stream):
            seconds = round(blocked_seconds, 1)
            log.info("the broker takes messages again", broker=broker, stream=stream, blocked_seconds=seconds)
        case happened.PublishingRefused(broker, reason):
            log.warning("the broker refused a message", broker=broker, reason=reason)
        case happened.SendingAgain(stream, events):
            log.warning("unconfirmed events are sent again", stream=stream, events=events)
        case happened.StreamObserved():
            log.debug("stream observed", **asdict(event))
        case happened.Stalled(stream, still_seconds, oldest_age_seconds):
            log.error(
                "events wait and nothing is published, the relay begins anew",
                stream=stream,
                still_seconds=round(still_seconds),
                oldest_age_seconds=round(oldest_age_seconds),
            )
        case guard_events.TopologyUnseen(thing, reason):
            log.warning("topology not seen", thing=thing, reason=reason)
        case guard_events.WitnessMissing(server, queue):
            log.warning(
                "the broker cannot remember what is published, a loss is seen only while this relay lives",
                server=server,
                queue=queue,
            )
        case guard_events.WitnessOfAnother(server, origin):
            log.warning("the broker remembers another outbox, it is ignored", server=server, origin=origin)
        case happened.CursorSaved(stream, position):
            log.debug("cursor saved", stream=stream, position=position)
        case happened.PartitionChanged(stream, partition, change, size_bytes):
            log.info("partition", stream=stream, partition=partition, change=change, size_bytes=size_bytes)
        case happened.PartitionPostponed(stream, partition, change, reason):
            log.warning("partition postponed", stream=stream, partition=partition, change=change, reason=reason)
        case happened.PartitionsSeen(stream, ahead, oldest_age_seconds, is_default_used):
            write = log.error if is_default_used else log.debug
            write(
                "partitions",
                stream=stream,
                ahead=ahead,
                oldest_age_seconds=round(oldest_age_seconds),
                is_default_used=is_default_used,
            )
        case happened.Accepted(flow, accepted, duplicates, dead, skipped):
            write = log.warning if dead else log.info if skipped else log.debug
            write("accepted", flow=flow, accepted=accepted, duplicates=duplicates, dead=dead, skipped=skipped)
        case consumer_events.ConsumerSilent(flow, ready, silent_seconds):
            log.error(
                "messages wait in the queue and none is delivered, the consumer begins anew",
                flow=flow,
                ready=ready,
                silent_seconds=round(silent_seconds),
                next_step="should it come again, see who consumes the queue: rabbitmqctl list_consumers",
            )
        case consumer_events.IntakePaused(flow, waiting):
            log.warning("intake paused, the queue keeps what comes", flow=flow, waiting=waiting)
        case consumer_events.IntakeResumed(flow, waiting):
            log.info("intake resumed", flow=flow, waiting=waiting)
        case happened.LanesChanged(flow, held, fair_share, taken, in_doubt):
            log.info("lanes", flow=flow, held=held, fair_share=fair_share, taken=taken, in_doubt=in_doubt)
        case happened.AttemptEnded():
            write = log.debug if event.state == "applied" else log.warning
            write(
                "attempt ended",
                flow=event.flow,
                event_id=event.message_id,
                sequence=event.sequence,
                attempt=event.attempt,
                outcome=event.outcome,
                state=event.state,
                seconds=round(event.seconds, 4),
                trace_id=_trace_id(event.traceparent),
                reason=event.reason,
            )
        case flow_events.Parked(flow, message_id, sequence, attempt, state, reason):
            log.error(
                "parked",
                flow=flow,
                event_id=message_id,
                sequence=sequence,
                attempt=attempt,
                state=state,
                reason=reason,
            )
        case happened.SettleRefused(flow, results):
            log.warning("results void, the lane has a new owner", flow=flow, results=results)
        case happened.DeadLetterPublished(flow, message_id, reason):
            log.error("dead letter", flow=flow, event_id=message_id, reason=reason)
        case flow_events.CircuitChanged(flow, state, seconds, needs_a_person, reason):
            write = log.info if state == "closed" else log.error if needs_a_person else log.warning
            pause = None if seconds is None else round(seconds, 1)
            write("circuit", flow=flow, state=state, pause_seconds=pause, needs_a_person=needs_a_person, reason=reason)
        case flow_events.CircuitSeen(flow, state, needs_a_person, reason, changed_by):
            write = log.info if state == "closed" else log.error if needs_a_person else log.warning
            write(
                "circuit", flow=flow, state=state, needs_a_person=needs_a_person, reason=reason, changed_by=changed_by
            )
        case flow_events.FlowObserved():
            log.debug("flow observed", **asdict(event))
        case flow_events.FlowUnobserved(flow):
            log.debug("another process observes the flow", flow=flow)
        case flow_events.AlertRaised():
            log.error("alert", **asdict(event))
        case flow_events.AlertOver():
            log.info("alert over", **asdict(event))
        case flow_events.TargetThrottles(flow, seconds, reason):
            log.warning("the target throttles", flow=flow, pause_seconds=round(seconds, 1), reason=reason)
        case (
            flow_events.LinkRefused() | flow_events.WaitsBegan() | flow_events.WaitsEnded() | flow_events.RecordsAsked()
        ):
            write_xref(log, event)
        case flow_events.DeliveriesForgotten(deliveries):
            log.debug("deliveries forgotten", deliveries=deliveries)
        case reconcile_events.Reconciled() | reconcile_events.TotalsUntold() | reconcile_events.TotalsGivenUp():
            write_totals(log, event)
        case _:
            assert_never(event)


def _trace_id(traceparent: str | None) -> str | None:
    return traceparent.split("-")[1] if traceparent else None
