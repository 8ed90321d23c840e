"""What applications import: ``emit`` where an event is written, ``once`` where a message is taken.

Both join the transaction that is open on the connection they are given. ``emit`` and ``once`` are for asyncio:
asyncpg, psycopg's AsyncConnection, SQLAlchemy's AsyncConnection and AsyncSession. ``emit_sync`` and ``once_sync`` are
for psycopg's Connection, SQLAlchemy's Connection and Session, and Django's connections. None of these libraries is
imported before a connection of it is given. In any other language, ``SELECT outbox.emit(…)`` and
``SELECT once.take(…)`` do the same.
"""

from outbox.client.connections import AsyncConnection, BlockingConnection, DjangoConnection, NotInTransaction
from outbox.client.taking import Taken, once, once_sync
from outbox.client.writing import Headers, emit, emit_sync

__all__ = [
    "AsyncConnection",
    "BlockingConnection",
    "DjangoConnection",
    "Headers",
    "NotInTransaction",
    "Taken",
    "emit",
    "emit_sync",
    "once",
    "once_sync",
]
