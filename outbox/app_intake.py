"""Puts together the part of a process that listens to the outside."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.config.intake import CommandClient, IntakeSettings, IntakeSource
from outbox.config.intake_parts import OriginSettings, TypeSettings
from outbox.config.settings import Settings
from outbox.intake.bucket import Bucket
from outbox.intake.commands import Client, CommandRules, CommandsRules, token_digest
from outbox.intake.desk import Desk
from outbox.intake.forget import Forgetter
from outbox.intake.group import GroupCommit
from outbox.intake.openapi import openapi
from outbox.intake.refusals import Refusals
from outbox.intake.rules import ContractCheck, SourceRules
from outbox.intake.scheme import Scheme
from outbox.intake.scheme_hmac import SHOPIFY_SIGNATURE, Encoding, Hmac
from outbox.intake.scheme_hubspot import HubSpot
from outbox.intake.scheme_standard import StandardWebhooks
from outbox.intake.scheme_stripe import Stripe
from outbox.intake.server import IntakeServer, ServerSettings
from outbox.intake.timestamps import TimeUnit
from outbox.intake.values import Constant, FromHeaders, FromPath, Origin, TypeRule
from outbox.model import standard_webhooks
from outbox.model.intake import CLIENT_PREFIX
from outbox.model.lifecycle import Report
from outbox.postgres.intake_store import IntakeStore
from outbox.supervisor import Service
from outbox.wiring import postgres_server

# What tells the events of a scheme's sender apart, unless the settings say otherwise. HubSpot promises of no single
# field that it does; Shopify sends one event to several subscriptions, each with an id of its own.
_IDS: Mapping[str, Origin] = {
    "standard-webhooks": FromHeaders([standard_webhooks.ID]),
    "shopify": FromHeaders(["X-Shopify-Shop-Domain", "X-Shopify-Topic", "X-Shopify-Webhook-Id"]),
    "stripe": FromPath.of("id"),
    "hubspot": FromPath.of("[portalId, subscriptionId, objectId, eventId, occurredAt]"),
}


class IntakePart:
    """The services of a process that listens to the outside."""

    def __init__(self, settings: Settings, *, check: ContractCheck, report: Report) -> None:
        intake = settings.intake
        self.group = group = GroupCommit(
            IntakeStore(postgres_server(settings, name="outbox-intake")), answer_within_seconds=intake.answer_within
        )
        refusals = Refusals(IntakeStore(postgres_server(settings, name="outbox-intake-refused")), report)

        def close() -> None:
            group.close()
            refusals.close()

        commands = commands_of(intake)
        desk = Desk(
            {name: source_of(name, source) for name, source in intake.sources.items()},
            commands,
            group,
            check,
            report,
            _buckets(intake),
        )
        self.server = IntakeServer(
            ServerSettings(
                intake.host,
                intake.port,
                intake.public_url,
                intake.body_within,
                intake.max_connections,
                intake.max_in_memory,
                intake.remote_header,
            ),
            desk,
            openapi(commands, intake.public_url),
            note=refusals.note,
            on_closed=close,
            report=report,
        )
        forgetter = Forgetter(
            IntakeStore(postgres_server(settings, name="outbox-intake-forget")),
            refused_rows=intake.refused_rows,
            refused_seconds=intake.refused_keep,
            report=report,
        )
        self.services = [
            Service("intake", self.server.run),
            Service("intake commit", group.run),
            Service("intake refused", refusals.run),
            Service("intake forget", forgetter.run),
        ]


def senders(intake: IntakeSettings) -> list[str]:
    """Return how logs, metrics and tables call those who may send."""
    return [*intake.sources, *(CLIENT_PREFIX + name for name in intake.commands.clients)]


def source_of(name: str, source: IntakeSource) -> SourceRules:
    """Return a source as its room takes it."""
    own_id = None if source.id is None else _origin(source.id)
    return SourceRules(
        name,
        _scheme(source),
        _type(source.type),
        None if source.key is None else _origin(source.key),
        own_id or _IDS.get(source.scheme),
        (source.body or ("events" if source.scheme == "hubspot" else "event")) == "events",
        source.version,
        source.max_body,
        frozenset(source.content_types),
        source.replay_window,
        source.remember,
    )


def commands_of(intake: IntakeSettings) -> CommandsRules:
    """Return the commands as their room takes them."""
    commands = intake.commands
    return CommandsRules(
        {
            name: CommandRules(name, one.version, None if one.key is None else _origin(one.key))
            for name, one in commands.types.items()
        },
        [_client(name, client, commands.types) for name, client in commands.clients.items()],
        commands.max_body,
        frozenset(commands.content_types),
        commands.remember,
    )


def _client(name: str, client: CommandClient, types: Mapping[str, object]) -> Client:
    digests = [token_digest(token.get_secret_value()) for token in client.tokens]
    return Client(name, digests, frozenset(types if client.types is None else client.types))


def _scheme(source: IntakeSource) -> Scheme:
    secrets = [secret.get_secret_value() for secret in source.secrets]
    keys = [secret.encode() for secret in secrets]
    match source.scheme:
        case "standard-webhooks":
            return StandardWebhooks([standard_webhooks.key_of(secret) for secret in secrets])
        case "stripe":
            return Stripe(keys)
        case "hubspot":
            return HubSpot(keys)
        case "shopify":
            return Hmac(keys, SHOPIFY_SIGNATURE, encoding=Encoding.BASE64)
        case "hmac":
            own = source.hmac
            if own is None:
                raise LookupError("a source with the scheme hmac has no hmac")
            return Hmac(
                keys,
                own.header,
                own.algorithm,
                Encoding(own.encoding),
                own.prefix,
                own.signed,
                own.timestamp_header,
                TimeUnit(own.timestamp_unit),
            )


def _type(settings: TypeSettings) -> TypeRule:
    if settings.constant is not None:
        return TypeRule(Constant(settings.constant))
    if settings.header is not None:
        return TypeRule(FromHeaders([settings.header]), settings.types)
    return TypeRule(FromPath.of(settings.path or ""), settings.types)


def _origin(settings: OriginSettings) -> Origin:
    if settings.headers is not None:
        return FromHeaders(settings.headers)
    return FromPath.of(settings.path or "")


def _buckets(intake: IntakeSettings) -> dict[str, Bucket]:
    limited: dict[str, IntakeSource | CommandClient] = {
        **intake.sources,
        **{CLIENT_PREFIX + name: client for name, client in intake.commands.clients.items()},
    }
    return {name: Bucket(one.rate, one.burst) for name, one in limited.items() if one.rate is not None}
