"""Everything that can be set, with its default and bounds: one frozen object, made once and passed down."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from outbox.config.flows import (
    AdapterChoice,
    EventType,
    Flow,
    MappingField,
    Owner,
    Retry,
    Strict,
)
from outbox.config.rules import broken_rule, check_duration_order, matching
from outbox.model.connection import Connection
from outbox.model.units import Bytes, Seconds

__all__ = [
    "AdapterChoice",
    "Connection",
    "EventType",
    "Flow",
    "HttpSettings",
    "InboxSettings",
    "LogSettings",
    "MappingField",
    "Name",
    "Owner",
    "PostgresSettings",
    "RabbitmqSettings",
    "RelaySettings",
    "RetentionSettings",
    "Retry",
    "Settings",
]

_POSTGRES_EXAMPLE = "postgresql://relay@localhost:5432/erp"
_AMQP_EXAMPLE = "amqp://relay@localhost:5672/"
# A longer wait is a wrong unit.
_DAY_SECONDS = 86400
_MIB = 1024 * 1024
# RabbitMQ refuses larger messages from release 3.8 on, whatever is configured in the client.
_MAX_MESSAGE_BYTES = 128 * _MIB

Name = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9-]{0,62}",
        "must be at most 63 small letters, digits and hyphens, a letter first, for example orders-to-crm",
    ),
]
# RFC 3986, the characters of a URI reference; what they spell is the owner's choice.
_UriReference = Annotated[
    str,
    matching(
        r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+",
        "must be a URI reference without spaces, for example /outbox or https://erp.example.com/outbox",
    ),
]


def _check_postgres_url(url: SecretStr) -> SecretStr:
    return _check_url(url, ("postgresql", "postgres"), _POSTGRES_EXAMPLE)


def _check_amqp_url(url: SecretStr) -> SecretStr:
    checked = _check_url(url, ("amqp", "amqps"), _AMQP_EXAMPLE)
    try:
        parts = urlsplit(url.get_secret_value())
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        # No `from`: the cause quotes the address.
        is_complete = False
    if not is_complete:
        raise broken_rule(f"must name a host, and a port only as a number, for example {_AMQP_EXAMPLE}")
    return checked


def _check_url(url: SecretStr, schemes: tuple[str, str], example: str) -> SecretStr:
    text = url.get_secret_value()
    if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        allowed = " or ".join(f"{scheme}://" for scheme in schemes)
        raise broken_rule(f"must begin with {allowed}, for example {example}")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise broken_rule("must not contain spaces or line breaks; in a password write them as %20 and so on")
    return url


class PostgresSettings(Strict):
    """The database with the outbox and the inbox."""

    url: Annotated[
        SecretStr,
        AfterValidator(_check_postgres_url),
        Field(description="Address with user and password.", examples=[_POSTGRES_EXAMPLE]),
    ]
    connect_timeout: Annotated[Seconds, Field(gt=0, le=_DAY_SECONDS, description="How long connecting may take.")] = (
        10.0
    )
    statement_timeout: Annotated[
        Seconds, Field(gt=0, le=_DAY_SECONDS, description="How long one statement may take.")
    ] = 30.0


class RabbitmqSettings(Strict):
    """The broker."""

    url: Annotated[
        SecretStr,
        AfterValidator(_check_amqp_url),
        Field(description="Address with user, password and virtual host.", examples=[_AMQP_EXAMPLE]),
    ]
    heartbeat: Annotated[
        Seconds, Field(ge=1, le=3600, description="A connection silent for about two of these is dead.")
    ] = 10.0
    connect_timeout: Annotated[Seconds, Field(gt=0, le=_DAY_SECONDS, description="How long connecting may take.")] = (
        10.0
    )
    confirm_timeout: Annotated[
        Seconds,
        Field(
            gt=0,
            le=_DAY_SECONDS,
            description="How long a publisher confirm may take; more than two heartbeats.",
        ),
    ] = 30.0
    max_payload_bytes: Annotated[
        Bytes, Field(ge=1, le=_MAX_MESSAGE_BYTES, description="A larger event is a dead letter.")
    ] = 15 * _MIB
    prefetch: Annotated[
        int,
        Field(ge=1, le=2000, description="Unacknowledged messages per flow that the broker may send ahead."),
    ] = 500

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        # A dead connection is noticed after two heartbeats; before that a missing confirm proves nothing.
        check_duration_order(self, larger="confirm_timeout", smaller="heartbeat", factor=2)
        return self


class RelaySettings(Strict):
    """How events leave the outbox."""

    source: Annotated[_UriReference, Field(description="The CloudEvents source of every event.")] = "/outbox"
    publisher: Annotated[
        Literal["batched", "plain"],
        Field(description="A page in one write, or each message by the client library's own publish."),
    ] = "batched"
    # Two pages are unconfirmed at once; what the client library does for one confirm grows with what is unconfirmed.
    page_events: Annotated[int, Field(ge=1, le=250, description="Events read and sent at once, at most.")] = 250
    page_bytes: Annotated[
        Bytes,
        Field(ge=1024, le=_MAX_MESSAGE_BYTES, description="Payload read at once; one event always fits."),
    ] = 8 * _MIB
    poll_busy: Annotated[Seconds, Field(gt=0, le=60, description="Pause between reads while events arrive.")] = 0.001
    poll_idle: Annotated[Seconds, Field(gt=0, le=60, description="Longest pause between reads while none do.")] = 0.05
    save_every: Annotated[
        Seconds,
        Field(gt=0, le=60, description="How often the cursor is saved; what is sent again after a crash."),
    ] = 1.0
    standby_poll: Annotated[
        Seconds, Field(gt=0, le=60, description="How often a standby tries to become the active relay.")
    ] = 1.0

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        check_duration_order(self, larger="poll_idle", smaller="poll_busy")
        return self


class RetentionSettings(Strict):
    """How long published events stay in the database."""

    keep: Annotated[
        Seconds,
        Field(gt=0, le=3650 * _DAY_SECONDS, description="How long a partition stays after its last event, at least."),
    ] = 30 * _DAY_SECONDS
    partition_every: Annotated[
        Seconds,
        Field(ge=1, le=366 * _DAY_SECONDS, description="How often a new partition is begun, counted in UTC."),
    ] = float(_DAY_SECONDS)
    ahead: Annotated[int, Field(ge=1, le=100, description="Partitions that are there before they are needed.")] = 3
    check_every: Annotated[Seconds, Field(gt=0, le=120, description="Pause between two looks at what is due.")] = 60.0


class InboxSettings(Strict):
    """How deliveries are taken and applied."""

    lease: Annotated[
        Seconds, Field(ge=3, le=3600, description="How long a lane stays with a process that is silent.")
    ] = 15.0
    concurrency: Annotated[int, Field(ge=1, le=1000, description="Calls in flight per flow and process.")] = 32
    poll: Annotated[Seconds, Field(gt=0, le=60, description="Pause between looks for due deliveries.")] = 0.05
    accept_batch: Annotated[
        int, Field(ge=1, le=10_000, description="Messages written to the inbox in one transaction, at most.")
    ] = 500


class HttpSettings(Strict):
    """Where health, metrics and the API are served."""

    host: Annotated[str, matching(r"[^\s/]+", "must be a host name or an address, for example 0.0.0.0")] = Field(
        "127.0.0.1", description="Address to listen on."
    )
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes any free one.")] = 8080


class LogSettings(Strict):
    """What is logged, and how it looks."""

    format: Annotated[Literal["json", "console"], Field(description="For machines or for people.")] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The least level that is logged.")
    ] = "info"


class Settings(Strict):
    """The whole configuration."""

    postgres: Annotated[PostgresSettings, Field(description="The database with the outbox and the inbox.")]
    rabbitmq: Annotated[RabbitmqSettings, Field(description="The broker.")]
    relay: Annotated[RelaySettings, Field(description="How events leave the outbox.")] = RelaySettings()
    retention: Annotated[RetentionSettings, Field(description="How long published events stay in the database.")] = (
        RetentionSettings()
    )
    inbox: Annotated[InboxSettings, Field(description="How deliveries are taken and applied.")] = InboxSettings()
    http: Annotated[HttpSettings, Field(description="Where health, metrics and the API are served.")] = HttpSettings()
    log: Annotated[LogSettings, Field(description="What is logged, and how it looks.")] = LogSettings()
    drain: Annotated[Seconds, Field(ge=0, le=3600, description="How long SIGTERM waits for work in flight.")] = 20.0
    connections: Annotated[dict[Name, Connection], Field(default_factory=dict, description="Target systems, by name.")]
    flows: Annotated[dict[Name, Flow], Field(default_factory=dict, description="Integrations, by name.")]
