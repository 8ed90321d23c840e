"""The settings of one integration. What an adapter's own settings are is the adapter's business."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, InstanceOf, model_validator

from outbox.config.mapping import MappingField
from outbox.config.ownership import Alert, Owner, Tolerance
from outbox.config.reconcile import Reconcile
from outbox.config.rules import broken_rule, check_duration_order, matching
from outbox.config.strict import Strict
from outbox.config.transforms import XrefName, also_written
from outbox.model.alerts import Promise
from outbox.model.backoff import Backoff, Schedule
from outbox.model.circuit import CircuitPolicy
from outbox.model.delivery import OrderPolicy, RetryPolicy
from outbox.model.flow_policy import FlowPolicy
from outbox.model.mapping_conflicts import RuleShape, repeated
from outbox.model.units import PerSecond, Seconds, parse_seconds
from outbox.model.versions import topic_of
from outbox.model.xref import Registry

# AMQP 0-9-1 takes routing keys of at most 255 bytes; the words below are ASCII.
_MAX_ROUTING_KEY_BYTES = 255
# A week: an event that could not be applied for longer is for a person, not for another try.
_MAX_RETRY_SECONDS = 7 * 86400
# A flow that runs once a year is told of; one that runs less often nobody remembers.
_MAX_EXPECTED_SECONDS = 400 * 86400

_WORD = r"(?:[A-Za-z0-9_-]+|\*|#)"
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_TOPIC = matching(
    rf"(?=.{{1,{_MAX_ROUTING_KEY_BYTES}}}$){_WORD}(?:\.{_WORD})*",
    "must be words of letters, digits, _ and - with dots between them, at most 255 characters; "
    "* stands for one whole word, # for any number; for example order.confirmed",
)
EventType = Annotated[str, _TOPIC]


def _check_version(pattern: str) -> str:
    _, mark, version = pattern.partition("@")
    if mark and _VERSION.fullmatch(version) is None:
        raise broken_rule("must have the number of a version behind the @, for example order.confirmed@1")
    return pattern


def _check_topic(pattern: str) -> str:
    check_field: Any = _TOPIC.func
    check_field(topic_of(pattern))
    return pattern


EventPattern = Annotated[str, AfterValidator(_check_version), AfterValidator(_check_topic)]


class Retry(Strict):
    """When a failed delivery is tried again, and when it becomes a dead letter."""

    attempts: Annotated[
        int, Field(ge=1, le=1000, description="Failures of one message before it becomes a dead letter.")
    ] = 8
    first: Annotated[
        Seconds, Field(gt=0, le=_MAX_RETRY_SECONDS, description="Pause after the first failure; it doubles.")
    ] = 1.0
    max: Annotated[Seconds, Field(gt=0, le=_MAX_RETRY_SECONDS, description="The longest pause.")] = 300.0
    patience: Annotated[
        Seconds,
        Field(
            ge=0,
            le=_MAX_RETRY_SECONDS,
            description="For how long failures do not count while no other call shows that the target works.",
        ),
    ] = 8 * 3600.0
    schedule: Annotated[
        tuple[Annotated[Seconds, Field(gt=0, le=_MAX_RETRY_SECONDS)], ...] | None,
        Field(min_length=1, max_length=1000, description="The pauses one by one, instead of first and max."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _follow_schedule(cls, data: object) -> object:
        """Let the other settings say what the schedule makes of them."""
        schedule = data.get("schedule") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(schedule, list | tuple) or not schedule:
            return data
        longest = max(schedule, key=_seconds)
        return {"attempts": len(schedule) + 1, "first": schedule[0], "max": longest} | data

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.schedule is None:
            check_duration_order(self, larger="max", smaller="first")
            return self
        for field, value in (("first", self.schedule[0]), ("max", max(self.schedule))):
            if getattr(self, field) != value:
                raise broken_rule("is told by schedule; remove it", field=field)
        return self

    def policy(self) -> RetryPolicy:
        """Return the same as the model's value."""
        if self.schedule is not None:
            return RetryPolicy(self.attempts, Schedule.of(self.schedule), self.patience)
        return RetryPolicy(self.attempts, Backoff(first_seconds=self.first, max_seconds=self.max), self.patience)


def _seconds(pause: object) -> float:
    """Return how long a pause is as it stands in the file; what is none is complained about elsewhere."""
    try:
        seconds = parse_seconds(pause)
    except ValueError:
        return 0.0
    return float(seconds) if isinstance(seconds, int | float) else 0.0


class Circuit(Strict):
    """When a target in trouble is left alone, and for how long."""

    failures: Annotated[
        int,
        Field(ge=1, le=1000, description="Deliveries that fail one after another before nothing is called any more."),
    ] = 5
    first: Annotated[
        Seconds, Field(gt=0, le=86400, description="How long it is left alone; it doubles with each failed probe.")
    ] = 5.0
    max: Annotated[Seconds, Field(gt=0, le=86400, description="The longest time between two probes.")] = 300.0

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        check_duration_order(self, larger="max", smaller="first")
        return self


