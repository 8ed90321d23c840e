"""What a broker has against what it must have: nothing wrong goes unnoticed, nothing right is complained about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from outbox.rabbitmq.desired import Desired, FlowRoute, Mode, desired
from outbox.rabbitmq.effective import effective
from outbox.rabbitmq.judge import judge, notes
from outbox.rabbitmq.seen import Seen, SeenPolicy, SeenThing
from outbox.rabbitmq.version import BrokerVersion

FLOWS = (FlowRoute("orders", ("order.confirmed",)),)
V3, V4 = BrokerVersion(3, 13, 7), BrokerVersion(4, 2, 0)
FLOW = "flow.orders"
NOTHING: Mapping[str, object] = MappingProxyType({})


def seen_as(wanted: Desired) -> Seen:
    """Return a broker that has exactly what is wanted."""
    policies = {
        policy.name: SeenPolicy(policy.name, policy.pattern, policy.apply_to, policy.priority, policy.definition)
        for policy in wanted.policies
    }

    def thing(name: str, kind: str, arguments: Mapping[str, object]) -> SeenThing:
        policy = next((policy for policy in wanted.policies if policy.is_for(name)), None)
        return SeenThing(
            name, kind, True, arguments, policy and policy.name, NOTHING if policy is None else policy.definition
        )

    return Seen(
        {one.name: thing(one.name, one.kind.value, one.arguments(wanted.mode)) for one in wanted.exchanges},
        {one.name: thing(one.name, "quorum", one.arguments(wanted.mode)) for one in wanted.queues},
        frozenset(wanted.bindings()),
        policies,
        True,
    )


def with_queue(seen: Seen, name: str, **changes: object) -> Seen:
    return replace(seen, queues={**seen.queues, name: replace(seen.queues[name], **changes)})


def told(wanted: Desired, seen: Seen, version: BrokerVersion = V4) -> list[str]:
    return [str(deviation) for deviation in judge(wanted, version, seen)]


@pytest.mark.parametrize("version", [V3, V4], ids=str)
@pytest.mark.parametrize("mode", Mode)
def test_what_is_as_wanted_is_right(mode: Mode, version: BrokerVersion) -> None:
    wanted = desired(FLOWS, mode, version)
    assert told(wanted, seen_as(wanted), version) == []


def test_operations_may_have_used_arguments_where_we_would_use_policies() -> None:
    wanted = desired(FLOWS, Mode.PASSIVE, V4)
    assert told(wanted, seen_as(desired(FLOWS, Mode.ARGUMENTS, V4))) == []


def test_everything_missing_is_one_line_each_with_a_next_step() -> None:
    wanted = desired(FLOWS, Mode.POLICIES, V4)
    lines = told(wanted, Seen({}, {}, frozenset(), {}, True))
    assert len(lines) == 4 + 3 + 5
    assert all("; next step: run" in line for line in lines)


def test_on_a_fresh_broker_the_processes_declare_by_themselves_what_is_missing() -> None:
    lines = told(desired(FLOWS, Mode.ARGUMENTS, V4), Seen({}, {}, frozenset(), {}, True))
    assert lines
    assert all('"outbox topology apply", or start relay and consumers, which declare it' in line for line in lines)


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("dead-letter-exchange", None, "no dead-letter-exchange"),
        ("dead-letter-exchange", "others", "dead-letter-exchange others"),
        ("dead-letter-routing-key", "typo", "dead-letter-routing-key typo"),
        ("dead-letter-strategy", None, "no dead-letter-strategy"),
        ("dead-letter-strategy", "at-most-once", "dead-letter-strategy at-most-once"),
        ("overflow", "drop-head", "overflow drop-head"),
        ("delivery-limit", None, "delivery-limit 20"),
        ("delivery-limit", 5, "delivery-limit 5"),
    ],
)
def test_a_consumed_queue_that_could_lose_a_message_is_told(key: str, value: object, part: str) -> None:
    wanted = desired(FLOWS, Mode.POLICIES, V4)
    seen = seen_as(wanted)
    settings = {name: old for name, old in seen.queues[FLOW].by_policy.items() if name != key}
    changed = with_queue(seen, FLOW, by_policy=settings if value is None else {**settings, key: value})
    assert any(part in line and f"queue {FLOW}" in line for line in told(wanted, changed))


@pytest.mark.parametrize(
    ("limit", "version", "is_right"),
    [(None, V3, False), (None, V4, False), (-1, V4, True), (-1, V3, False), (99, V4, False), (100, V3, True)],
)
def test_a_delivery_limit_of_others_is_judged_by_what_it_does_in_this_release(
    limit: int | None, version: BrokerVersion, is_right: bool
) -> None:
    wanted = desired(FLOWS, Mode.PASSIVE, version)
    seen = seen_as(wanted)
    settings = {name: old for name, old in seen.queues[FLOW].by_policy.items() if name != "delivery-limit"}
    changed = with_queue(seen, FLOW, by_policy=settings if limit is None else {**settings, "delivery-limit": limit})
    assert (told(wanted, changed, version) == []) == is_right


@pytest.mark.parametrize(("version", "is_right"), [(V3, True), (V4, False)], ids=str)
def test_a_parking_queue_without_a_limit_drops_messages_from_release_4_on(
    version: BrokerVersion, is_right: bool
) -> None:
    wanted = desired(FLOWS, Mode.PASSIVE, version)
    changed = with_queue(seen_as(wanted), "outbox.unrouted", by_policy={})
    assert (told(wanted, changed, version) == []) == is_right


@pytest.mark.parametrize("setting", ["message-ttl", "expires", "max-length", "max-length-bytes"])
def test_a_setting_that_drops_messages_silently_is_told(setting: str) -> None:
    wanted = desired(FLOWS, Mode.PASSIVE, V4)
    seen = seen_as(wanted)
    dead = {**seen.queues["dead.orders"].by_policy, setting: 1000}
    (line,) = told(wanted, with_queue(seen, "dead.orders", by_policy=dead))
    assert "it loses messages silently" in line


def test_a_length_that_pushes_back_on_a_consumed_queue_loses_nothing() -> None:
    wanted = desired(FLOWS, Mode.PASSIVE, V4)
    seen = seen_as(wanted)
    longer = {**seen.queues[FLOW].by_policy, "max-length": 1_000_000}
    assert told(wanted, with_queue(seen, FLOW, by_policy=longer)) == []


def test_a_policy_of_others_with_a_higher_priority_is_named() -> None:
    wanted = desired(FLOWS, Mode.POLICIES, V4)
    seen = with_queue(seen_as(wanted), FLOW, policy="ha-all", by_policy={"max-length": 5})
    lines = told(wanted, seen)
    assert any("found policy ha-all" in line and "lower the priority of ha-all below 100" in line for line in lines)
    assert any("no dead-letter-exchange" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"type": "classic"}, "a durable classic one"),
        ({"arguments": {"x-queue-type": "quorum"}}, "x-single-active-consumer"),
        (
            {"arguments": {"x-queue-type": "quorum", "x-single-active-consumer": True, "x-max-length": 1}},
            "x-max-length",
        ),
    ],
)
def test_what_no_policy_can_change_is_told_with_the_way_out(changes: Mapping[str, object], part: str) -> None:
    wanted = desired(FLOWS, Mode.POLICIES, V4)
    lines = told(wanted, with_queue(seen_as(wanted), FLOW, **changes))
    assert any(part in line and "delete it when it is empty" in line for line in lines)


def test_a_missing_binding_is_told_and_one_that_takes_everything_is_enough() -> None:
    wanted = desired(FLOWS, Mode.ARGUMENTS, V4)
    seen = seen_as(wanted)
    without = frozenset(one for one in seen.bindings if one[1] != FLOW)
    (line,) = told(wanted, replace(seen, bindings=without))
    assert "one to outbox.events with 'order.confirmed'" in line
    assert told(wanted, replace(seen, bindings=without | {("outbox.events", FLOW, "#")})) == []


def test_a_feature_flag_that_dead_letters_hang_on_is_told_before_release_4_only() -> None:
    for version, count in ((V3, 1), (V4, 0)):
        wanted = desired(FLOWS, Mode.ARGUMENTS, version)
        assert len(told(wanted, replace(seen_as(wanted), has_stream_flag=False), version)) == count


def test_an_alternate_exchange_of_nobody_is_a_note_where_others_own_the_topology_and_else_wrong() -> None:
    for mode, is_wrong in ((Mode.PASSIVE, False), (Mode.POLICIES, True)):
        wanted = desired(FLOWS, mode, V4)
        seen = seen_as(wanted)
        events = replace(seen.exchanges["outbox.events"], by_policy={})
        changed = replace(seen, exchanges={**seen.exchanges, "outbox.events": events})
        assert bool(told(wanted, changed)) == is_wrong
        remarks = list(notes(wanted, V4, changed, max_payload_bytes=1))
        assert any("amq.default" in remark for remark in remarks) != is_wrong


@pytest.mark.parametrize(("version", "count"), [(V3, 0), (V4, 1)], ids=str)
def test_a_payload_limit_above_the_release_s_own_is_a_note(version: BrokerVersion, count: int) -> None:
    wanted = desired(FLOWS, Mode.ARGUMENTS, version)
    remarks = list(notes(wanted, version, None, max_payload_bytes=17 * 1024 * 1024))
    assert len(remarks) == count
    assert all("max_message_size" in remark for remark in remarks)


def test_a_binding_too_many_and_a_short_consumer_timeout_are_notes() -> None:
    wanted = desired(FLOWS, Mode.ARGUMENTS, V4)
    seen = with_queue(seen_as(wanted), FLOW, by_policy={"consumer-timeout": 60_000})
    seen = replace(seen, bindings=seen.bindings | {("outbox.events", FLOW, "order.old"), ("", FLOW, FLOW)})
    first, second = notes(wanted, V4, seen, max_payload_bytes=1)
    assert "'order.old'" in first
    assert "consumer-timeout 60000 ms" in second


@pytest.mark.parametrize(
    ("setting", "argument", "policy", "acts"),
    [
        ("dead-letter-exchange", "a", "b", "a"),
        ("overflow", "drop-head", "reject-publish", "reject-publish"),
        ("delivery-limit", 1000, 5, 5),
        ("delivery-limit", 1000, -1, 1000),
    ],
)
def test_of_an_argument_and_a_policy_the_one_acts_that_rabbitmq_says(
    setting: str, argument: object, policy: object, acts: object
) -> None:
    thing = SeenThing(FLOW, "quorum", True, {f"x-{setting}": argument}, "p", {setting: policy})
    assert effective(thing, setting) == acts
