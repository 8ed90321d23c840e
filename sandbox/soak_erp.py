"""The ERP of the campaign: goes on confirming orders, also while its database is killed under it."""

import asyncio
from contextlib import suppress

import asyncpg

from sandbox.erp import run_erp

_WRITERS = 4
# A new plan after so many orders: what is planned is held in memory.
_ORDERS_A_PLAN = 400
_REST_SECONDS = 0.5


async def write_until(over: asyncio.Event, pg_url: str, *, keys: int, rate_per_s: float, seed: int) -> None:
    """Confirm orders until it is over. What was committed, the ERP's tables know, and nobody else."""
    plan = 0
    while not over.is_set():
        plan += 1
        try:
            await run_erp(
                pg_url,
                orders=_ORDERS_A_PLAN,
                keys=keys,
                writers=_WRITERS,
                seed=seed + plan,
                rate_per_s=rate_per_s,
                stop=over,
            )
        except* (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            with suppress(TimeoutError):
                async with asyncio.timeout(_REST_SECONDS):
                    await over.wait()
