"""``outbox flows``: the inventory of integrations, for people, auditors and pipelines."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from outbox.model.errors import ExitCode
from tests.kit.cli import FLOW, Cli, one_flow

CARED_FOR = {
    "owner": {"business": "sales-ops@example.com", "technical": "integration@example.com"},
    "source_of_truth": "erp",
    "runbook": "docs/runbooks/orders.md",
    "expect_every": "1d",
    "alert": {"late_after": "30m", "to": ["ops"]},
    "reconcile": {"every": "1d", "window": "2d"},
    "tolerance": {"count": 0, "amount": "0.01"},
    "on_dead": "block",
    "rate_limit": "20/s",
}


def flow_with(**more: object) -> dict[str, Any]:
    settings: dict[str, Any] = one_flow("https://crm.example.com/api")
    settings["alerts"] = {"channels": {"ops": {"url": "https://hooks.example.com/x"}}, "to": ["ops"]}
    settings["flows"][FLOW] |= more
    return settings


async def test_the_inventory_says_whose_a_flow_is_and_what_is_promised_in_every_format(cli: Cli) -> None:
    cli.settings(flow_with(**CARED_FOR, description="Orders | become\ndeals"))
    (flow,) = (await cli("flows", "--format", "json")).json()
    assert flow == {
        "flow": FLOW,
        "description": "Orders | become\ndeals",
        "direction": "outbound",
        "source_of_truth": "erp",
        "events": "order.*",
        "adapter": "rest",
        "connection": "crm",
        "target": "https://crm.example.com/api",
        "business_owner": "sales-ops@example.com",
        "technical_owner": "integration@example.com",
        "expected": "every 1d",
        "late_after": "30m",
        "alerts_to": "ops",
        "tolerance": "0 events, amount 0.01",
        "reconciled": "every 1d, 2d each time",
        "dead_letters": "after 3 attempts; a key behind one: block; late events: park",
        "rate_limit": "20/s",
        "runbook": "docs/runbooks/orders.md",
        "warnings": [],
    }
    (row,) = csv.DictReader(io.StringIO((await cli("flows", "--format", "csv")).out))
    assert row == {**flow, "warnings": ""}
    markdown = (await cli("flows", "--format", "markdown")).out
    assert f"\n## {FLOW}\n\nOrders | become deals\n" in markdown
    assert "| late after | 30m |\n" in markdown
    assert "sales-ops@example.com" in (await cli("flows", COLUMNS="200")).out
    strict = await cli("flows", "--strict")
    assert (strict.code, strict.err) == (ExitCode.OK, "")


async def test_a_flow_that_nobody_answers_for_is_a_warning_and_an_error_when_asked_to_be_strict(cli: Cli) -> None:
    cli.settings(flow_with())
    ended = await cli("flows", "--format", "json")
    (flow,) = ended.json()
    assert [warning.partition(":")[0] for warning in flow["warnings"]] == [
        "no owner",
        "no alert.late_after",
        "no on_dead",
    ]
    assert ended.err.count("warning:") == 3
    assert "3 warning(s)" in (await cli("flows", "--strict")).refusal(ExitCode.CHECK_FAILED)
    for rule, value in CARED_FOR.items():
        if rule in ("owner", "alert", "on_dead"):
            cli.settings(flow_with(**{rule: value}))
            assert (await cli("flows")).err.count("warning:") == 2


async def test_a_flow_that_nobody_is_written_to_about_and_a_channel_that_nothing_names_are_told(cli: Cli) -> None:
    settings = flow_with(**(CARED_FOR | {"alert": {"late_after": "30m", "to": []}}))
    settings["alerts"]["channels"] |= {"spare": {"url": "https://hooks.example.com/y"}}
    cli.settings(settings)
    assert (
        "no channel: nobody is written to"
        in (await cli("flows", "--strict")).refusal(ExitCode.CHECK_FAILED) + (await cli("flows")).err
    )
    findings = json.loads((await cli("check", "--json")).out)
    assert [one["text"] for one in findings if one["subject"] == "alerts"] == ["nothing names the channel spare"]
    assert any("no channel" in one["text"] for one in findings if one["subject"] == f"flow {FLOW}")


async def test_check_notes_what_is_unsaid_and_calls_it_wrong_when_asked_to_be_strict(cli: Cli) -> None:
    cli.settings(flow_with())
    for options, result in (((), "note"), (("--strict",), "wrong")):
        ended = await cli("check", "--json", *options)
        findings = json.loads(ended.out)
        unsaid = [finding["result"] for finding in findings if finding["subject"] == f"flow {FLOW}"]
        assert unsaid == [result] * 3


async def test_what_cannot_be_a_promise_is_told_with_its_place(cli: Cli) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"tolerance": {"amount": 0.01}}, 'must be a decimal in quotes, for example "0.01"'),
        ({"tolerance": {"amount": "1e3"}}, "must be a decimal in quotes"),
        ({"tolerance": {"amount": "-1"}}, "must be a decimal in quotes"),
        ({"tolerance": {"count": -1}}, "flows.orders-to-crm.tolerance.count"),
        ({"alert": {"late_after": 30}}, "has no unit"),
        ({"alert": {"late_afer": "30m"}}, "did you mean 'late_after'?"),
        ({"alert": {}}, "flows.orders-to-crm.alert.late_after"),
        ({"direction": "sideways"}, "one of outbound, inbound"),
        ({"expect_every": "0s"}, "flows.orders-to-crm.expect_every"),
        ({"owner": {"business": "sales"}}, "flows.orders-to-crm.owner.technical"),
    ]
    for settings, told in cases:
        cli.settings(flow_with(**settings))
        assert told in (await cli("flows")).refusal(ExitCode.MISCONFIGURED), settings
