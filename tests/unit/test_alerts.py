"""What is an alert, what people are told of it, and to whom; and what settings may say of that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from outbox.config.audience import addressees_of, unheard, unused_channels
from outbox.model.addresses import Route
from outbox.model.alert_rules import (
    FLOW_RULES,
    AlertRule,
    Broken,
    Judgement,
    TotalsGround,
    judge_flow,
    judge_settings,
    judge_stream,
    judge_totals,
    stands,
)
from outbox.model.alerts import Promise
from outbox.model.circuit import CircuitState
from outbox.model.flow_events import FlowObserved
from outbox.model.notices import Kind, Notice, compose
from tests.unit.config_cases import problems_of, settings_of

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
FLOW = (
    "{{connections: {{crm: {{base_url: 'https://crm.example.com'}}}}, alerts: {alerts},"
    " flows: {{orders: {{description: x, owner: {{business: Sales, technical: it@example.com}},"
    " events: [order.confirmed], adapter: {{use: rest, connection: crm, path: /deals}}, {flow}}}}}}}"
)
MAIL = "{url: 'smtps://mail.example.com', sender: outbox@example.com, recipients: [owner.technical, owner.business]}"


def text(alerts: str, flow: str = "on_dead: block") -> str:
    return FLOW.format(alerts=alerts, flow=flow)


def seen(
    circuit: CircuitState = CircuitState.CLOSED,
    *,
    needs_a_person: bool = False,
    dead: int = 0,
    in_doubt: int = 0,
    waiting: float = 0.0,
) -> FlowObserved:
    return FlowObserved("f", circuit, needs_a_person, dead, in_doubt, 0, 0.0, waiting, 0.0, ())


def notice(kind: Kind, subject: str = "flow f", rule: str = "dead", told: str = "1 dead letter") -> Notice:
    return Notice(1, kind, subject, rule, told, 1, "it@example.com", "docs/r.md", None, NOON, 1900.0)


def test_a_flow_that_is_well_breaks_nothing() -> None:
    assert judge_flow(Promise(60, 60), 300, seen()) == Judgement("flow f", FLOW_RULES, (), "f")


def test_each_thing_that_is_wrong_with_a_flow_is_a_rule_of_its_own() -> None:
    judged = judge_flow(Promise(60), 300, seen(CircuitState.HALF_OPEN, dead=2, in_doubt=1, waiting=61.0))
    assert {one.rule: (one.level, one.hold_seconds) for one in judged.broken} == {
        AlertRule.LATE: (0, 0.0),
        AlertRule.DEAD: (2, 0.0),
        AlertRule.IN_DOUBT: (1, 0.0),
        AlertRule.CIRCUIT: (0, 300.0),
    }


def test_a_circuit_that_only_a_person_can_close_is_told_at_once() -> None:
    (broken,) = judge_flow(Promise(), 300, seen(CircuitState.OPEN, needs_a_person=True)).broken
    assert (broken.rule, broken.hold_seconds) == (AlertRule.CIRCUIT, 0.0)


def test_totals_are_an_alert_when_they_disagree_and_not_when_what_is_missing_is_on_its_way() -> None:
    standing = {"lost": 2, "waiting": 7}
    disagrees = judge_totals(TotalsGround("f", NOON, NOON, "disagrees", standing, is_untold=False))
    assert [(one.rule, one.level) for one in disagrees.broken] == [(AlertRule.TOTALS, 2)]
    assert judge_totals(TotalsGround("f", NOON, NOON, "late", standing, is_untold=False)).broken == ()
    untold = judge_totals(TotalsGround("f", None, None, None, {}, is_untold=True))
    assert [one.rule for one in untold.broken] == [AlertRule.UNTOLD]


def test_a_stream_is_judged_by_its_oldest_event_and_settings_by_who_refused_them() -> None:
    assert judge_stream("s", 300.0, 300.0).broken == ()
    assert [one.rule for one in judge_stream("s", 301.0, 300.0).broken] == [AlertRule.UNPUBLISHED]
    assert judge_settings(0, 3, None).broken == ()
    (refused,) = judge_settings(1, 3, "flows.x:\n  wrong").broken
    assert refused.text == "1 of 3 processes refused newer settings and go on with those before: flows.x: wrong"


def test_an_alert_stands_for_its_own_subject_and_rules() -> None:
    judgement = Judgement("flow f", FLOW_RULES)
    assert stands(judgement, {("flow f", "late")})
    assert not stands(judgement, {("flow g", "late"), ("flow f", "totals")})
    assert Broken(AlertRule.LATE, "x").level == 0


def test_a_message_tells_what_stands_before_what_is_over_with_whom_to_ask_and_what_to_do() -> None:
    told = compose([notice(Kind.OVER, rule="late"), notice(Kind.RAISED)])
    assert told.subject == "[outbox] 1 alert: flow f dead; 1 over: flow f late"
    assert told.text.splitlines() == [
        "ALERT flow f: dead, for 31.7 min, raised 2026-03-31T12:00:00+00:00",
        "  1 dead letter",
        "  owner: it@example.com",
        "  next step: outbox dead list --flow f",
        "  runbook: docs/r.md",
        "",
        "OVER flow f: late, it lasted 31.7 min, raised 2026-03-31T12:00:00+00:00",
        "  it was: 1 dead letter",
        "  owner: it@example.com",
        "  runbook: docs/r.md",
    ]


def test_many_alerts_are_counted_and_no_text_begins_a_line_of_its_own() -> None:
    told = compose([notice(Kind.STILL, f"flow {number}", told="a\r\nBcc: x") for number in range(5)])
    assert told.subject == "[outbox] 5 alerts: flow 0 dead, flow 1 dead, flow 2 dead, and 2 more"
    assert "\nBcc" not in told.text
    assert "\r" not in told.text


def test_a_rule_of_a_newer_program_is_told_all_the_same() -> None:
    assert "next step" not in compose([notice(Kind.RAISED, rule="unheard_of")]).text


def test_owners_that_are_addresses_are_written_to_and_those_that_are_not_are_told(tmp_path: Path) -> None:
    settings = settings_of(text(f"{{channels: {{mail: {MAIL}}}, to: [mail]}}"), tmp_path)
    assert addressees_of(settings, "orders").routes == (Route("mail", ("it@example.com",)),)
    assert addressees_of(settings, "orders").owner == "Sales / it@example.com"
    assert addressees_of(settings, None).routes == ()
    assert unheard(settings, "orders") == ()
    assert "nobody to write to" in unheard(settings, None)[0]


def test_a_flow_without_a_channel_and_a_channel_without_a_flow_are_told(tmp_path: Path) -> None:
    chat = "{channels: {ops: {url: 'https://hooks.example.com/x'}}}"
    settings = settings_of(text(chat), tmp_path)
    assert "no channel" in unheard(settings, "orders")[0]
    assert unused_channels(settings) == ("ops",)
    named = settings_of(text(chat, "alert: {late_after: 1h, to: [ops]}"), tmp_path)
    assert (unheard(named, "orders"), unused_channels(named)) == ((), ())
    assert unheard(settings_of(text("{}"), tmp_path), "orders") == ()


def test_a_misspelt_channel_is_told_with_its_place_and_what_was_meant(tmp_path: Path) -> None:
    alerts = "{channels: {ops: {url: 'https://hooks.example.com/s3cret'}}, to: [opps]}"
    first, second = problems_of(text(alerts, "alert: {late_after: 1h, to: [ops, ps]}"), tmp_path)
    assert first.startswith("outbox.yaml:1:")
    assert "alerts.to[0]=opps: unknown channel, known are ops; did you mean 'ops'?" in first
    assert "flows.orders.alert.to[1]=ps: unknown channel, known are ops; did you mean 'ops'?" in second
    assert "s3cret" not in first + second


@pytest.mark.parametrize(
    ("channel", "about"),
    [
        ("{url: 'ftp://s3cret.example.com'}", "must begin with"),
        ("{url: 'https://'}", "name a host"),
        ("{url: 'smtp://s3cret:@mail/x'}", "must end behind the host"),
        ("{url: 'smtp://s3cret@mail', sender: a@b, recipients: [a@b]}", "both user and password"),
        ("{url: 'smtp://mail', recipients: [a@example.com]}", "sender: required"),
        ("{url: 'smtp://mail', sender: a@example.com}", "recipients: required"),
        ("{url: 'smtp://mail', sender: a@example.com, recipients: [nobody]}", "owner.business or owner.technical"),
        ("{url: 'smtp://mail', sender: 'a@example.com, b@example.com', recipients: [a@b]}", "must be an address"),
        ("{url: 'smtp://mail', sender: a@b, recipients: [a@b], format: json}", "has no meaning"),
        ("{url: 'smtp://u:s3cret@mail', sender: a@b, recipients: [a@b], starttls: false}", "would travel"),
        ("{url: 'https://hooks/x', recipients: [a@b]}", "for mail servers"),
        ("{url: 'http://hooks/x', token: s3cret}", "needs https://"),
        ('{url: "https://hooks/x", token: "s3cret\\nline"}', "without spaces or line breaks"),
        ("{url: 'https://hooks/x', token: s3crét}", "signs of ASCII"),
        ("{url: 'https://user:s3cret@hooks/x', token: s3cret}", "beside a user"),
        ("{url: 'https://hooks..example.com/s3cret'}", "name a host"),
    ],
)
def test_a_channel_that_cannot_work_is_told_without_what_it_hides(channel: str, about: str, tmp_path: Path) -> None:
    found = problems_of(text(f"{{channels: {{ops: {channel}}}, to: [ops]}}"), tmp_path)
    assert any(about in one for one in found), found
    assert "s3cret" not in str(found)


def test_what_is_repeated_is_not_told_more_often_than_people_have_peace(tmp_path: Path) -> None:
    (problem,) = problems_of(text("{every: 2h, repeat_every: 1h}"), tmp_path)
    assert "must be at least every (2h)" in problem
