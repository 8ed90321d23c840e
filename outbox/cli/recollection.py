"""What the broker remembers as published, compared with the database."""

from __future__ import annotations

from outbox.config.settings import Settings
from outbox.model.errors import Misconfigured, Unavailable
from outbox.model.rebase import Recollection
from outbox.postgres.rebase import RebaseSession
from outbox.rabbitmq.witness import peek
from outbox.wiring_rabbitmq import rabbit_server


async def recollection(settings: Settings, session: RebaseSession) -> Recollection:
    """Ask the broker, and say what of it does not exist here; changes nothing."""
    origin, lanes = await session.origin()
    if origin is None:
        return Recollection()
    try:
        witness = await peek(rabbit_server(settings), origin, lanes=lanes)
    except (Unavailable, Misconfigured) as error:
        # The database can be repaired while the broker is away; people are told what that leaves open.
        return Recollection(problem=str(error).splitlines()[0])
    return await session.compare(witness)
