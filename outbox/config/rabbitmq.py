"""The settings of the broker, and what its addresses must look like."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from outbox.config.rules import broken_rule, check_duration_order
from outbox.config.strict import Strict
from outbox.model.amqp_url import AmqpUrl
from outbox.model.units import Bytes, Seconds

AMQP_EXAMPLE = "amqp://relay@localhost:5672/"
MANAGEMENT_EXAMPLE = "https://rabbit.example.com:15671"
# A longer wait is a wrong unit.
DAY_SECONDS = 86400
MIB = 1024 * 1024
# RabbitMQ refuses larger messages from release 3.8 on, whatever is configured in the client.
MAX_MESSAGE_BYTES = 128 * MIB

FilePath = Annotated[str, Field(min_length=1)]


def check_url(url: SecretStr, schemes: tuple[str, str], example: str) -> SecretStr:
    """Refuse an address with another scheme, or with characters that no address has; nothing of it is quoted."""
    text = url.get_secret_value()
    if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        allowed = " or ".join(f"{scheme}://" for scheme in schemes)
        raise broken_rule(f"must begin with {allowed}, for example {example}")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise broken_rule("must not contain spaces or line breaks; in a password write them as %20 and so on")
    return url


def _check_amqp_url(url: SecretStr) -> SecretStr:
    checked = check_url(url, ("amqp", "amqps"), AMQP_EXAMPLE)
    try:
        AmqpUrl.parse(url.get_secret_value())
    except ValueError:
        # No `from`: the cause could quote the address.
        raise broken_rule(f"must name a host, and a port only as a number, for example {AMQP_EXAMPLE}") from None
    return checked


def _check_management_url(url: SecretStr) -> SecretStr:
    checked = check_url(url, ("http", "https"), MANAGEMENT_EXAMPLE)
    try:
        parts = urlsplit(url.get_secret_value())
        is_complete = bool(parts.hostname) and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:
        is_complete = False
    if not is_complete:
        raise broken_rule(
            f"must name a host, a port only as a number, and have no query, for example {MANAGEMENT_EXAMPLE}"
        )
    return checked


class TlsSettings(Strict):
    """Certificates for an amqps:// address, as PEM files; they are read at each connect, so they may be rotated."""

    ca_file: Annotated[
        FilePath | None, Field(description="Authority of the broker's certificate; else those of the system.")
    ] = None
    cert_file: Annotated[
        FilePath | None, Field(description="Our own certificate; without a password in the URL it is the login too.")
    ] = None
    key_file: Annotated[
        FilePath | None, Field(description="Its key, without a passphrase; not needed when it is in cert_file.")
    ] = None
    server_name: Annotated[
        FilePath | None, Field(description="Name in the broker's certificate, when it is not the host's.")
    ] = None

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise broken_rule("needs the certificate that it belongs to, in cert_file", field="key_file")
        return self


class RabbitmqSettings(Strict):
    """The broker."""

    url: Annotated[
        SecretStr,
        AfterValidator(_check_amqp_url),
        Field(
            description="Address with user, password and virtual host; it may name several hosts, with commas.",
            examples=[AMQP_EXAMPLE],
        ),
    ]
    tls: Annotated[TlsSettings | None, Field(description="Certificates for an amqps:// address.")] = None
    topology: Annotated[
        Literal["arguments", "policies", "passive"],
        Field(description="Whether queues are declared with all settings, made with policies, or only looked for."),
    ] = "arguments"
    management_url: Annotated[
        Annotated[SecretStr, AfterValidator(_check_management_url)] | None,
        Field(
            description="Address of the management API, for outbox topology; user and password of url unless named.",
            examples=[MANAGEMENT_EXAMPLE],
        ),
    ] = None
    heartbeat: Annotated[
        Seconds, Field(ge=1, le=3600, description="A connection silent for about two of these is dead.")
    ] = 10.0
    connect_timeout: Annotated[
        Seconds, Field(gt=0, le=DAY_SECONDS, description="How long connecting may take, for each host.")
    ] = 10.0
    confirm_timeout: Annotated[
        Seconds,
        Field(
            gt=0,
            le=DAY_SECONDS,
            description="How long a publisher confirm may take; more than two heartbeats.",
        ),
    ] = 30.0
    max_payload_bytes: Annotated[
        Bytes, Field(ge=1, le=MAX_MESSAGE_BYTES, description="A larger event is a dead letter.")
    ] = 64 * MIB
    prefetch: Annotated[
        int,
        Field(ge=1, le=2000, description="Unacknowledged messages per flow that the broker may send ahead."),
    ] = 500

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        # A dead connection is noticed after two heartbeats; before that a missing confirm proves nothing.
        check_duration_order(self, larger="confirm_timeout", smaller="heartbeat", factor=2)
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.tls is not None and not AmqpUrl.parse(self.url.get_secret_value()).is_encrypted:
            raise broken_rule("is not used by an amqp:// address; write rabbitmq.url as amqps://", field="tls")
        return self
