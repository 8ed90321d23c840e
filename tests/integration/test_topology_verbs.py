"""``outbox topology`` as people call it: tables, JSON, definitions, dry run and exit codes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from outbox.model.errors import ExitCode
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.rabbit_users import management_of


def verbs_for(cli: Cli, broker: Broker, mode: str, *, has_api: bool = True) -> Cli:
    """Return the command with the settings of one flow, in a mode."""
    settings: dict[str, object] = {"topology": mode}
    if has_api:
        settings["management_url"] = management_of(broker)
    cli.settings(one_flow() | {"rabbitmq": settings})
    return replace(cli, amqp_url=broker.url)


async def test_a_dry_run_shows_what_apply_does_and_check_agrees_with_both(cli: Cli, broker: Broker) -> None:
    topology = verbs_for(cli, broker, "policies")

    planned = await topology("topology", "apply", "--dry-run")
    missing = await topology("topology", "check")
    applied = await topology("topology", "apply")
    right = await topology("topology", "check", "--json")

    assert planned.code == applied.code == ExitCode.OK
    assert planned.out == "".join(f"would {line}\n" for line in applied.out.splitlines())
    assert missing.code == ExitCode.CHECK_FAILED
    assert f"queue flow.{FLOW}: found nothing, wanted a durable quorum queue; next step: run" in missing.out
    assert (right.json()["mode"], right.json()["deviations"]) == ("policies", [])


async def test_print_needs_no_broker_when_it_is_told_the_version(cli: Cli, broker: Broker) -> None:
    topology = replace(verbs_for(cli, broker, "policies"), amqp_url="amqp://nobody@no-such-host.invalid/erp")

    table = await topology("topology", "print", "--broker-version", "4.1", COLUMNS="200")
    printed = (await topology("topology", "print", "--definitions", "--broker-version", "3.13.1")).json()

    assert (table.code, "quorum_queues" in table.out) == (ExitCode.OK, True)
    assert {policy["vhost"] for policy in printed["policies"]} == {"erp"}


async def test_a_queue_that_is_in_the_way_ends_apply_with_one(cli: Cli, broker: Broker) -> None:
    async with broker.channel() as channel:
        await channel.declare_queue(f"dead.{FLOW}", durable=True)

    ended = await verbs_for(cli, broker, "arguments")("topology", "apply", "--json")

    assert ended.code == ExitCode.CHECK_FAILED
    assert [problem["found"] for problem in json.loads(ended.out)["problems"]] == ["a durable classic one"]


@pytest.mark.parametrize(
    ("mode", "part"),
    [("passive", "rabbitmq.topology is passive"), ("policies", "set rabbitmq.management_url (OUTBOX_MANAGEMENT_URL)")],
)
async def test_apply_refuses_what_it_cannot_do(cli: Cli, broker: Broker, mode: str, part: str) -> None:
    topology = verbs_for(cli, broker, mode, has_api=False)

    assert part in (await topology("topology", "apply")).refusal(ExitCode.MISCONFIGURED)
