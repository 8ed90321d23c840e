"""What is allowed in the settings of the intake and yet worth a second look. Pure; quotes nothing of a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import SecretStr

from outbox.config.intake import CommandClient, IntakeSource
from outbox.config.quantities import seconds_text

_STRIPE_PREFIX = "whsec_"


def source_notes(source: IntakeSource) -> Iterator[str]:
    """Yield what somebody should know of a source, each in a sentence."""
    secrets = [secret.get_secret_value() for secret in source.secrets]
    if source.scheme == "stripe" and not all(secret.startswith(_STRIPE_PREFIX) for secret in secrets):
        yield f"a secret does not begin with {_STRIPE_PREFIX}, as Stripe's signing secrets do; an API key is none"
    if any(secret != secret.strip() for secret in secrets):
        yield "a secret has spaces or line breaks at its ends, which are part of it"
    if len(set(secrets)) < len(secrets):
        yield "a secret stands twice"
    if source.hmac is not None and source.hmac.algorithm == "sha1":
        yield "signs with sha1; ask its sender for sha256"
    if not source.signs_time:
        yield (
            "signs no time: whoever keeps a request can send it again when it is known no more, "
            f"{seconds_text(source.remember)} later"
        )
    if source.type.constant is None and not source.type.types:
        yield "has no type.types: its words are types, also those of events that others send"
    if source.key is None:
        yield "has no key: its events have no order"
    if source.rate is None:
        yield "has no rate: it may send as much as this process takes"


def client_notes(client: CommandClient) -> Iterator[str]:
    """Yield what somebody should know of a client, each in a sentence."""
    if client.rate is None:
        yield "has no rate: it may send as much as this process takes"


def shared_secrets(named: Mapping[str, Sequence[SecretStr]]) -> Iterator[tuple[str, str]]:
    """Yield who has a secret that somebody before has too, and who that is."""
    first: dict[str, str] = {}
    for name, secrets in named.items():
        for other in dict.fromkeys(first.setdefault(secret.get_secret_value(), name) for secret in secrets):
            if other != name:
                yield name, other
