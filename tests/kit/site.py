"""Everything that one integration needs, for one test: ERP, broker, CRM, and the real processes between them."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aio_pika.exceptions import ChannelNotFoundEntity

from sandbox.checker import check
from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.erp import run_erp
from sandbox.tcp_proxy import TcpProxy
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.process import Line, Process
from tests.kit.urls import port_of, with_port
from tests.kit.waiting import until

FLOW = "orders-to-crm"
LANES = 16

# Prompt where the defaults are gentle: a test waits for the consequence of every pause.
_INBOX = {"lease": "3s", "concurrency": 8, "poll": "20ms"}
_RELAY = {"standby_poll": "100ms"}
_RETRY = {"attempts": 100, "first": "50ms", "max": "500ms"}

_NOT_APPLIED = """
    select d.state, count(*) from outbox.event e
      left join inbox.delivery d on d.message_id = e.event_id::text and d.flow = $1
     where d.state is distinct from 'applied'
     group by d.state
"""


@dataclass
class Site:
    database: Database
    broker: Broker
    crm: CrmServer
    folder: Path
    processes: list[Process] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def start(
        self,
        verb: str,
        *,
        pg_url: str | None = None,
        direct_url: str | None = None,
        amqp_url: str | None = None,
        crm_url: str | None = None,
        crm_timeout: str = "10s",
        has_keys: bool = True,
        http_port: int = 0,
        **sections: Mapping[str, object] | str,
    ) -> Process:
        """Start ``outbox VERB``; ``sections`` go over those of the settings file.

        Without ``has_keys`` the sidecar believes that the CRM does not know idempotency keys.
        """
        name = f"{verb}-{next(self._numbers)}"
        settings = self.folder / f"{name}.yaml"
        connection = {"base_url": crm_url or self.crm.url, "bearer": DEFAULT_TOKEN, "timeout": crm_timeout}
        # JSON is YAML.
        settings.write_text(json.dumps(_settings(connection, has_keys=has_keys) | sections), encoding="utf-8")
        process = await Process.start(
            name,
            (verb, "--config", str(settings)),
            env={name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
            | {
                "OUTBOX_PG_URL": pg_url or self.database.url,
                "OUTBOX_AMQP_URL": amqp_url or self.broker.url,
                "OUTBOX_HTTP_PORT": str(http_port),
                "OUTBOX_LOG_FORMAT": "json",
                "OUTBOX_LOG_LEVEL": "debug",
            }
            | ({} if direct_url is None else {"OUTBOX_PG_DIRECT_URL": direct_url}),
            folder=self.folder,
        )
        self.processes.append(process)
        return process

    async def confirm_orders(
        self, orders: int = 1, *, keys: int = 1, writers: int = 1, seed: int = 1, rate_per_s: float | None = None
    ) -> list[str]:
        """Let the ERP commit orders, and return the ids of their events in order."""
        before = set(await self.event_ids())
        await run_erp(
            self.database.url,
            orders=orders,
            keys=keys,
            writers=writers,
            seed=seed,
            # Without a pace the orders are meant to be there at once.
            slow_share=0.02 if rate_per_s else 0,
            rolled_back_share=0.05 if rate_per_s else 0,
            rate_per_s=rate_per_s,
        )
        return [event_id for event_id in await self.event_ids() if event_id not in before]

    async def event_ids(self) -> list[str]:
        """Return every event that was committed, in order of id."""
        rows = await self.database.rows("select event_id::text from outbox.event order by id")
        return [row["event_id"] for row in rows]

    async def settle(self, *, within_seconds: float = 30.0) -> None:
        """Wait until every event is applied, and let the judge compare the ERP with the CRM."""
        try:
            await until(self._is_applied, what="every event is applied", within_seconds=within_seconds)
        except AssertionError as error:
            error.add_note(f"not applied: {await self._not_applied()}")
            raise
        verdict = await check(self.database.url, self.crm.ledger_path)
        assert verdict.is_clean, verdict

    async def state(self, message_id: str) -> str | None:
        """Return where a delivery stands; None while it is not in the inbox."""
        state = await self.database.value(
            "select state from inbox.delivery where flow = $1 and message_id = $2", FLOW, message_id
        )
        return None if state is None else str(state)

    async def becomes(self, message_id: str, state: str, *, within_seconds: float = 30.0) -> None:
        """Wait until a delivery is in a state."""

        async def is_there() -> bool:
            return await self.state(message_id) == state

        await until(is_there, what=f"{message_id} is {state}", within_seconds=within_seconds)

    async def copies(self, message_id: str) -> object:
        """Return how often the broker has delivered a message."""
        return await self.database.value(
            "select copies from inbox.delivery where flow = $1 and message_id = $2", FLOW, message_id
        )

    async def delivered(self, message_id: str, copies: int) -> None:
        """Wait until the broker has delivered a message this often."""

        async def is_delivered() -> bool:
            return await self.copies(message_id) == copies

        await until(is_delivered, what=f"{copies} copies of {message_id}")

    async def attempts(self, message_id: str) -> list[str]:
        """Return how each call for a delivery ended."""
        rows = await self.database.rows(
            "select a.outcome from inbox.attempt a join inbox.delivery d on d.id = a.delivery_id"
            " where d.flow = $1 and d.message_id = $2 order by a.attempt",
            FLOW,
            message_id,
        )
        return [row["outcome"] for row in rows]

    async def met(self, what: str) -> int:
        """Return how often the CRM met something, for example ``requests`` or ``replayed``."""
        async with aiohttp.ClientSession(self.crm.url) as client, client.get("/_stats") as answer:
            counts: dict[str, int] = (await answer.json())["counts"]
        return counts.get(what, 0)

    async def subscribed(self, flow: str = FLOW) -> None:
        """Wait until a flow's queue has a consumer."""

        async def is_subscribed() -> bool:
            # The queue is not there before a process of ours has declared it.
            with suppress(ChannelNotFoundEntity):
                async with self.broker.channel() as channel:
                    queue = await channel.declare_queue(f"flow.{flow}", passive=True)
                    return queue.declaration_result.consumer_count == 1
            return False

        await until(is_subscribed, what="the queue has a consumer")

    async def taken_from_queue(self) -> None:
        """Wait until a consumer has every message of the flow's queue, acknowledged or not."""

        async def is_taken() -> bool:
            return await self.broker.depth(f"flow.{FLOW}") == 0

        await until(is_taken, what="the queue has given every message out")

    async def let_leases_expire(self) -> None:
        """Put the clock of the leases forward; only when no consumer runs."""
        async with self.database.connection() as connection:
            await connection.execute("update inbox.lane set leased_until = '-infinity' where owner is not null")
            await connection.execute("update inbox.consumer set seen_until = '-infinity'")

    def bugs(self) -> list[str]:
        """Return what no process may ever write, whatever happens around it."""
        return [
            *(line for process in self.processes for line in process.garbage),
            *(json.dumps(bug) for process in self.processes for bug in _bugs(process)),
        ]

    async def _not_applied(self) -> list[tuple[str, int]]:
        return [tuple(row) for row in await self.database.rows(_NOT_APPLIED, FLOW)]

    async def _is_applied(self) -> bool:
        return not await self._not_applied()


