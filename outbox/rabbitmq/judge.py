"""What a broker has against what it must have: every deviation with the next step. Pure; used by check and apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outbox.rabbitmq.desired import EVENTS, UNROUTED, Desired, ExchangeSpec, Mode, PolicySpec, QueueSpec, Value
from outbox.rabbitmq.effective import (
    DEAD_LETTER_EXCHANGE,
    effective,
    is_consumed,
    is_right,
    losing,
    shown,
)
from outbox.rabbitmq.seen import Seen, SeenThing
from outbox.rabbitmq.topology import Presence, Thing
from outbox.rabbitmq.version import BrokerVersion

_ALTERNATE_EXCHANGE = "alternate-exchange"
_EVERYTHING = "#"
# RabbitMQ advises against less; and our own transactions may take as long as a database is away.
_LEAST_CONSUMER_TIMEOUT_MS = 300_000

_APPLY = 'run "outbox topology apply"'
# Where processes declare what they need, a broker that has nothing yet has nothing wrong with it.
_APPLY_OR_START = f"{_APPLY}, or start relay and consumers, which declare it"
_IMPORT = 'have what "outbox topology print --definitions" prints imported by whoever owns the broker'
_AGAIN = "stop what uses it, delete it when it is empty, and declare it again"


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as it must be."""

    thing: str
    found: str
    wanted: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.thing}: found {self.found}, wanted {self.wanted}; next step: {self.next_step}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that is wrong, what is only worth knowing, and what could not be looked at."""

    deviations: tuple[Deviation, ...]
    notes: tuple[str, ...]
    unseen: tuple[str, ...]


def judge_presence(desired: Desired, presence: Mapping[Thing, Presence]) -> Iterator[Deviation]:
    """Yield what a passive declare has shown to be missing."""
    for (kind, name), state in presence.items():
        if state is Presence.MISSING:
            yield Deviation(f"{kind} {name}", "nothing", "it declared", _remedy_of_nothing(desired.mode))


def judge(desired: Desired, version: BrokerVersion, seen: Seen) -> Iterator[Deviation]:
    """Yield what the management API has shown to be missing or different."""
    if version.needs_stream_flag and seen.has_stream_flag is False:
        yield Deviation(
            "feature flag stream_queue",
            "disabled",
            "enabled, else dead letters may be lost",
            "rabbitmqctl enable_feature_flag stream_queue",
        )
    for policy in desired.policies if desired.mode is Mode.POLICIES else ():
        yield from _policy(policy, seen)
    is_parked_by_us = _is_parked_by_us(desired, seen)
    for exchange in desired.exchanges:
        if not (is_parked_by_us and exchange.name == UNROUTED):
            yield from _exchange(desired, exchange, seen)
    for queue in desired.queues:
        yield from _queue(desired, version, queue, seen)
    for source, name, key in missing_bindings(desired, seen):
        if name in seen.queues and not (is_parked_by_us and source == UNROUTED):
            yield Deviation(f"queue {name}", "no binding", f"one to {source} with {key!r}", _remedy(desired.mode))


def notes(desired: Desired, version: BrokerVersion, seen: Seen | None, *, max_payload_bytes: int) -> Iterator[str]:
    """Yield what is allowed and yet worth knowing."""
    if max_payload_bytes > version.max_message_bytes:
        yield (
            f"rabbitmq.max_payload_bytes is {max_payload_bytes}, and RabbitMQ {version} takes messages of "
            f"{version.max_message_bytes} bytes unless its max_message_size says more; a larger event becomes a dead "
            "letter only after it has cut the relay's connection once: lower the one or raise the other"
        )
    if seen is None:
        return
    if _is_parked_by_us(desired, seen):
        yield (
            f"exchange {EVENTS} does not lead to {UNROUTED}: the relay parks events that nobody has bound one by one, "
            "and needs the permission to write to amq.default"
        )
    wanted = set(desired.bindings())
    for queue in desired.queues:
        if (found := seen.queues.get(queue.name)) is None or not is_consumed(queue):
            continue
        for source, _, key in sorted(one for one in seen.bindings if one[0] and one[1] == queue.name):
            if (source, queue.name, key) not in wanted:
                yield (
                    f"queue {queue.name} is also bound to {source} with {key!r}, which the settings do not name: "
                    "unbind it when it is not wanted"
                )
        timeout_ms = effective(found, "consumer-timeout")
        if isinstance(timeout_ms, int) and timeout_ms < _LEAST_CONSUMER_TIMEOUT_MS:
            yield (
                f"queue {queue.name}: consumer-timeout {timeout_ms} ms; messages that wait for the database that long "
                "are delivered again"
            )


def missing_bindings(desired: Desired, seen: Seen) -> list[tuple[str, str, str]]:
    """Return the bindings that are not there; one that takes everything does for all."""
    return [
        (source, queue, key)
        for source, queue, key in desired.bindings()
        if not {(source, queue, key), (source, queue, _EVERYTHING)} & seen.bindings
    ]


def fixed_exchange(exchange: ExchangeSpec, mode: Mode, found: SeenThing) -> Iterator[Deviation]:
    """Yield what no policy and no second declare can change about an exchange."""
    if found.type != exchange.kind.value or not found.is_durable:
        yield Deviation(f"exchange {exchange.name}", _kind(found), f"a durable {exchange.kind.value} exchange", _AGAIN)
    yield from _arguments(f"exchange {exchange.name}", exchange.arguments(mode), found, mode)


def fixed_queue(queue: QueueSpec, mode: Mode, found: SeenThing) -> Iterator[Deviation]:
    """Yield what no policy and no second declare can change about a queue."""
    if found.type != "quorum" or not found.is_durable:
        yield Deviation(f"queue {queue.name}", _kind(found), "a durable quorum queue", _AGAIN)
        return
    if mode is Mode.PASSIVE:
        for name, value in queue.fixed.items():
            if name != "x-queue-type" and found.arguments.get(name) != value:
                yield Deviation(f"queue {queue.name}", f"no {name}", f"{name} {value}", _AGAIN)
    yield from _arguments(f"queue {queue.name}", queue.arguments(mode), found, mode)


def _arguments(thing: str, wanted: Mapping[str, Value], found: SeenThing, mode: Mode) -> Iterator[Deviation]:
    if mode is Mode.PASSIVE or dict(found.arguments) == dict(wanted):
        return
    names = sorted({*wanted, *found.arguments})
    different = [name for name in names if wanted.get(name) != found.arguments.get(name)]
    yield Deviation(
        thing,
        "arguments " + _listed(found.arguments, different),
        _listed(wanted, different),
        f"{_AGAIN}; arguments are fixed for good when a queue or exchange is declared",
    )


def _listed(settings: Mapping[str, object], names: list[str]) -> str:
    return ", ".join(f"{name} {settings[name]}" if name in settings else f"no {name}" for name in names)


def _policy(policy: PolicySpec, seen: Seen) -> Iterator[Deviation]:
    found = seen.policies.get(policy.name)
    if found is None:
        yield Deviation(f"policy {policy.name}", "nothing", f"it for {policy.pattern}", _APPLY)
    elif found.pattern != policy.pattern or dict(found.definition) != dict(policy.definition):
        yield Deviation(
            f"policy {policy.name}",
            f"{found.pattern} {dict(found.definition)}",
            f"{policy.pattern} {dict(policy.definition)}",
            _APPLY,
        )


def _exchange(desired: Desired, exchange: ExchangeSpec, seen: Seen) -> Iterator[Deviation]:
    thing, mode = f"exchange {exchange.name}", desired.mode
    found = seen.exchanges.get(exchange.name)
    if found is None:
        yield Deviation(thing, "nothing", f"a durable {exchange.kind.value} exchange", _remedy_of_nothing(mode))
        return
    yield from fixed_exchange(exchange, mode, found)
    if mode is Mode.PASSIVE:
        return
    for name, wanted in exchange.settings.items():
        value = effective(found, name)
        if value != wanted:
            yield Deviation(thing, f"no {name}" if value is None else f"{name} {value}", f"{name} {wanted}", _APPLY)
    yield from _chosen_policy(desired, thing, exchange.name, found)


def _queue(desired: Desired, version: BrokerVersion, queue: QueueSpec, seen: Seen) -> Iterator[Deviation]:
    thing, mode = f"queue {queue.name}", desired.mode
    found = seen.queues.get(queue.name)
    if found is None:
        yield Deviation(thing, "nothing", "a durable quorum queue", _remedy_of_nothing(mode))
        return
    fixed = list(fixed_queue(queue, mode, found))
    yield from fixed
    if found.type != "quorum":
        return
    for name, wanted in queue.settings.items():
        if not is_right(queue, found, name, mode, version):
            yield Deviation(thing, shown(effective(found, name), name, version), f"{name} {wanted}", _remedy(mode))
    for name in losing(queue, found):
        yield Deviation(
            thing,
            f"{name} {effective(found, name)}",
            f"no {name}: it loses messages silently",
            f"take {name} out of the policy that applies ({found.policy or 'an operator policy'}), or out of its "
            "arguments",
        )
    target = effective(found, DEAD_LETTER_EXCHANGE)
    if is_consumed(queue) and isinstance(target, str) and target not in {"", *seen.exchanges}:
        yield Deviation(thing, f"dead-letter-exchange {target}, which does not exist", "one that exists", _remedy(mode))
    yield from _chosen_policy(desired, thing, queue.name, found)


def _chosen_policy(desired: Desired, thing: str, name: str, found: SeenThing) -> Iterator[Deviation]:
    """Only one policy applies: another with a higher priority replaces ours as a whole."""
    if desired.mode is not Mode.POLICIES:
        return
    ours = next((policy for policy in desired.policies if policy.is_for(name)), None)
    if ours is not None and found.policy not in {None, ours.name}:
        yield Deviation(
            thing,
            f"policy {found.policy}",
            f"policy {ours.name}; only the one with the highest priority applies",
            f"lower the priority of {found.policy} below {ours.priority}, or narrow its pattern",
        )


def _is_parked_by_us(desired: Desired, seen: Seen) -> bool:
    """Say whether events that nobody has bound come back to the relay: others own the exchange and left it so."""
    events = seen.exchanges.get(EVENTS)
    return desired.mode is Mode.PASSIVE and events is not None and effective(events, _ALTERNATE_EXCHANGE) != UNROUTED


def _kind(found: SeenThing) -> str:
    return f"a {'durable' if found.is_durable else 'transient'} {found.type} one"


def _remedy(mode: Mode) -> str:
    return _IMPORT if mode is Mode.PASSIVE else _APPLY


def _remedy_of_nothing(mode: Mode) -> str:
    return _APPLY_OR_START if mode is Mode.ARGUMENTS else _remedy(mode)
