"""The three verbs of ``outbox topology``: survey a broker, plan what is missing, and make it. Never deletes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection

from outbox.model.errors import Misconfigured
from outbox.rabbitmq.connection import RabbitServer, broker_version, cluster_name, connect, open_channel
from outbox.rabbitmq.desired import Desired, FlowRoute, Mode, desired
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.judge import Deviation, Verdict, judge, judge_presence, notes
from outbox.rabbitmq.management import Management, ManagementServer, manage
from outbox.rabbitmq.plan import Plan, Step, plan
from outbox.rabbitmq.seen import Seen, read
from outbox.rabbitmq.topology import Presence, Thing, declare_exchange, declare_queue, look
from outbox.rabbitmq.version import BrokerVersion

_NAME = "outbox-topology"
# For everything over AMQP; each call of the API has its own bound.
_WORK_SECONDS = 60.0
_NO_API = (
    "arguments, policies, bindings and delivery limits: AMQP does not show them; set rabbitmq.management_url "
    "(OUTBOX_MANAGEMENT_URL)"
)


@dataclass(frozen=True, slots=True)
class Survey:
    """A broker, and what it has; ``seen`` is None without the management API."""

    version: BrokerVersion
    desired: Desired
    presence: dict[Thing, Presence]
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class Site:
    """A broker that is being worked on."""

    server: RabbitServer
    connection: AbstractConnection
    api: Management | None
    survey: Survey


async def version_of(server: RabbitServer) -> BrokerVersion:
    """Ask a broker for its version."""
    async with connect(server, name=_NAME) as connection:
        return broker_version(connection, str(server))


@asynccontextmanager
async def surveyed(
    server: RabbitServer, management: ManagementServer | None, flows: Sequence[FlowRoute], *, lanes: int = 1
) -> AsyncIterator[Site]:
    """Connect and look at everything; nothing is changed.

    Raises:
        OutboxError: broker or API are away, refuse us, or are not one and the same.
    """
    async with connect(server, name=_NAME) as connection:
        version = broker_version(connection, str(server))
        wanted = desired(flows, server.topology, version, lanes)
        with rabbitmq_errors(str(server)):
            async with asyncio.timeout(_WORK_SECONDS):
                presence = await look(connection, str(server), _things(wanted))
        if management is None:
            yield Site(server, connection, None, Survey(version, wanted, presence, None))
            return
        async with manage(management) as api:
            await _check_same_broker(server, management, connection, api)
            seen = await read(api)
            yield Site(server, connection, api, Survey(version, wanted, presence, seen))


async def check(
    server: RabbitServer,
    management: ManagementServer | None,
    flows: Sequence[FlowRoute],
    *,
    lanes: int = 1,
    max_payload_bytes: int,
) -> tuple[Survey, Verdict]:
    """Compare a broker with what it must have."""
    async with surveyed(server, management, flows, lanes=lanes) as site:
        return site.survey, verdict(site.survey, max_payload_bytes=max_payload_bytes)


def verdict(survey: Survey, *, max_payload_bytes: int) -> Verdict:
    """Judge a survey. What the API shows is judged by that alone: it says more of the same things."""
    refused = [
        f"{kind} {name}: the broker refuses a passive declare to this user"
        for (kind, name), presence in survey.presence.items()
        if presence is Presence.REFUSED
    ]
    remarks = tuple(notes(survey.desired, survey.version, survey.seen, max_payload_bytes=max_payload_bytes))
    if survey.seen is None:
        found = tuple(judge_presence(survey.desired, survey.presence))
        return Verdict(found, remarks, (_NO_API, *refused))
    found = tuple(judge(survey.desired, survey.version, survey.seen))
    return Verdict(found, remarks, (*survey.seen.unseen, *refused))


async def plan_for(
    server: RabbitServer, management: ManagementServer | None, flows: Sequence[FlowRoute], *, lanes: int = 1
) -> tuple[Survey, Plan]:
    """Return what `apply` would do."""
    _check_applicable(server, management)
    async with surveyed(server, management, flows, lanes=lanes) as site:
        return site.survey, _plan(site.survey)


async def apply(
    server: RabbitServer, management: ManagementServer | None, flows: Sequence[FlowRoute], *, lanes: int = 1
) -> tuple[Survey, Plan]:
    """Make what is missing; what cannot be made is in the plan's problems, and the rest is made all the same.

    Raises:
        AccessRefused: the user may not declare it.
        Misconfigured: nothing is to be declared in this mode, or policies cannot be put.
        Unavailable: broker or API went away.
    """
    _check_applicable(server, management)
    async with surveyed(server, management, flows, lanes=lanes) as site:
        planned = _plan(site.survey)
        refused: list[Deviation] = []
        # Policies first: a queue is made under them, never before them.
        for step in planned.policies():
            if site.api is not None and step.policy is not None:
                await site.api.put_policy(step.policy.name, step.policy.body())
        for step in planned.declarations():
            try:
                await _make(site, step)
            except Misconfigured as error:
                refused.append(Deviation(step.thing, error.problem, step.detail, error.next_step))
        return site.survey, planned.with_problems(refused)


async def _make(site: Site, step: Step) -> None:
    mode, name = site.survey.desired.mode, str(site.server)
    with rabbitmq_errors(name):
        async with asyncio.timeout(_WORK_SECONDS):
            # A refused declare closes its channel.
            channel = await open_channel(site.connection, name)
            if step.exchange is not None:
                await declare_exchange(channel, step.exchange, mode)
            elif step.queue is not None:
                await declare_queue(channel, step.queue, mode)
            elif step.binding is not None:
                source, queue, key = step.binding
                await (await channel.get_queue(queue, ensure=False)).bind(source, key)
            await channel.close()


def _plan(survey: Survey) -> Plan:
    return plan(survey.desired, survey.version, survey.presence, survey.seen)


def _things(wanted: Desired) -> list[Thing]:
    return [
        *(("exchange", exchange.name) for exchange in wanted.exchanges),
        *(("queue", queue.name) for queue in wanted.queues),
    ]


def _check_applicable(server: RabbitServer, management: ManagementServer | None) -> None:
    if server.topology is Mode.PASSIVE:
        raise Misconfigured(
            "rabbitmq.topology is passive: others own the broker, and nothing is declared here",
            'give them "outbox topology print --definitions"; "outbox topology check" compares what they made',
        )
    if server.topology is Mode.POLICIES and management is None:
        raise Misconfigured(
            "rabbitmq.topology is policies, and policies are put over the management API only",
            "set rabbitmq.management_url (OUTBOX_MANAGEMENT_URL), or have "
            '"outbox topology print --definitions" imported',
        )


async def _check_same_broker(
    server: RabbitServer, management: ManagementServer, connection: AbstractConnection, api: Management
) -> None:
    ours, theirs = cluster_name(connection, str(server)), (await api.overview()).get("cluster_name")
    if ours and theirs and ours != theirs:
        raise Misconfigured(
            f"{server} is cluster {ours!r}, {management} is cluster {theirs!r}",
            "let rabbitmq.url and rabbitmq.management_url point at the same broker",
        )
