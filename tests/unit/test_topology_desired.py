"""What must exist on the broker, by mode and by the broker's own version; and the releases' differences as facts."""

from __future__ import annotations

import pytest

from outbox.model.errors import Misconfigured
from outbox.rabbitmq.definitions import definitions
from outbox.rabbitmq.desired import Desired, FlowRoute, Mode, desired
from outbox.rabbitmq.version import BrokerVersion, supported

FLOWS = (FlowRoute("orders", ("order.confirmed", "order.cancelled")), FlowRoute("stock-levels", ("stock.*",)))
VERSIONS = [BrokerVersion.parse(text) for text in ("3.10.8", "3.13.7", "4.0.1", "4.2.0", "4.3.0", "4.3.5")]
ONLY_ARGUMENTS = {"x-queue-type", "x-single-active-consumer"}


def _arguments(wanted: Desired) -> dict[str, dict[str, object]]:
    return {queue.name: dict(queue.arguments(wanted.mode)) for queue in wanted.queues}


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_arguments_are_the_same_for_every_version_because_an_upgrade_must_not_make_them_inequivalent(
    version: BrokerVersion,
) -> None:
    for mode in Mode:
        assert _arguments(desired(FLOWS, mode, version)) == _arguments(desired(FLOWS, mode, VERSIONS[0]))


@pytest.mark.parametrize("mode", Mode)
def test_no_argument_is_sent_that_a_release_refuses(mode: Mode) -> None:
    sent = {name for arguments in _arguments(desired(FLOWS, mode, VERSIONS[0])).values() for name in arguments}
    assert not sent & {"x-queue-mode", "x-queue-version"}


def test_with_arguments_every_queue_is_safe_without_any_policy() -> None:
    wanted = desired(FLOWS, Mode.ARGUMENTS, VERSIONS[0])
    assert wanted.policies == ()
    arguments = _arguments(wanted)
    assert all({"x-queue-type", "x-delivery-limit"} <= set(of_queue) for of_queue in arguments.values())
    assert arguments["flow.orders"] == {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": 1000,
        "x-dead-letter-exchange": "outbox.dead",
        "x-dead-letter-routing-key": "orders",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    (events,) = (exchange for exchange in wanted.exchanges if exchange.name == "outbox.events")
    assert events.arguments(wanted.mode) == {"alternate-exchange": "outbox.unrouted"}


@pytest.mark.parametrize("mode", [Mode.POLICIES, Mode.PASSIVE])
def test_with_policies_only_what_no_policy_can_say_is_an_argument(mode: Mode) -> None:
    wanted = desired(FLOWS, mode, VERSIONS[0])
    assert all(set(of_queue) <= ONLY_ARGUMENTS for of_queue in _arguments(wanted).values())
    assert all(exchange.arguments(mode) == {} for exchange in wanted.exchanges)


def test_exactly_one_policy_is_meant_for_each_queue_and_says_everything() -> None:
    by_argument = desired(FLOWS, Mode.ARGUMENTS, VERSIONS[0])
    by_policy = desired(FLOWS, Mode.POLICIES, VERSIONS[0])
    for queue in by_argument.queues:
        (policy,) = [policy for policy in by_policy.policies if policy.is_for(queue.name)]
        in_policy = {f"x-{name}": value for name, value in policy.definition.items()}
        fixed = {name: value for name, value in queue.arguments(Mode.ARGUMENTS).items() if name in ONLY_ARGUMENTS}
        assert {**fixed, **in_policy} == queue.arguments(Mode.ARGUMENTS)


def test_dead_letters_of_a_flow_that_is_gone_keep_their_policy() -> None:
    wanted = desired((), Mode.POLICIES, VERSIONS[0])
    assert [policy.name for policy in wanted.policies if policy.is_for("dead.orders-to-crm")] == ["outbox-kept"]
    assert [policy.name for policy in wanted.policies if policy.is_for("dead.Orders.of.others")] == []


@pytest.mark.parametrize(
    ("version", "target"), [("3.10.8", "queues"), ("3.11.28", "queues"), ("3.12.0", "quorum_queues"), ("4.3.1", None)]
)
def test_policies_are_for_quorum_queues_where_the_release_knows_that_word(version: str, target: str | None) -> None:
    wanted = desired(FLOWS, Mode.POLICIES, BrokerVersion.parse(version))
    targets = {policy.apply_to for policy in wanted.policies if policy.name != "outbox-events"}
    assert targets == {target or "quorum_queues"}


@pytest.mark.parametrize(
    ("version", "limit", "mebibytes", "is_live", "has_timeout", "needs_flag", "has_unlimited"),
    [
        ("3.10.8", None, 128, False, False, True, False),
        ("3.12.0", None, 128, False, True, True, False),
        ("3.13.7", None, 128, False, True, True, False),
        ("4.0.1", 20, 16, False, True, False, True),
        ("4.2.3", 20, 16, False, True, False, True),
        ("4.3.0-rc.1", 20, 16, True, True, False, True),
    ],
)
def test_the_releases_differ_as_their_notes_say(
    version: str,
    limit: int | None,
    mebibytes: int,
    is_live: bool,
    has_timeout: bool,
    needs_flag: bool,
    has_unlimited: bool,
) -> None:
    release = BrokerVersion.parse(version)
    assert release.default_delivery_limit == limit
    assert release.max_message_bytes == mebibytes * 1024 * 1024
    assert release.changes_limits_of_live_queues == is_live
    assert release.has_consumer_timeout_policy == has_timeout
    assert release.needs_stream_flag == needs_flag
    assert release.has_unlimited_deliveries == has_unlimited


@pytest.mark.parametrize("text", ["3.9.29", "2.8", "unknown", ""])
def test_a_broker_that_is_too_old_or_unknown_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        supported(text)


def test_definitions_name_the_virtual_host_everywhere_and_never_the_host_itself() -> None:
    printed = definitions(desired(FLOWS, Mode.POLICIES, VERSIONS[-1]), "erp")
    assert set(printed) == {"policies", "exchanges", "queues", "bindings"}
    assert {row["vhost"] for rows in printed.values() for row in rows} == {"erp"}
    assert {row["name"] for row in printed["queues"]} == {
        "outbox.rejected", "outbox.unrouted", "outbox.witness", "dead.orders", "dead.stock-levels",
        "flow.orders", "flow.stock-levels",
    }  # fmt: skip