class Links(Strict):
    """What the keys of a flow's events name, so that its receipts fill the cross-reference."""

    entity: Annotated[XrefName, Field(description="What a key is, for example customer.")]
    system: Annotated[XrefName, Field(description="Whose ids the target gives, for example crm.")]


class AdapterChoice(Strict):
    """Which adapter applies a flow's events, over which connection."""

    use: Annotated[str, Field(description="Name of the adapter.")]
    connection: Annotated[str, Field(description="Name of an entry of connections.")]
    settings: Annotated[InstanceOf[BaseModel], Field(description="The adapter's own settings, by its own model.")]


class Flow(Strict):
    """One integration: which events take effect in which system, and how."""

    description: Annotated[str, Field(min_length=1, description="What the flow is for, in one sentence.")]
    owner: Annotated[Owner | None, Field(description="Whom to ask about it.")] = None
    direction: Annotated[
        Literal["outbound", "inbound"], Field(description="Seen from the ERP: to another system, or from one into it.")
    ] = "outbound"
    source_of_truth: Annotated[
        str | None, Field(min_length=1, description="The system that is right where two disagree, for example erp.")
    ] = None
    runbook: Annotated[
        str | None, Field(min_length=1, description="Where it is written what to do; a path or an address.")
    ] = None
    events: Annotated[
        tuple[EventPattern, ...],
        Field(
            min_length=1,
            description="Event types; * and # stand for whole words, @ and a number for the version that is taken.",
        ),
    ]
    adapter: Annotated[AdapterChoice, Field(description="The adapter, its connection and its own settings.")]
    mapping: Annotated[
        tuple[MappingField, ...],
        also_written(str | list[MappingField]),
        Field(description="The target document, or the file with its rules; empty sends the payload as it is."),
    ] = ()
    links: Annotated[
        Links | None, Field(description="Receipts link the keys of its events with the ids that the target gave.")
    ] = None
    target_schema: Annotated[
        str | None,
        Field(min_length=1, description="JSON Schema of the target document, for outbox contract test."),
    ] = None
    retry: Annotated[Retry, Field(description="When to try again, and when to stop.")] = Retry()
    circuit: Annotated[Circuit, Field(description="When a target in trouble is left alone, and for how long.")] = (
        Circuit()
    )
    rate_limit: Annotated[
        PerSecond | None,
        Field(gt=0, le=100_000, description="Calls of all processes together, for example 20/s; null: no limit."),
    ] = None
    on_dead: Annotated[
        Literal["block", "skip"],
        Field(description="Behind a dead letter its key waits for a person (block), or goes on without it (skip)."),
    ] = "block"
    on_stale: Annotated[
        Literal["park", "apply", "skip"],
        Field(
            description="An event that comes after a later one of its key was taken up: a dead letter (park), "
            "applied all the same (apply), or skipped (skip)."
        ),
    ] = "park"

    expect_every: Annotated[
        Seconds | None,
        Field(gt=0, le=_MAX_EXPECTED_SECONDS, description="A message comes at least this often; silence is told."),
    ] = None
    alert: Annotated[Alert | None, Field(description="When the owner is told.")] = None
    tolerance: Annotated[Tolerance, Field(description="By how much totals may differ before that is told.")] = (
        Tolerance()
    )

    reconcile: Annotated[
        Reconcile | None, Field(description="What is counted and compared from place to place; null: only on request.")
    ] = None

    def promise(self) -> Promise:
        """Return what its owner promises of it."""
        return Promise(
            late_after_seconds=None if self.alert is None else self.alert.late_after,
            expect_every_seconds=self.expect_every,
            owner=None if self.owner is None else self.owner.technical,
            runbook=self.runbook,
        )

    def topics(self) -> tuple[str, ...]:
        """Return what the flow's queue is bound by: its events without their versions."""
        return tuple(dict.fromkeys(map(topic_of, self.events)))

    def policy(self) -> FlowPolicy:
        """Return what the inbox is told of it."""
        backoff = Backoff(first_seconds=self.circuit.first, max_seconds=self.circuit.max)
        circuit = CircuitPolicy(self.circuit.failures, backoff)
        links = None if self.links is None else Registry(self.links.entity, self.links.system)
        return FlowPolicy(OrderPolicy(self.on_dead, self.on_stale), circuit, self.adapter.connection, links)

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        rules = [RuleShape(entry.source_field, entry.target_field, entry.when) for entry in self.mapping]
        for number, _ in repeated(rules):
            raise broken_rule(
                f"must not fill the same target_field twice ({rules[number].target_field!r})", field="mapping"
            )
        return self
