"""Everything that can be set, with its default and bounds: one frozen object, made once and passed down."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from outbox.config.alerts import AlertSettings
from outbox.config.contracts import ContractSettings
from outbox.config.flows import AdapterChoice, EventType, Flow, Retry
from outbox.config.inbox import InboxSettings
from outbox.config.intake import IntakeSettings
from outbox.config.log import LogSettings
from outbox.config.mapping import MappingField
from outbox.config.ownership import Owner
from outbox.config.rabbitmq import DAY_SECONDS, MAX_MESSAGE_BYTES, MIB, RabbitmqSettings, TlsSettings, check_url
from outbox.config.reloading import ReloadSettings
from outbox.config.rules import broken_rule, check_duration_order, matching
from outbox.config.strict import Strict
from outbox.config.versions import Downcasters, Upcasters
from outbox.model.connection import Connection
from outbox.model.cursor import PageLimits
from outbox.model.lanes import MAX_LANES
from outbox.model.units import Bytes, Seconds

__all__ = [
    "AdapterChoice",
    "AlertSettings",
    "ClaimCheckSettings",
    "Connection",
    "ContractSettings",
    "EventType",
    "Flow",
    "HttpSettings",
    "InboxSettings",
    "IntakeSettings",
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
    "TlsSettings",
]

_POSTGRES_EXAMPLE = "postgresql://relay@localhost:5432/erp"
# Guessing a shorter one is a matter of time.
_TOKEN_CHARACTERS = 16

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
    return check_url(url, ("postgresql", "postgres"), _POSTGRES_EXAMPLE)


def _check_direct_url(url: SecretStr | None) -> SecretStr | None:
    return None if url is None else _check_postgres_url(url)


def _check_token(token: SecretStr | None) -> SecretStr | None:
    text = "" if token is None else token.get_secret_value()
    if token is not None and (len(text) < _TOKEN_CHARACTERS or not all("!" <= character <= "~" for character in text)):
        raise broken_rule(
            f"must be at least {_TOKEN_CHARACTERS} ASCII characters without spaces, for example what "
            "openssl rand -hex 32 prints"
        )
    return token


class PostgresSettings(Strict):
    """The database with the outbox and the inbox."""

    url: Annotated[
        SecretStr,
        AfterValidator(_check_postgres_url),
        Field(description="Address with user and password.", examples=[_POSTGRES_EXAMPLE]),
    ]
    direct_url: Annotated[
        SecretStr | None,
        AfterValidator(_check_direct_url),
        Field(
            description="Address past a connection pooler that url leads to; used by the relay and by migrate.",
            examples=[_POSTGRES_EXAMPLE],
        ),
    ] = None
    connect_timeout: Annotated[Seconds, Field(gt=0, le=DAY_SECONDS, description="How long connecting may take.")] = 10.0
    statement_timeout: Annotated[
        Seconds, Field(gt=0, le=DAY_SECONDS, description="How long one statement may take.")
    ] = 30.0


class ClaimCheckSettings(Strict):
    """Large payloads stay in the outbox, and a reference to them travels."""

    enabled: Annotated[bool, Field(description="Off: what the broker does not take whole is a dead letter.")] = True
    # What RabbitMQ 4 takes unless told otherwise, less a margin: by default no message that could travel whole is a
    # reference, because a consumer may not know what that is, or not have a way to the payload.
    above: Annotated[
        Bytes, Field(ge=0, le=MAX_MESSAGE_BYTES, description="A larger payload travels as a reference.")
    ] = 15 * MIB


class RelaySettings(Strict):
    """How events leave the outbox."""

    source: Annotated[_UriReference, Field(description="The CloudEvents source of every event.")] = "/outbox"
    publisher: Annotated[
        Literal["batched", "plain"],
        Field(description="A page in one write, or each message by the client library's own publish."),
    ] = "batched"
    lanes: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_LANES,
            description="Over how many cursors the keys are spread; must be what outbox lanes shows.",
        ),
    ] = 1
    channels: Annotated[
        int,
        Field(
            ge=1,
            le=16,
            description="Channels that a page is spread over by key; with several the broker uses more of its cores.",
        ),
    ] = 2
    # Two pages are unconfirmed at once; what the client library does for one confirm grows with what is unconfirmed.
    page_events: Annotated[int, Field(ge=1, le=250, description="Events read and sent at once, at most.")] = 250
    page_bytes: Annotated[
        Bytes,
        Field(ge=1024, le=MAX_MESSAGE_BYTES, description="Payload read at once; one event always fits."),
    ] = 8 * MIB
    claim_check: Annotated[
        ClaimCheckSettings, Field(description="Large payloads stay in the outbox, and a reference to them travels.")
    ] = ClaimCheckSettings()
    poll_busy: Annotated[Seconds, Field(gt=0, le=60, description="Pause between reads while events arrive.")] = 0.001
    poll_idle: Annotated[Seconds, Field(gt=0, le=60, description="Longest pause between reads while none do.")] = 0.075
    save_every: Annotated[
        Seconds,
        Field(gt=0, le=60, description="How often the cursor is saved; what is sent again after a crash."),
    ] = 1.0
    standby_poll: Annotated[
        Seconds, Field(gt=0, le=60, description="How often a standby tries to become the active relay.")
    ] = 1.0
    watch_every: Annotated[
        Seconds, Field(gt=0, le=3600, description="How often the watchdog looks whether the stream moves.")
    ] = 10.0
    stalled_after: Annotated[
        Seconds,
        Field(
            gt=0,
            le=DAY_SECONDS,
            description="Events that wait this long while nothing moves, without a known reason, are an alarm.",
        ),
    ] = 60.0

    lease: Annotated[
        Seconds,
        Field(
            ge=3,
            le=3600,
            description="How long a leader that is frozen or cut off keeps the lead; a killed one loses it at once.",
        ),
    ] = 10.0

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        check_duration_order(self, larger="poll_idle", smaller="poll_busy")
        check_duration_order(self, larger="stalled_after", smaller="watch_every")
        # The watchdog sees progress only once it is saved.
        check_duration_order(self, larger="stalled_after", smaller="save_every", factor=2)
        return self


class RetentionSettings(Strict):
    """How long published events stay in the database."""

    keep: Annotated[
        Seconds,
        Field(gt=0, le=3650 * DAY_SECONDS, description="How long a partition stays after its last event, at least."),
    ] = 30 * DAY_SECONDS
    partition_every: Annotated[
        Seconds,
        Field(ge=1, le=366 * DAY_SECONDS, description="How often a new partition is begun, counted in UTC."),
    ] = float(DAY_SECONDS)
    ahead: Annotated[int, Field(ge=1, le=100, description="Partitions that are there before they are needed.")] = 3
    check_every: Annotated[Seconds, Field(gt=0, le=120, description="Pause between two looks at what is due.")] = 60.0


class HttpSettings(Strict):
    """Where health, metrics and the API are served."""

    host: Annotated[str, matching(r"[^\s/]+", "must be a host name or an address, for example 0.0.0.0")] = Field(
        "127.0.0.1", description="Address to listen on."
    )
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes any free one.")] = 8080
    payload_token: Annotated[
        SecretStr | None,
        AfterValidator(_check_token),
        Field(description="What fetches payloads as Authorization: Bearer; without it nobody can."),
    ] = None


class Settings(Strict):
    """The whole configuration."""

    postgres: Annotated[PostgresSettings, Field(description="The database with the outbox and the inbox.")]
    rabbitmq: Annotated[RabbitmqSettings, Field(description="The broker.")]
    relay: Annotated[RelaySettings, Field(description="How events leave the outbox.")] = RelaySettings()
    retention: Annotated[RetentionSettings, Field(description="How long published events stay in the database.")] = (
        RetentionSettings()
    )
    inbox: Annotated[InboxSettings, Field(description="How deliveries are taken and applied.")] = InboxSettings()
    intake: Annotated[IntakeSettings, Field(description="Webhooks and commands from outside.")] = IntakeSettings(
        sources={}
    )
    http: Annotated[HttpSettings, Field(description="Where health, metrics and the API are served.")] = HttpSettings()
    log: Annotated[LogSettings, Field(description="What is logged, and how it looks.")] = LogSettings()
    contracts: Annotated[ContractSettings, Field(description="What payloads must look like.")] = ContractSettings()
    alerts: Annotated[AlertSettings, Field(description="Who is told when something is wrong.")] = AlertSettings(
        channels={}
    )
    reload: Annotated[ReloadSettings, Field(description="When a running process reads its settings again.")] = (
        ReloadSettings()
    )
    drain: Annotated[
        Seconds, Field(ge=0, le=3600, description="How long SIGTERM, or a change of a flow, waits for work in flight.")
    ] = 20.0
    connections: Annotated[dict[Name, Connection], Field(default_factory=dict, description="Target systems, by name.")]
    upcasters: Upcasters
    downcasters: Downcasters
    flows: Annotated[dict[Name, Flow], Field(default_factory=dict, description="Integrations, by name.")]

    def remembered_seconds(self) -> float:
        """Return how long finished deliveries are remembered.

        An event can be published again as long as it is in the outbox, which is as long as the last one of its
        partition stays, and its message can then lie in a queue: only after both has no copy of it to be recognised
        any more.
        """
        return self.inbox.keep or self._least_memory_seconds()

    def _least_memory_seconds(self) -> float:
        return self.retention.keep + self.retention.partition_every + self.inbox.queue_life

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        least = self._least_memory_seconds()
        if self.inbox.keep is not None and self.inbox.keep < least:
            raise broken_rule(
                f"keep must be at least retention.keep, retention.partition_every and inbox.queue_life together "
                f"({least / DAY_SECONDS:g}d): what comes again later than that would take effect twice",
                field="inbox",
            )
        return self

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        for name, flow in self.flows.items():
            chosen = flow.reconcile
            if chosen is not None and chosen.window + chosen.lag > self.retention.keep:
                raise broken_rule(
                    f"{name}.reconcile: window and lag together must be at most retention.keep "
                    f"({self.retention.keep / DAY_SECONDS:g}d), or events are gone before they are counted",
                    field="flows",
                )
        return self

    def page_limits(self) -> PageLimits:
        """Return what the relay reads: payloads that travel whole, and up to which size others do as references."""
        relay, largest = self.relay, self.rabbitmq.max_payload_bytes
        if not relay.claim_check.enabled:
            return PageLimits(relay.page_events, relay.page_bytes, largest)
        return PageLimits(relay.page_events, relay.page_bytes, min(relay.claim_check.above, largest), largest)
