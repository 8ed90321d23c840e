"""Listing and redriving unrouted events where relay and consumers declare nothing, with the documented users only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.model.errors import ExitCode
from outbox.rabbitmq.desired import Mode
from tests.integration.test_broker_permissions import OWNED_BY_OTHERS, documented, made_by_others
from tests.kit.broker import Broker, manage
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.rabbit_users import management_of, rabbit_user
from tests.kit.topology import Topology

UNROUTED = "outbox.unrouted"


@pytest.mark.parametrize(
    ("mode", "has_alternate"),
    [(Mode.ARGUMENTS, True), (Mode.POLICIES, True), (Mode.PASSIVE, True), (Mode.PASSIVE, False)],
    ids=["arguments", "policies", "passive", "passive, without an alternate exchange"],
)
async def test_what_nobody_had_bound_is_listed_and_redriven_in_every_mode_by_a_user_of_its_own(
    cli: Cli, database: Database, broker: Broker, mode: Mode, *, has_alternate: bool
) -> None:
    cli.settings({"rabbitmq": {"topology": mode}})
    if mode in OWNED_BY_OTHERS:
        await made_by_others(broker, mode)
    relay_grants = documented(mode, "relay")
    if not has_alternate:
        await manage(management_of(broker), "DELETE", f"/api/policies/{broker.vhost}/outbox-events")
        relay_grants["write"] = relay_grants["write"].replace("^outbox", r"^amq\.default$|^outbox")
    await database.rows("select outbox.emit(t, 'K', '{}') from unnest(array['a', 'b', 'a', 'b', 'a']) t")
    async with rabbit_user(broker, **relay_grants) as url:
        drained = await replace(cli, pg_url=database.url, amqp_url=url)("relay", "--drain")
    assert drained.code == ExitCode.OK, drained.err

    async with rabbit_user(broker, **documented(mode, "`unrouted`")) as url:
        at = replace(cli, amqp_url=url)
        listed = (await at("unrouted", "list", "--json")).json()
        async with broker.channel() as channel:
            bound = await channel.declare_queue("bound", durable=True, arguments={"x-queue-type": "quorum"})
            await bound.bind("outbox.events", "a")
        first = (await at("unrouted", "redrive", "--yes", "--json")).json()
        again = (await at("unrouted", "redrive", "--yes", "--json")).json()

    assert {name: found["messages"] for name, found in listed["types"].items()} == {"a": 3, "b": 2}
    assert (first["sent"], first["unbound"], first["still_unbound"]) == ({"a": 3}, ["b"], 2)
    assert [message.headers["sequence"] for message in await broker.take("bound")] == [1, 3, 5]
    assert (again["sent"], again["unbound"]) == ({}, ["b"])
    left = [message.headers["sequence"] for message in await broker.take(UNROUTED)]
    assert list(dict.fromkeys(left)) == [2, 4]
    if mode in OWNED_BY_OTHERS:
        assert await Topology(broker, mode).deviations() == [], "nothing is left behind, nothing was changed"


async def test_a_right_that_is_missing_is_named_at_once_and_nothing_is_lost(
    cli: Cli, database: Database, broker: Broker
) -> None:
    cli.settings({"rabbitmq": {"topology": Mode.PASSIVE}})
    await made_by_others(broker, Mode.PASSIVE)
    await database.value("select outbox.emit('a', 'K', '{}')")
    async with rabbit_user(broker, **documented(Mode.PASSIVE, "relay")) as url:
        relay = replace(cli, pg_url=database.url, amqp_url=url)
        assert (await relay("relay", "--drain")).code == ExitCode.OK
        of_relay = await relay("unrouted", "redrive", "--yes")
    grants = documented(Mode.PASSIVE, "`unrouted`")
    async with rabbit_user(broker, **grants | {"write": grants["write"].replace("dead|", "")}) as url:
        # Noticed while an answer is waited for, long before the time-out for it.
        of_other = await replace(cli, amqp_url=url)("unrouted", "redrive", "--yes", within_seconds=20)

    assert "access to queue 'outbox.unrouted.witness'" in of_relay.refusal(ExitCode.ACCESS_REFUSED)
    assert "access to exchange 'outbox.dead'" in of_other.refusal(ExitCode.ACCESS_REFUSED)
    assert [message.type for message in await broker.take(UNROUTED)][:1] == ["a"]
