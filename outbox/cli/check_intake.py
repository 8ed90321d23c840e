"""What ``outbox check`` finds of the inbound way: who sends, by which contracts, with which rights and clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from outbox.config.intake import IntakeSettings, IntakeSource
from outbox.config.intake_notes import client_notes, shared_secrets, source_notes
from outbox.config.settings import Settings
from outbox.flow.contract import ContractSet
from outbox.model.contract import contract_name
from outbox.model.doctor import Finding, Result, intake_clock
from outbox.postgres.connection import PostgresServer
from outbox.postgres.intake_store import IntakeStore, database_time


def senders(intake: IntakeSettings) -> Iterator[Finding]:
    """Yield how each source and client is. Secrets that cannot be used have ended the reading of the settings."""
    for name, source in intake.sources.items():
        subject = f"source {name}"
        yield Finding(subject, Result.RIGHT, f"{source.scheme}, {len(source.secrets)} secret(s) that it may sign with")
        yield from (Finding(subject, Result.NOTE, note) for note in source_notes(source))
    for name, other in shared_secrets({name: source.secrets for name, source in intake.sources.items()}):
        yield Finding(f"source {name}", Result.NOTE, f"has a secret of the source {other}: each can sign for the other")
    for name, client in intake.commands.clients.items():
        subject, types = f"client {name}", intake.commands.types if client.types is None else client.types
        yield Finding(subject, Result.RIGHT, f"{len(client.tokens)} token(s), may send {len(types)} command(s)")
        yield from (Finding(subject, Result.NOTE, note) for note in client_notes(client))
    for name, other in shared_secrets({name: client.tokens for name, client in intake.commands.clients.items()}):
        yield Finding(
            f"client {name}",
            Result.WRONG,
            f"has a token of the client {other}, and nobody can tell them apart",
            f"give each its own: intake.commands.clients.{name}.tokens",
        )


def unchecked(settings: Settings, contracts: ContractSet) -> Iterator[Finding]:
    """Yield which events of the intake no contract is there for."""
    intake, is_refused = settings.intake, settings.contracts.without == "reject"
    if not intake.is_active:
        return
    if settings.contracts.directory is None and not is_refused:
        yield Finding("contracts", Result.NOTE, "there are none, so what the intake takes is not checked")
        return
    for sender, names in _names(intake).items():
        missing = [contract_name(*name) for name in dict.fromkeys(names) if contracts.contract(*name) is None]
        if missing and is_refused:
            yield Finding(
                sender,
                Result.WRONG,
                f"{', '.join(missing)}: no contract, and contracts.without is reject, so every such event is refused",
                "add the contract, or set contracts.without to allow",
            )
        elif missing:
            yield Finding(sender, Result.NOTE, f"{', '.join(missing)}: no contract, so it is not checked")


def _names(intake: IntakeSettings) -> Mapping[str, list[tuple[str, int]]]:
    """Return the types and versions that each sender's events have, as far as the settings tell them."""
    sent = {
        f"source {name}": [(one, source.version) for one in _types(source)] for name, source in intake.sources.items()
    }
    return sent | {f"command {name}": [(name, command.version)] for name, command in intake.commands.types.items()}


def _types(source: IntakeSource) -> list[str]:
    return [*source.type.types.values()] if source.type.constant is None else [source.type.constant]


async def rights(server: PostgresServer) -> list[Finding]:
    """Return whether this user may do what the intake does.

    Raises:
        OutboxError: it may not, or nobody can tell.
    """
    async with IntakeStore(server).session() as session:
        await session.rehearse()
    return [Finding("intake", Result.RIGHT, "this user can take webhooks and commands")]


async def clock(
    settings: Settings, server: PostgresServer, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[Finding]:
    """Return how far the database's clock is from this machine's, which nothing but this look depends on.

    Raises:
        OutboxError: nobody can tell.
    """
    windows = {name: one.replay_window for name, one in settings.intake.sources.items() if one.signs_time}
    if not windows:
        return []
    before = now()
    there = await database_time(server)
    after = now()
    # It was asked somewhere between the two: within them nothing is proven.
    ahead = max(there - after, min(there - before, timedelta()))
    return [intake_clock(ahead.total_seconds(), windows)]
