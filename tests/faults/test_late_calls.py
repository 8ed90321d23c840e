"""A process that stood still between what it has stored and its call: the call does not leave any more."""

from __future__ import annotations

import time

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
_LOOKED_UP = {
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
    await zombie.logged("results void, the lane has a new owner")
    await site.settle()
