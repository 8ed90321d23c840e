"""What ``outbox topology apply`` will do, as a value. Pure; it only ever adds, and replaces policies of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from outbox.rabbitmq.desired import Desired, ExchangeSpec, PolicySpec, QueueSpec
from outbox.rabbitmq.judge import Deviation, fixed_exchange, fixed_queue, missing_bindings
from outbox.rabbitmq.seen import Seen, SeenPolicy
from outbox.rabbitmq.topology import Presence, Thing
from outbox.rabbitmq.version import BrokerVersion

_UNSEEN = (
    "what exists already is declared once more, because without rabbitmq.management_url nobody can see its settings "
    "and bindings; that changes nothing when they are right"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One change; exactly one of policy, exchange, queue and binding is set.

    ``is_repeated``: it is there, and declared again only because nobody can see its settings.
    """

    action: str
    thing: str
    detail: str
    policy: PolicySpec | None = None
    exchange: ExchangeSpec | None = None
    queue: QueueSpec | None = None
    binding: tuple[str, str, str] | None = None
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in order, what stands in the way, and what is worth knowing."""

    steps: tuple[Step, ...]
    problems: tuple[Deviation, ...]
    notes: tuple[str, ...]

    def changes(self) -> tuple[Step, ...]:
        """Return the steps that change something."""
        return tuple(step for step in self.steps if not step.is_repeated)

    def policies(self) -> tuple[Step, ...]:
        """Return the steps over the management API."""
        return tuple(step for step in self.steps if step.policy is not None)

    def declarations(self) -> tuple[Step, ...]:
        """Return the steps over AMQP."""
        return tuple(step for step in self.steps if step.policy is None)

    def with_problems(self, more: Iterable[Deviation]) -> Plan:
        """Return the same with what came up on the way."""
        more = tuple(more)
        stopped = {problem.thing for problem in more}
        kept = tuple(step for step in self.steps if step.thing not in stopped)
        return replace(self, steps=kept, problems=(*self.problems, *more))


def plan(desired: Desired, version: BrokerVersion, presence: Mapping[Thing, Presence], seen: Seen | None) -> Plan:
    """Compare what is there with what must be, and return how to get there."""
    steps = [*_policies(desired, seen), *_exchanges(desired, presence, seen), *_queues(desired, presence, seen)]
    problems: list[Deviation] = []
    if seen is not None:
        for exchange in desired.exchanges:
            if exchange.name in seen.exchanges:
                problems += fixed_exchange(exchange, desired.mode, seen.exchanges[exchange.name])
        for queue in desired.queues:
            if queue.name in seen.queues:
                problems += fixed_queue(queue, desired.mode, seen.queues[queue.name])
    notes = [_UNSEEN] if any(step.is_repeated for step in steps) else []
    notes += _late_limits(steps, version, seen)
    return Plan(tuple(steps), tuple(problems), tuple(notes))


def _policies(desired: Desired, seen: Seen | None) -> Iterator[Step]:
    for policy in desired.policies:
        found = None if seen is None else seen.policies.get(policy.name)
        if found is None or not _is_same(policy, found):
            detail = f"{policy.pattern} → {_settings(policy.definition)}"
            yield Step("put" if found is None else "replace", f"policy {policy.name}", detail, policy=policy)


def _is_same(policy: PolicySpec, found: SeenPolicy) -> bool:
    return (policy.pattern, policy.apply_to, policy.priority, dict(policy.definition)) == (
        found.pattern,
        found.apply_to,
        found.priority,
        dict(found.definition),
    )


def _exchanges(desired: Desired, presence: Mapping[Thing, Presence], seen: Seen | None) -> Iterator[Step]:
    for exchange in desired.exchanges:
        is_there = presence.get(("exchange", exchange.name)) is Presence.THERE
        if is_there and seen is not None:
            continue
        detail = " ".join(filter(None, (exchange.kind.value, _settings(exchange.arguments(desired.mode)))))
        yield Step("declare", f"exchange {exchange.name}", detail, exchange=exchange, is_repeated=is_there)


def _queues(desired: Desired, presence: Mapping[Thing, Presence], seen: Seen | None) -> Iterator[Step]:
    missing = () if seen is None else missing_bindings(desired, seen)
    for queue in desired.queues:
        is_there = presence.get(("queue", queue.name)) is Presence.THERE
        if is_there and seen is not None:
            for source, name, key in missing:
                if name == queue.name:
                    yield Step("bind", f"queue {name}", f"to {source} with {key!r}", binding=(source, name, key))
            continue
        keys = ", ".join(repr(key) for key in queue.routing_keys)
        detail = f"{_settings(queue.arguments(desired.mode))}; bound to {queue.exchange} with {keys}"
        yield Step("declare", f"queue {queue.name}", detail, queue=queue, is_repeated=is_there)


def _late_limits(steps: list[Step], version: BrokerVersion, seen: Seen | None) -> Iterator[str]:
    if version.changes_limits_of_live_queues or seen is None:
        return
    for step in steps:
        if step.policy is None or "delivery-limit" not in step.policy.definition:
            continue
        live = [name for name in seen.queues if step.policy.is_for(name)]
        if live:
            yield (
                f"RabbitMQ {version} is not sure to give a new delivery-limit to queues that exist "
                f"({', '.join(sorted(live))}): to be sure, delete them when they are empty, and apply again"
            )


def _settings(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
