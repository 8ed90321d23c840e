"""Logs and metrics take every event of the lifecycle, count from zero, and show nothing but what they list."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Iterator

import pytest
import structlog

from outbox.model.circuit import CircuitState
from outbox.model.flow_events import FlowObserved, FlowUnobserved, Parked
from outbox.model.lanes import lanes_of
from outbox.model.lifecycle import (
    Accepted,
    AttemptEnded,
    CaughtUp,
    DeadLetterPublished,
    EventRejected,
    LanesChanged,
    LeadTaken,
    Lifecycle,
    PagePublished,
    ServiceFailed,
    ServiceStarted,
    ServiceWaiting,
    SettleRefused,
    StandingBy,
    Unrouted,
    UnroutedSeen,
)
from outbox.model.outcome import OUTCOME_NAMES
from outbox.telemetry import logs
from outbox.telemetry.logs import LifecycleLog
from outbox.telemetry.metrics import Metrics

CANARY = "CANARY-0815"
FLOW = "orders-to-crm"
STREAM = "outbox.event"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENTS: tuple[type[Lifecycle], ...] = typing.get_args(Lifecycle)
ATTEMPT = AttemptEnded(FLOW, "m-1", 7, 2, "retry", "retry", 0.25, TRACEPARENT, "POST /deals: answered 500")


def example(kind: type[Lifecycle]) -> Lifecycle:
    """Make an event of this kind from the types of its fields."""
    hints = typing.get_type_hints(kind)
    samples: dict[object, object] = {str: "text", int: 3, float: 0.5, bool: True, BaseException: ValueError("oops")}
    samples |= {int | None: 3, float | None: 0.5}
    values = {
        name: samples.get(hint, ("text",) if hint == tuple[str, ...] else TRACEPARENT) for name, hint in hints.items()
    }
    return kind(**values)


def lines(captured: str) -> list[dict[str, typing.Any]]:
    return [json.loads(line) for line in captured.splitlines()]


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    yield
    # It writes to what was standard error during the test.
    structlog.reset_defaults()


def json_log() -> LifecycleLog:
    """Write to what is standard error now: to be called in the test, not before it."""
    logs.configure(style="json", level="debug")
    return LifecycleLog("outbox-test")


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_is_a_line_of_json_with_everything_that_it_says(
    capsys: pytest.CaptureFixture[str], kind: type[Lifecycle]
) -> None:
    json_log()(example(kind))

    first, *_ = lines(capsys.readouterr().err)
    assert {"event", "level", "timestamp", "program"} <= first.keys()
    said = {"message_id": "event_id", "traceparent": "trace_id", "error": "exception", "needs_a_person": "level"}
    fields = {said.get(field.name, field.name) for field in dataclasses.fields(kind)}
    assert fields <= first.keys()


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("style", ["json", "console"])
def test_every_event_is_taken_in_every_style_and_counted(
    capsys: pytest.CaptureFixture[str], kind: type[Lifecycle], style: str
) -> None:
    logs.configure(style=style, level="debug")
    metrics = Metrics(lanes=lanes_of("text", 1), flows=["text"])

    LifecycleLog("outbox-test")(example(kind))
    metrics(example(kind))

    assert capsys.readouterr().err
    assert metrics.exposition()


def test_an_attempt_names_the_event_and_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    json_log()(ATTEMPT)

    (line,) = lines(capsys.readouterr().err)
    assert (line["event_id"], line["trace_id"]) == ("m-1", "0af7651916cd43dd8448eb211c80319c")
    assert line["level"] == "warning"


def test_what_is_skipped_as_stale_is_told_and_what_is_simply_accepted_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = json_log()
    for skipped in (0, 1):
        log(Accepted(FLOW, accepted=3, duplicates=0, dead=0, skipped=skipped))

    written = [(line["level"], line["skipped"]) for line in lines(capsys.readouterr().err)]
    assert written == [("debug", 0), ("info", 1)]


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_bug_is_told_with_where_it_happened_and_without_the_values_of_variables(
    capsys: pytest.CaptureFixture[str], style: str
) -> None:
    def broken(payload: str) -> None:
        password = CANARY
        raise LookupError(f"{len(payload + password)} is no index")

    logs.configure(style=style, level="info")
    try:
        broken(CANARY)
    except LookupError as error:
        LifecycleLog("outbox-test")(ServiceFailed("relay", error))

    written = capsys.readouterr().err
    assert CANARY not in written
    assert "LookupError" in written
    assert "is no index" in written
    assert "broken" in written


def test_being_caught_up_is_news_once_for_each_lead(capsys: pytest.CaptureFixture[str]) -> None:
    log = json_log()
    for event in (CaughtUp(STREAM), CaughtUp(STREAM), LeadTaken(STREAM, 2, "1:1:"), CaughtUp(STREAM)):
        log(event)

    assert [line["event"] for line in lines(capsys.readouterr().err)] == ["caught up", "lead taken", "caught up"]


def samples(metrics: Metrics) -> dict[str, float]:
    text = metrics.exposition().decode()
    parts = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in parts if "_created" not in name}


def test_every_series_exists_at_zero_from_the_start() -> None:
    found = samples(Metrics(lanes=lanes_of(STREAM, 1), flows=[FLOW]))

    expected = [
        f'outbox_relay_is_leader{{stream="{STREAM}"}}',
        f'outbox_published_events_total{{stream="{STREAM}"}}',
        f'outbox_rejected_events_total{{stream="{STREAM}"}}',
        "outbox_unrouted_events_total",
        f'outbox_confirm_duration_seconds_count{{stream="{STREAM}"}}',
        f'inbox_accepted_messages_total{{flow="{FLOW}"}}',
        f'inbox_duplicate_messages_total{{flow="{FLOW}"}}',
        *(f'inbox_attempts_total{{flow="{FLOW}",outcome="{outcome}"}}' for outcome in OUTCOME_NAMES),
        *(
            f'inbox_settled_deliveries_total{{flow="{FLOW}",state="{state}"}}'
            for state in ("applied", "retry", "in_doubt", "dead", "skipped")
        ),
        *(f'inbox_parkings_total{{flow="{FLOW}",state="{state}"}}' for state in ("dead", "in_doubt")),
        f'inbox_call_duration_seconds_count{{flow="{FLOW}"}}',
        f'inbox_void_results_total{{flow="{FLOW}"}}',
        f'inbox_lanes_held{{flow="{FLOW}"}}',
        f'inbox_dead_letters_published_total{{flow="{FLOW}"}}',
    ]
    assert {name: found.get(name) for name in expected} == dict.fromkeys(expected, 0.0)
    assert any(name.startswith("outbox_build_info{") for name in found)
    assert f'outbox_oldest_unpublished_age_seconds{{stream="{STREAM}"}}' in found


def test_events_move_the_series_that_operations_watch() -> None:
    metrics = Metrics(lanes=lanes_of(STREAM, 1), flows=[FLOW])
    for event in (
        PagePublished(STREAM, 200, 200, 1.5, 0.01),
        EventRejected(STREAM, "m", 1, "too large"),
        Unrouted("m", "a.b"),
        UnroutedSeen(7, 2),
        Accepted(FLOW, accepted=5, duplicates=2, dead=1, skipped=2),
        LanesChanged(FLOW, held=16, fair_share=16, taken=16, in_doubt=3),
        ATTEMPT,
        Parked(FLOW, "m", 1, None, "in_doubt", "why"),
        # Its call was counted when it ended.
        Parked(FLOW, "m", 1, 2, "dead", "why"),
        SettleRefused(FLOW, 4),
        DeadLetterPublished(FLOW, "m", "why"),
        ServiceWaiting("http", "taken", 0.5, needs_a_person=True),
    ):
        metrics(event)

    found = samples(metrics)
    for name, value in {
        f'outbox_published_events_total{{stream="{STREAM}"}}': 200,
        f'outbox_confirm_duration_seconds_count{{stream="{STREAM}"}}': 1,
        f'outbox_rejected_events_total{{stream="{STREAM}"}}': 1,
        "outbox_unrouted_events_total": 3,
        "outbox_unrouted_messages": 7,
        f'inbox_accepted_messages_total{{flow="{FLOW}"}}': 5,
        f'inbox_duplicate_messages_total{{flow="{FLOW}"}}': 2,
        f'inbox_attempts_total{{flow="{FLOW}",outcome="retry"}}': 1,
        f'inbox_attempts_total{{flow="{FLOW}",outcome="applied"}}': 0,
        f'inbox_settled_deliveries_total{{flow="{FLOW}",state="retry"}}': 1,
        f'inbox_settled_deliveries_total{{flow="{FLOW}",state="dead"}}': 1,
        f'inbox_settled_deliveries_total{{flow="{FLOW}",state="in_doubt"}}': 4,
        f'inbox_settled_deliveries_total{{flow="{FLOW}",state="skipped"}}': 2,
        f'inbox_parkings_total{{flow="{FLOW}",state="dead"}}': 2,
        f'inbox_parkings_total{{flow="{FLOW}",state="in_doubt"}}': 1,
        f'inbox_call_duration_seconds_count{{flow="{FLOW}"}}': 1,
        f'inbox_void_results_total{{flow="{FLOW}"}}': 4,
        f'inbox_lanes_held{{flow="{FLOW}"}}': 16,
        f'inbox_dead_letters_published_total{{flow="{FLOW}"}}': 1,
        'outbox_service_waits_total{service="http"}': 1,
    }.items():
        assert found[name] == value, name


LEADER = f'outbox_relay_is_leader{{stream="{STREAM}"}}'
AGE = f'outbox_oldest_unpublished_age_seconds{{stream="{STREAM}"}}'


def test_a_relay_that_cannot_work_does_not_lead() -> None:
    metrics = Metrics(lanes=lanes_of(STREAM, 1), flows=[])
    metrics(ServiceStarted("relay"))
    assert samples(metrics)['outbox_service_waits_total{service="relay"}'] == 0

    metrics(LeadTaken(STREAM, 1, "1:1:"))
    metrics(ServiceWaiting("http", "taken", 0.5, needs_a_person=True))
    assert samples(metrics)[LEADER] == 1
    metrics(ServiceWaiting("relay", "away", 0.5, needs_a_person=False))
    assert samples(metrics)[LEADER] == 0


def test_the_age_of_the_oldest_event_is_unknown_to_a_standby_and_grows_for_a_leader_that_cannot_work() -> None:
    metrics = Metrics(lanes=lanes_of(STREAM, 1), flows=[])
    assert math.isnan(samples(metrics)[AGE])

    metrics(ServiceWaiting("relay", "away", 0.5, needs_a_person=False))
    first = samples(metrics)[AGE]
    assert samples(metrics)[AGE] > first >= 0

    metrics(LeadTaken(STREAM, 2, "1:1:"))
    metrics(PagePublished(STREAM, 1, 1, 90.0, 0.01))
    assert 90 <= samples(metrics)[AGE] < 91
    metrics(CaughtUp(STREAM))
    assert samples(metrics)[AGE] < 1
    metrics(StandingBy(STREAM))
    assert math.isnan(samples(metrics)[AGE])
    assert samples(metrics)[LEADER] == 0


def test_what_waits_unrouted_is_told_when_it_changes_and_unknown_to_who_does_not_lead(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log, metrics = json_log(), Metrics(lanes=lanes_of(STREAM, 1), flows=[])
    assert math.isnan(samples(metrics)["outbox_unrouted_messages"])
    for messages in (0, 3, 3, 0):
        log(UnroutedSeen(messages, 0))
        metrics(UnroutedSeen(messages, 0))
    assert samples(metrics)["outbox_unrouted_messages"] == 0
    metrics(StandingBy(STREAM))

    assert [(line["level"], line["messages"]) for line in lines(capsys.readouterr().err)] == [("error", 3), ("info", 0)]
    assert math.isnan(samples(metrics)["outbox_unrouted_messages"])


def test_how_a_flow_stands_is_unknown_to_whoever_does_not_look_or_cannot() -> None:
    metrics = Metrics(lanes=(), flows=[FLOW])
    series = {
        f'inbox_circuit_state{{flow="{FLOW}",state="closed"}}': 0,
        f'inbox_circuit_state{{flow="{FLOW}",state="open"}}': 1,
        f'inbox_circuit_state{{flow="{FLOW}",state="half_open"}}': 0,
        f'inbox_circuit_needs_a_person{{flow="{FLOW}"}}': 1,
        f'inbox_parked_deliveries{{flow="{FLOW}",state="dead"}}': 2,
        f'inbox_parked_deliveries{{flow="{FLOW}",state="in_doubt"}}': 3,
        f'inbox_blocked_deliveries{{flow="{FLOW}"}}': 4,
        f'inbox_oldest_due_age_seconds{{flow="{FLOW}"}}': 5.5,
        f'inbox_oldest_waiting_age_seconds{{flow="{FLOW}"}}': 6.5,
        f'inbox_quiet_seconds{{flow="{FLOW}"}}': 7.5,
        f'inbox_alert{{flow="{FLOW}",rule="late"}}': 1,
        f'inbox_alert{{flow="{FLOW}",rule="quiet"}}': 0,
    }
    assert all(math.isnan(samples(metrics)[name]) for name in series)
    for loss in (FlowUnobserved(FLOW), ServiceWaiting(f"apply {FLOW}", "away", 0.5, needs_a_person=False)):
        metrics(FlowObserved(FLOW, CircuitState.OPEN, True, 2, 3, 4, 5.5, 6.5, 7.5, ("late",)))
        assert {name: samples(metrics)[name] for name in series} == series
        metrics(loss)
        assert all(math.isnan(samples(metrics)[name]) for name in series)