@asynccontextmanager
async def site_for(database: Database, broker: Broker, folder: Path) -> AsyncIterator[Site]:
    async with CrmServer(ledger_path=folder / "ledger.jsonl") as crm:
        site = Site(database, broker, crm, folder)
        try:
            yield site
        finally:
            for process in site.processes:
                await process.kill()
                # Shown for a test that fails.
                print(process.tail())  # noqa: T201 - that is how pytest gets to know
        bugs = "\n".join(site.bugs())
        assert not bugs, bugs


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """Put a proxy before a server, and give the server's new address too."""
    async with TcpProxy("127.0.0.1", port_of(url)) as proxy:
        yield proxy, with_port(url, proxy.port)


def _bugs(process: Process) -> list[Line]:
    return process.find("service failed, this is a bug")


def _settings(connection: Mapping[str, object], *, has_keys: bool) -> dict[str, object]:
    # The CRM wants a key all the same.
    keys = {"idempotency": {"window": "24h"}} if has_keys else {"headers": {"Idempotency-Key": "always-the-same"}}
    return {
        "inbox": _INBOX,
        "relay": _RELAY,
        "connections": {"crm": connection},
        "flows": {
            FLOW: {
                "description": "Confirmed sales orders become deals.",
                "events": ["order.confirmed"],
                "adapter": {
                    "use": "rest",
                    "connection": "crm",
                    "operations": {
                        "order.confirmed": {"method": "POST", "path": "/deals", "external_id": "deal.id"},
                    },
                    **keys,
                },
                "retry": _RETRY,
            },
        },
    }
