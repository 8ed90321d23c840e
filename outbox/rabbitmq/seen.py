"""What the management API tells about a virtual host, as values. Reads; decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from outbox.rabbitmq.management import Management

Settings = Mapping[str, object]
_STREAM_FLAG = "stream_queue"
_TO_QUORUM_QUEUES = ("all", "queues", "quorum_queues")


@dataclass(frozen=True, slots=True)
class SeenPolicy:
    """A policy, ours or another's."""

    name: str
    pattern: str
    apply_to: str
    priority: int
    definition: Settings


@dataclass(frozen=True, slots=True)
class SeenThing:
    """An exchange or a queue. ``by_policy`` is what policies give it, an operator's included."""

    name: str
    type: str
    is_durable: bool
    arguments: Settings
    policy: str | None = None
    by_policy: Settings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A virtual host. ``has_stream_flag`` is None when the user may not see the broker's feature flags."""

    exchanges: Mapping[str, SeenThing]
    queues: Mapping[str, SeenThing]
    bindings: frozenset[tuple[str, str, str]]
    policies: Mapping[str, SeenPolicy]
    has_stream_flag: bool | None
    unseen: tuple[str, ...] = ()


async def read(api: Management) -> Seen:
    """Read everything that the topology is about.

    Raises:
        OutboxError: as the API's calls do.
    """
    policies = {policy.name: policy for policy in map(_policy, await api.listed("policies"))}
    operator_rows = await api.operator_policies()
    flags = await api.listed_if_allowed("/api/feature-flags")
    operators = [_policy(row) for row in operator_rows or ()]
    # Without statistics: they are seconds old, and one of them is the effective policy.
    queues = [_thing(row, policies, operators) for row in await api.listed("queues", "?disable_stats=true")]
    exchanges = [_thing(row, policies, ()) for row in await api.listed("exchanges")]
    bindings = frozenset(
        (str(row["source"]), str(row["destination"]), str(row["routing_key"]))
        for row in await api.listed("bindings")
        if row.get("destination_type") == "queue"
    )
    unseen = [
        f"{what}: the API's user may not list them"
        for what, rows in (("operator policies", operator_rows), ("feature flags", flags))
        if rows is None
    ]
    return Seen(
        {exchange.name: exchange for exchange in exchanges},
        {queue.name: queue for queue in queues},
        bindings,
        policies,
        None if flags is None else _has_stream_flag(flags),
        tuple(unseen),
    )


def _has_stream_flag(flags: list[dict[str, object]]) -> bool:
    # A release that does not list it any more has it always on.
    return all(flag.get("state") == "enabled" for flag in flags if flag.get("name") == _STREAM_FLAG)


def _policy(row: Settings) -> SeenPolicy:
    priority = row.get("priority", 0)
    return SeenPolicy(
        str(row.get("name")),
        str(row.get("pattern")),
        str(row.get("apply-to")),
        priority if isinstance(priority, int) else 0,
        _settings(row.get("definition")),
    )


def _thing(row: Settings, policies: Mapping[str, SeenPolicy], operators: Iterable[SeenPolicy]) -> SeenThing:
    name, kind = str(row.get("name")), str(row.get("type"))
    policy = row.get("policy") or None
    chosen = None if policy is None else str(policy)
    by_policy = dict(policies[chosen].definition) if chosen is not None and chosen in policies else {}
    operator = _operator_policy(name, operators)
    if operator is not None:
        by_policy = _stricter(by_policy, operator.definition)
    return SeenThing(name, kind, bool(row.get("durable")), _settings(row.get("arguments")), chosen, by_policy)


def _operator_policy(queue: str, operators: Iterable[SeenPolicy]) -> SeenPolicy | None:
    matching = [one for one in operators if one.apply_to in _TO_QUORUM_QUEUES and _matches(one.pattern, queue)]
    return max(matching, key=lambda one: one.priority, default=None)


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _stricter(policy: Settings, operator: Settings) -> dict[str, object]:
    """Merge as RabbitMQ does: the operator's word, and of two numbers the lower one."""
    merged = {**policy, **operator}
    for name, value in operator.items():
        other = policy.get(name)
        if isinstance(value, int) and isinstance(other, int):
            merged[name] = min(value, other)
    return merged


def _settings(value: object) -> Settings:
    return value if isinstance(value, dict) else {}
