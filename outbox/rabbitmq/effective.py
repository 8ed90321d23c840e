"""Which of a queue's settings acts, when an argument and a policy both give it; and what loses messages. Pure."""

from __future__ import annotations

from outbox.rabbitmq.desired import DEAD, Mode, QueueSpec
from outbox.rabbitmq.seen import SeenThing
from outbox.rabbitmq.version import BrokerVersion

DELIVERY_LIMIT = "delivery-limit"
DEAD_LETTER_EXCHANGE = "dead-letter-exchange"
DEAD_LETTER_ROUTING_KEY = "dead-letter-routing-key"
OVERFLOW = "overflow"

# Fewer, and a consumer that crashes a few dozen times makes dead letters of messages that are innocent.
_LEAST_DELIVERY_LIMIT = 100
_DEFAULT_OVERFLOW = "drop-head"
_LENGTHS = ("max-length", "max-length-bytes")
_LOSING = ("message-ttl", "expires", *_LENGTHS)


def effective(thing: SeenThing, setting: str) -> object:
    """Return what acts, None for nothing: an argument beats a policy, but for the two that RabbitMQ merges."""
    argument = thing.arguments.get(f"x-{setting}")
    if argument is None:
        # An exchange has this one without the prefix.
        argument = thing.arguments.get(setting)
    policy = thing.by_policy.get(setting)
    if argument is None or policy is None:
        return policy if argument is None else argument
    if setting == OVERFLOW:
        return policy
    if setting == DELIVERY_LIMIT and isinstance(argument, int) and isinstance(policy, int):
        # A negative one is no limit at all, and of two limits the lower one acts.
        return max(argument, policy) if min(argument, policy) < 0 else min(argument, policy)
    return argument


def is_right(queue: QueueSpec, seen: SeenThing, setting: str, mode: Mode, version: BrokerVersion) -> bool:
    """Say whether a setting does what it is there for; who owns the topology may choose other values that do."""
    found, wanted = effective(seen, setting), queue.settings[setting]
    is_ours = mode is not Mode.PASSIVE
    match setting:
        case "delivery-limit":
            return _is_limit_right(found, wanted, is_ours=is_ours, is_consumed=is_consumed(queue), version=version)
        case "dead-letter-exchange" if not is_ours:
            return bool(found)
        case "dead-letter-routing-key" if not is_ours and effective(seen, DEAD_LETTER_EXCHANGE) != DEAD:
            return True
        case "overflow" if wanted == _DEFAULT_OVERFLOW:
            return found in (None, wanted)
        case _:
            return found == wanted


def is_consumed(queue: QueueSpec) -> bool:
    """Say whether we take messages off this queue; the others keep theirs for people."""
    return DEAD_LETTER_EXCHANGE in queue.settings


def losing(queue: QueueSpec, seen: SeenThing) -> list[str]:
    """Return settings of a queue by which messages vanish without anybody being told, unless it is made for that."""
    is_pushed_back = is_consumed(queue) and effective(seen, OVERFLOW) == "reject-publish"
    return [
        name
        for name in _LOSING
        if name not in queue.settings
        and effective(seen, name) is not None
        and not (name in _LENGTHS and is_pushed_back)
    ]


def shown(found: object, setting: str, version: BrokerVersion) -> str:
    """Return what was found, for people."""
    if found is not None:
        return f"{setting} {found}"
    if setting == DELIVERY_LIMIT:
        default = version.default_delivery_limit
        return f"no {setting} (a requeued message goes to the back)" if default is None else f"{setting} {default}"
    return f"no {setting}"


def _is_limit_right(found: object, wanted: object, *, is_ours: bool, is_consumed: bool, version: BrokerVersion) -> bool:
    if found is None:
        # Before 4.0 nothing is dropped then, only the order of redelivered messages is lost: people do not mind.
        return not is_ours and not is_consumed and version.default_delivery_limit is None
    if not isinstance(found, int) or not isinstance(wanted, int):
        return False
    if found < 0:
        return version.has_unlimited_deliveries
    return found >= (wanted if is_ours else _LEAST_DELIVERY_LIMIT)
