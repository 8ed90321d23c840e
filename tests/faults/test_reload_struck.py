"""A reload that is struck: the process killed in the middle of it, a call that outlasts the drain, files swapped."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from sandbox.crm import DEFAULT_TOKEN
from sandbox.crm_faults import Fault, Script
from tests.kit.probe import answer_of
from tests.kit.reloads import IN_EFFECT, OTHER, Reloads, reloads_for
from tests.kit.site import FLOW, Site, proxied
from tests.kit.waiting import until


@pytest.fixture
async def reloads(site: Site) -> AsyncIterator[Reloads]:
    async with reloads_for(site) as ready:
        yield ready


async def drains(reloads: Reloads) -> None:
    """Wait until the other flow takes nothing more, and still has a call under way."""

    async def is_draining() -> bool:
        _, text = await answer_of(reloads.port, "/livez")
        services = json.loads(text)["services"]
        return (services[f"accept {OTHER}"], services[f"apply {OTHER}"]) == ("ended", "running")

    await until(is_draining, what="the flow is draining")


async def in_the_middle_of_a_reload(reloads: Reloads, **sections: object) -> None:
    """Start a process, let the other flow's first call have its effect and get no answer, and change that flow."""
    reloads.other_crm.add_script(Script(order_ref="SO-00001", fault=Fault.HOLD_AFTER_EFFECT, times=1))
    process = await reloads.start(**sections)
    await reloads.site.confirm_orders(30, keys=3)
    await reloads.other_crm.gate.arrived(1)
    reloads.write(OTHER, rate_limit="300/s")
    process.hang_up()
    await drains(reloads)


async def test_a_process_killed_in_the_middle_of_a_reload_has_lost_and_repeated_nothing(reloads: Reloads) -> None:
    await in_the_middle_of_a_reload(reloads)
    await reloads.running().kill()
    reloads.other_crm.gate.release()
    await reloads.site.let_leases_expire()
    await reloads.start()
    await reloads.site.confirm_orders(10, keys=3)
    await reloads.settle()


async def test_the_other_flow_works_while_one_drains_and_a_call_that_ends_in_time_is_settled(reloads: Reloads) -> None:
    await in_the_middle_of_a_reload(reloads)
    more = await reloads.site.confirm_orders(10, keys=3)
    await reloads.site.becomes(more[-1], "applied")
    assert reloads.running().find(IN_EFFECT, changed=[OTHER]) == []
    reloads.other_crm.gate.release()
    await reloads.running().logged(IN_EFFECT, changed=[OTHER])
    await reloads.settle()
    assert reloads.running().find("flow stopped", flow=OTHER)[0]["is_drained"]
    assert reloads.starts(f"apply {FLOW}") == 1


async def test_a_call_that_outlasts_the_drain_is_in_doubt_and_its_lanes_are_taken_back_at_once(
    reloads: Reloads,
) -> None:
    await in_the_middle_of_a_reload(reloads, drain="500ms", inbox={"lease": "1h", "poll": "20ms"})
    process = reloads.running()
    await process.logged(IN_EFFECT, changed=[OTHER])
    assert process.find("flow stopped", flow=OTHER)[0]["is_drained"] is False
    assert process.find("drain took too long")[0]["busy"] == [f"apply {OTHER}"]
    reloads.other_crm.gate.release()
    # Nobody waits for the lease, which is far longer than this.
    await reloads.settle()


async def test_a_process_that_is_asked_to_end_in_the_middle_of_a_reload_ends_within_its_drain(reloads: Reloads) -> None:
    await in_the_middle_of_a_reload(reloads, drain="2s")
    process = reloads.running()
    process.ask_to_end()
    await process.logged("draining")
    reloads.other_crm.gate.release()
    assert await process.ended() == 0
    await reloads.start()
    await reloads.settle()


async def test_a_secret_that_kubernetes_replaces_is_taken_up_by_the_flows_that_use_it(reloads: Reloads) -> None:
    volume = reloads.site.folder / "volume"
    _put(volume, "..one", "a-token-that-is-wrong")
    (volume / "token").symlink_to("..data/token")
    process = await reloads.start(
        check_every="50ms",
        connections={
            "crm": {"base_url": reloads.site.crm.url, "bearer": DEFAULT_TOKEN},
            "shop": {"base_url": reloads.other_crm.url, "bearer": f"file:{volume}/token"},
        },
    )
    await reloads.site.confirm_orders(5)
    await process.logged("circuit", flow=OTHER, state="open")
    _put(volume, "..two", DEFAULT_TOKEN)
    told = await process.logged(IN_EFFECT, changed=[OTHER])
    await reloads.settle()
    assert reloads.starts(f"apply {FLOW}") == 1
    # What is secret says nothing of itself.
    assert told["settings_hash"] == process.find(IN_EFFECT)[0]["settings_hash"]
    assert not any(DEFAULT_TOKEN in json.dumps(line) for line in process.lines)


def _put(volume: Path, name: str, token: str) -> None:
    """Put a secret into a volume as a kubelet does: a new folder, and a link that is replaced in one step."""
    (volume / name).mkdir(parents=True)
    (volume / name / "token").write_text(token, encoding="utf-8")
    (volume / "..data_tmp").symlink_to(name)
    (volume / "..data_tmp").replace(volume / "..data")


async def test_a_removed_flow_whose_queue_was_deleted_does_not_come_back_with_a_connection(reloads: Reloads) -> None:
    async with proxied(reloads.site.broker.url) as (amqp, amqp_url):
        rabbitmq = {"heartbeat": "1s", "confirm_timeout": "3s"}
        process = await reloads.start(amqp_url=amqp_url, rabbitmq=rabbitmq)
        for flow in (FLOW, OTHER):
            await reloads.site.subscribed(flow)
        reloads.remove(OTHER)
        await reloads.reload(removed=[OTHER])
        async with reloads.site.broker.channel() as channel:
            await channel.queue_delete(f"flow.{OTHER}")
        since = process.mark()
        amqp.cut()
        await process.logged("service waiting", since=since, service=f"accept {FLOW}")
        await reloads.site.subscribed(FLOW)
        # The relay notices with what it has to send, and connects and declares anew.
        (event_id,) = await reloads.site.confirm_orders()
        await reloads.site.becomes(event_id, "applied")
        await process.logged("service waiting", since=since, service="relay")
        with pytest.raises(ChannelNotFoundEntity):
            await reloads.site.broker.depth(f"flow.{OTHER}")
