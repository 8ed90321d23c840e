"""The settings of the inbound way: who sends webhooks, how they are signed, and which commands clients may send."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from outbox.config.intake_parts import HeaderName, HmacSettings, OneType, OriginSettings, TypeSettings
from outbox.config.rabbitmq import DAY_SECONDS
from outbox.config.rules import broken_rule, check_duration_order, matching
from outbox.config.strict import Strict
from outbox.model.standard_webhooks import key_of
from outbox.model.units import Bytes, PerSecond, Seconds

KIB, MIB = 1024, 1024 * 1024
# Guessing a shorter one is a matter of time.
_SECRET_CHARACTERS = 16

_Name = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9-]{0,62}",
        "must be at most 63 small letters, digits and hyphens, a letter first, for example shop",
    ),
]
_ContentType = Annotated[
    str, matching(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", "must be like application/json, in small letters")
]
_MaxBody = Annotated[Bytes, Field(ge=1, le=64 * MIB, description="A larger body is refused, packed or unpacked.")]
_ContentTypes = Annotated[
    tuple[_ContentType, ...], Field(min_length=1, max_length=16, description="Others are refused; the body is JSON.")
]
_Rate = Annotated[
    PerSecond | None,
    Field(gt=0, le=100_000, description="Requests of each process, for example 100/s; null: no limit."),
]
_Burst = Annotated[int, Field(ge=1, le=100_000, description="Requests that may come at once, with a rate.")]
_Version = Annotated[int, Field(ge=1, le=2**31 - 1, description="Of the contract of these events.")]
_Key = Annotated[OriginSettings | None, Field(description="The event's key; without it events have no order.")]


def _check_secrets(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(secret.get_secret_value()) < _SECRET_CHARACTERS for secret in secrets):
        raise broken_rule(f"each must have at least {_SECRET_CHARACTERS} characters")
    return secrets


class IntakeSource(Strict):
    """One sender of webhooks."""

    scheme: Annotated[
        Literal["standard-webhooks", "shopify", "stripe", "hubspot", "hmac"], Field(description="How it signs.")
    ]
    secrets: Annotated[
        tuple[SecretStr, ...],
        Field(min_length=1, max_length=8, description="What it signs with; each of them is taken, for a rotation."),
    ]
    hmac: Annotated[HmacSettings | None, Field(description="How it signs, with the scheme hmac.")] = None
    type: Annotated[TypeSettings, Field(description="The type of its events.")]
    version: _Version = 1
    key: _Key = None
    id: Annotated[
        OriginSettings | None,
        Field(description="What tells its events apart; null: as the scheme has it, else a hash of the payload."),
    ] = None
    body: Annotated[
        Literal["event", "events"] | None,
        Field(description="One event, or a list of them; null: events with hubspot, else event."),
    ] = None
    replay_window: Annotated[
        Seconds, Field(ge=1, le=DAY_SECONDS, description="How far the signed time may be from the database's clock.")
    ] = 300.0
    remember: Annotated[
        Seconds,
        Field(ge=60, le=366 * DAY_SECONDS, description="For how long what comes again is known, at least."),
    ] = 7 * DAY_SECONDS
    max_body: _MaxBody = 1 * MIB
    content_types: _ContentTypes = ("application/json",)
    rate: _Rate = None
    burst: _Burst = 100

    _long_enough = field_validator("secrets")(_check_secrets)

    @model_validator(mode="after")
    def _check_scheme(self) -> Self:
        if (self.scheme == "hmac") != (self.hmac is not None):
            raise broken_rule("is needed with the scheme hmac, and only there", field="hmac")
        if self.scheme == "standard-webhooks":
            for secret in self.secrets:
                try:
                    key_of(secret.get_secret_value())
                except ValueError as error:
                    raise broken_rule(f"each {error}", field="secrets") from None
        if "replay_window" in self.model_fields_set and not self.signs_time:
            raise broken_rule("has no meaning here: this scheme signs no time", field="replay_window")
        if self.signs_time:
            # The window lies on both sides of now: whoever kept a request could send it when it is known no more.
            check_duration_order(self, larger="remember", smaller="replay_window", factor=2)
        return self

    @property
    def signs_time(self) -> bool:
        """Say whether the scheme signs when a request was sent."""
        return self.scheme != "shopify" and (self.hmac is None or self.hmac.timestamp_header is not None)

    @property
    def signs_url(self) -> bool:
        """Say whether the scheme signs the address that was called."""
        return self.scheme == "hubspot" or (self.hmac is not None and "{url}" in self.hmac.signed)


class CommandType(Strict):
    """A command that clients may send."""

    version: _Version = 1
    key: _Key = None


class CommandClient(Strict):
    """An own client."""

    tokens: Annotated[
        tuple[SecretStr, ...],
        Field(min_length=1, max_length=8, description="What it sends as Authorization: Bearer; each of them is taken."),
    ]
    types: Annotated[
        tuple[OneType, ...] | None, Field(description="The commands that it may send; null: all of them.")
    ] = None
    rate: _Rate = None
    burst: _Burst = 100

    _long_enough = field_validator("tokens")(_check_secrets)


class CommandsSettings(Strict):
    """Commands of own clients, each taken once for its Idempotency-Key."""

    types: Annotated[dict[OneType, CommandType], Field(default_factory=dict, description="What may be sent.")]
    clients: Annotated[dict[_Name, CommandClient], Field(default_factory=dict, description="Who may send, by name.")]
    remember: Annotated[
        Seconds, Field(ge=60, le=366 * DAY_SECONDS, description="For how long a key gets the same answer, at least.")
    ] = float(DAY_SECONDS)
    max_body: _MaxBody = 1 * MIB
    content_types: _ContentTypes = ("application/json",)

    @model_validator(mode="after")
    def _check_types(self) -> Self:
        for name, client in self.clients.items():
            for wanted in client.types or ():
                if wanted not in self.types:
                    raise broken_rule(f"has no {wanted}, which the client {name} may send", field="types")
        return self


class IntakeSettings(Strict):
    """The inbound way, on a port of its own: unlike the other one it is meant for people outside."""

    host: Annotated[str, matching(r"[^\s/]+", "must be a host name or an address, for example 0.0.0.0")] = Field(
        "127.0.0.1", description="Address to listen on."
    )
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes any free one.")] = 8090
    public_url: Annotated[
        Annotated[str, matching(r"https?://[^\s?#]+", "must be an address such as https://hooks.example.com")] | None,
        Field(description="What senders call, up to /intake; some of them sign it."),
    ] = None
    remote_header: Annotated[
        HeaderName | None,
        Field(description="Where a proxy in front adds the sender's address, at the end; for refused requests."),
    ] = None
    sources: Annotated[dict[_Name, IntakeSource], Field(default_factory=dict, description="Senders, by name.")]
    commands: Annotated[CommandsSettings, Field(description="Commands of own clients.")] = CommandsSettings(
        types={}, clients={}
    )
    answer_within: Annotated[
        Seconds,
        Field(gt=0, le=60, description="After so long without a commit the answer is 503; senders wait 5 s or more."),
    ] = 4.0
    body_within: Annotated[Seconds, Field(gt=0, le=600, description="How long a body may take to come.")] = 10.0
    max_connections: Annotated[int, Field(ge=1, le=100_000, description="Open at once; more are closed.")] = 1000
    max_in_memory: Annotated[
        Bytes, Field(ge=1 * MIB, le=1024 * MIB, description="Bodies held at once; more are answered with 503.")
    ] = 64 * MIB
    refused_keep: Annotated[
        Seconds, Field(ge=60, le=366 * DAY_SECONDS, description="How long refused requests can be looked up.")
    ] = 7 * DAY_SECONDS
    refused_rows: Annotated[
        int, Field(ge=10, le=1_000_000, description="Rows of them that stay for each source, the newest.")
    ] = 10_000

    @property
    def is_active(self) -> bool:
        """Say whether there is anybody to listen to."""
        return bool(self.sources or self.commands.clients)

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        largest = max(self.commands.max_body, *(source.max_body for source in self.sources.values()), 0)
        # As it came, and unpacked.
        if self.max_in_memory < 2 * largest:
            raise broken_rule("must be at least twice the largest max_body", field="max_in_memory")
        return self

    @model_validator(mode="after")
    def _check_public_url(self) -> Self:
        for name, source in self.sources.items():
            if source.signs_url and self.public_url is None:
                raise broken_rule(
                    f"required, because the source {name} signs the address that it calls", field="public_url"
                )
        return self
