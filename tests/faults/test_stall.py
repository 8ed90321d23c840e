"""A relay that runs, is connected, leads, and publishes nothing: nobody may have to notice that by hand."""

from __future__ import annotations

from pathlib import Path

import outbox
from sandbox.ports import free_ports
from tests.kit.probe import answer_of, metrics_of
from tests.kit.site import Site
from tests.kit.tap import Tap
from tests.kit.waiting import until

BEGIN_BATCH = Path(outbox.__file__).parent.parent / "sql" / "functions" / "outbox.begin_batch.sql"
# What an index that lost entries looks like from the loop: there never is anything.
FINDS_NOTHING = """
    create or replace function outbox.begin_batch(
        previous pg_snapshot, resumed pg_snapshot default null, horizon bigint default 0)
    returns table (current text, stragglers text, low bigint, high bigint, floor bigint)
    language sql as $$ select $1::text, '{}', null::bigint, null::bigint, 1::bigint $$
"""

IN_TRUTH = (
    BEGIN_BATCH.read_text(encoding="utf-8").partition("comment on")[0].replace("begin_batch", "begin_batch_in_truth")
)
# The session of one lane is told so, the others are told the truth.
FINDS_NOTHING_IN_ONE_LANE = f"""
    {IN_TRUTH}
    create or replace function outbox.begin_batch(
        previous pg_snapshot, resumed pg_snapshot default null, horizon bigint default 0)
    returns table (current text, stragglers text, low bigint, high bigint, floor bigint)
    language plpgsql as $$
    begin
        if current_setting('application_name') = 'outbox-relay 1/2' then
            return query select previous::text, '{{}}', null::bigint, null::bigint, 1::bigint;
        else
            return query select * from outbox.begin_batch_in_truth(previous, resumed, horizon);
        end if;
    end $$
"""


async def test_events_that_wait_while_nothing_moves_are_an_alarm_and_the_relay_begins_anew(
    site: Site, tap: Tap
) -> None:
    await site.confirm_orders(3)
    async with site.database.connection() as connection:
        await connection.execute(FINDS_NOTHING)
        (port,) = free_ports(1)
        relay = await site.start(
            "relay", http_port=port, relay={"watch_every": "50ms", "save_every": "100ms", "stalled_after": "1s"}
        )

        told = await relay.logged("events wait and nothing is published, the relay begins anew")
        assert told["still_seconds"] <= told["oldest_age_seconds"] + 1
        await relay.logged("service waiting", service="relay")
        status, text = await answer_of(port, "/readyz")
        assert (status, "events wait and nothing is published" in text) == (503, True)
        assert (await answer_of(port, "/livez"))[0] == 200
        samples = await metrics_of(port)
        assert samples['outbox_relay_stalls_total{stream="outbox.event"}'] >= 1
        assert samples['outbox_waiting_age_seconds{stream="outbox.event"}'] > 0
        assert not tap.seen

        await connection.execute(BEGIN_BATCH.read_text(encoding="utf-8"))
        await tap.saw(3)

        async def is_ready() -> bool:
            return (await answer_of(port, "/readyz"))[0] == 200

        await until(is_ready, what="the relay is ready again")
    assert len(tap.ids()) == 3


async def test_a_lane_that_stands_still_is_an_alarm_and_begins_anew_while_the_others_move(site: Site, tap: Tap) -> None:
    (port,) = free_ports(1)
    async with site.database.connection() as connection:
        await connection.execute("select outbox.set_lanes('outbox.event', 2)")
        await connection.execute(FINDS_NOTHING_IN_ONE_LANE)
        relay = await site.start(
            "relay",
            http_port=port,
            relay={"lanes": 2, "watch_every": "50ms", "save_every": "100ms", "stalled_after": "4s"},
        )
        event_ids = await site.confirm_orders(20, keys=10)
        rows = await connection.fetch("select event_id::text from outbox.event where outbox.lane_of(key, id, 2) = 0")
        moving = {row["event_id"] for row in rows}
        assert 0 < len(moving) < len(event_ids)

        told = await relay.logged("events wait and nothing is published, the relay begins anew")
        assert told["stream"] == "outbox.event:1/2"
        await relay.logged("service waiting", service="relay 1/2")
        status, text = await answer_of(port, "/readyz")
        assert (status, "events wait and nothing is published" in text) == (503, True)
        samples = await metrics_of(port)
        assert samples['outbox_relay_stalls_total{stream="outbox.event:1/2"}'] >= 1
        assert samples['outbox_relay_stalls_total{stream="outbox.event:0/2"}'] == 0
        assert samples['outbox_waiting_age_seconds{stream="outbox.event:0/2"}'] == 0
        assert set(tap.ids()) == moving
        assert not relay.find("service waiting", service="relay 0/2")

        await connection.execute(BEGIN_BATCH.read_text(encoding="utf-8"))
        await tap.saw(20)
    assert sorted(tap.ids()) == sorted(event_ids)


async def test_an_idle_relay_and_one_whose_broker_is_away_are_no_stall(site: Site) -> None:
    (port,) = free_ports(2)[:1]
    relay = await site.start(
        "relay",
        http_port=port,
        amqp_url="amqp://guest:guest@127.0.0.1:1/",
        relay={"watch_every": "20ms", "save_every": "100ms", "stalled_after": "2s"},
    )
    await site.confirm_orders(1)

    async def has_tried_for_long() -> bool:
        seen = relay.find("stream observed", is_waiting=True)
        tries = relay.find("service waiting", service="relay")
        return bool(seen) and seen[-1]["oldest_age_seconds"] > 5 and len(tries) >= 4

    await until(has_tried_for_long, what="the relay has tried the broker for five seconds")
    assert not relay.find("events wait and nothing is published, the relay begins anew")
    assert (await answer_of(port, "/readyz"))[0] == 200
