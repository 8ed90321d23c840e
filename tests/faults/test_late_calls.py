"""A process that stood still, or had to wait, between what it has stored and its call: it does not leave any more."""

from __future__ import annotations

import json
import time

from sandbox.crm import DEFAULT_TOKEN
from sandbox.crm_faults import Fault, Script
from tests.kit.process import Process
from tests.kit.site import FLOW, Site
from tests.kit.waiting import rest, until

# The third part of the site's lease, and a bit.
_TOO_LATE_SECONDS = 1.2
_BEGINNING_WAITS = """
    create function inbox.wait() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock_shared(42); return new; end';
    create trigger beginning_waits before update of state on inbox.delivery
       for each row when (new.state = 'applying') execute function inbox.wait();
"""
_WAITING = "select exists (select from pg_locks where locktype = 'advisory' and objid = 42 and not granted)"
_ORDER = "SO-00001"
_HOLDING = "SO-99999"
_VOID = "results void, the lane has a new owner"
_LOOKED_UP: dict[str, dict[str, object]] = {
    FLOW: {
        "description": "Orders become deals in a system without keys.",
        "events": ["order.confirmed"],
        "adapter": {
            "use": "rest",
            "connection": "crm",
            "operations": {
                "order.confirmed": {
                    "method": "POST",
                    "path": "/unkeyed/deals",
                    "recovery": "look_up",
                    "reference": "order_ref",
                    "settle": "0s",
                    "look_up": {
                        "path": "/deals",
                        "query": {"external_ref": "{reference}"},
                        "records": "deals",
                        "external_id": "id",
                    },
                },
            },
        },
    },
}


async def test_a_call_that_others_have_looked_for_in_vain_does_not_leave_after_all(site: Site) -> None:
    async with site.database.connection() as connection:
        await connection.execute(_BEGINNING_WAITS)
        await site.start("relay")
        zombie = await site.start("consume", flows=_LOOKED_UP)
        await connection.execute("select pg_advisory_lock(42)")
        (event_id,) = await site.confirm_orders()
        await until(lambda: site.database.value(_WAITING), what="the consumer begins its call")
        await zombie.freeze()
        frozen_at = time.monotonic()
    # Nobody has told the zombie that it may call.
    await site.becomes(event_id, "applying")
    await site.let_leases_expire()
    await site.start("consume", flows=_LOOKED_UP)
    await site.becomes(event_id, "applied")
    assert await site.attempts(event_id) == ["unknown", "absent", "applied"]

    await rest(frozen_at + _TOO_LATE_SECONDS - time.monotonic())
    zombie.thaw()
    await zombie.logged(_VOID)
    await site.settle()


async def test_a_call_that_waits_for_a_place_does_not_leave_after_its_process_was_frozen(site: Site) -> None:
    zombie, event_id = await _waiting_for_a_place(site)
    await zombie.freeze()
    frozen_at = time.monotonic()
    await site.let_leases_expire()
    await site.start("consume", flows=_LOOKED_UP)
    await site.becomes(event_id, "applied")
    assert await site.attempts(event_id) == ["unknown", "absent", "applied"]

    site.crm.gate.release()
    await rest(frozen_at + _TOO_LATE_SECONDS - time.monotonic())
    zombie.thaw()
    await zombie.logged(_VOID, flow=FLOW)
    assert len(site.crm.ledger.deals_of(_ORDER)) == 1


async def test_a_call_that_gets_no_place_in_its_time_is_not_sent_and_in_no_doubt(site: Site) -> None:
    consumer, event_id = await _waiting_for_a_place(site)
    ended = await consumer.logged("attempt ended", event_id=event_id)
    assert (ended["outcome"], ended["state"]) == ("throttled", "retry")

    site.crm.gate.release()
    await site.becomes(event_id, "applied")
    assert set(await site.attempts(event_id)) == {"throttled", "applied"}
    assert len(site.crm.ledger.deals_of(_ORDER)) == 1


async def _waiting_for_a_place(site: Site) -> tuple[Process, str]:
    """Let another flow have the connection's only place, and return a consumer and the event that waits for it."""
    site.crm.add_script(Script(order_ref=_HOLDING, fault=Fault.HOLD_AFTER_EFFECT, times=1))
    connection = {"base_url": site.crm.url, "bearer": DEFAULT_TOKEN, "timeout": "60s", "max_connections": 1}
    other = _LOOKED_UP[FLOW] | {"events": ["order.archived"]}
    other["adapter"] = {
        "use": "rest",
        "connection": "crm",
        "operations": {"*": {"method": "PUT", "path": "/upserts/{external_ref}", "recovery": "upsert"}},
    }
    await site.start("relay")
    consumer = await site.start("consume", flows=_LOOKED_UP | {"archive": other}, connections={"crm": connection})
    await site.subscribed("archive")
    deal = {"external_ref": _HOLDING, "customer": "C-1", "revision": 1, "amount": "1.00", "currency": "EUR"}
    await site.database.value("select outbox.emit('order.archived', 'C-1', $1::json)", json.dumps(deal))
    await site.crm.gate.arrived(1)
    (event_id,) = await site.confirm_orders()
    await site.becomes(event_id, "applying")
    return consumer, event_id
