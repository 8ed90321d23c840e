"""PostgreSQL's errors become ours, once, by SQLSTATE; message texts are never matched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import asyncpg

from outbox.model.errors import (
    AccessRefused,
    CursorUncertain,
    LeaseLost,
    Misconfigured,
    OutboxError,
    SettingsOutdated,
    Unavailable,
)
from outbox.model.network import network_reason, tls_problem


class OwnState(StrEnum):
    """The SQLSTATEs that the functions in ``sql/`` raise."""

    LEASE_LOST = "OB001"
    CURSOR_UNCERTAIN = "OB002"
    IS_STANDBY = "OB003"
    NOT_THERE = "OB004"
    ROLE_MISSING = "OB005"
    STREAM_IS_LED = "OB006"
    WRITER_IS_BUSY = "OB007"
    SEQUENCE_IS_ODD = "OB010"
    LANES_DIFFER = "OB011"
    LANES_STAY = "OB012"
    KEY_IS_TAKEN = "OB020"
    REPLAY_RUNS = "OB031"
    REPLAY_HAS_GAPS = "OB032"


# Class 08 connection, 53 resources, 57P operator intervention, 58 system error: waiting helps.
_PASSING_CLASSES = ("08", "53", "57P", "58")
_PASSING_STATES = ("57014", "25P03", "25P04", "40001", "40P01", "55P03", "XX000")
_MIGRATE = 'run "outbox migrate" with a user who may create schemas'
_VARIABLES = {"postgres.url": "OUTBOX_PG_URL", "postgres.direct_url": "OUTBOX_PG_DIRECT_URL"}
_GRANT = "grant outbox_relay (to publish) or outbox_adapter (to consume) to this user"


@contextmanager
def postgres_errors(server: str, *, needs: str = _GRANT, setting: str = "postgres.url") -> Iterator[None]:
    """Translate what asyncpg raises.

    Args:
        server: how people call this server ("PostgreSQL at db:5432/erp"); never with a password.
        needs: what to do when a permission is missing.
        setting: what people call the URL in the settings.

    Raises:
        OutboxError: the matching one, with the original as its cause.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _translate(server, error, needs, setting) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # asyncpg says so when the connection went away under it; the latter when the server's last words came while
        # nothing was asked, and the end of the connection is still on its way.
        raise Unavailable(server, str(error)) from error
    except (OSError, TimeoutError, EOFError) as error:
        problem = tls_problem(error)
        if problem is not None:
            raise Misconfigured(f"{server}: {problem}", f"check host, port and sslmode in {setting}") from error
        raise Unavailable(server, network_reason(error)) from error


def _translate(server: str, error: asyncpg.PostgresError, needs: str, setting: str) -> OutboxError:
    state = error.sqlstate or ""
    # The first line only: the detail quotes rows, and the hint becomes the next step.
    text = str(error.args[0]) if error.args else type(error).__name__
    match state:
        case _ if state in set(OwnState):
            return _own(server, OwnState(state), error, text, setting)
        case "28P01" | "28000":
            return AccessRefused(f"{server}: {text}", f"check user and password in {setting} ({_VARIABLES[setting]})")
        case "3D000":
            return Misconfigured(f"{server}: {text}", f"create the database or correct its name in {setting}")
        case "42501":
            return AccessRefused(f"{server}: {text}", needs)
        case "3F000" | "42P01" | "42883" | "42703":
            return Misconfigured(
                f"{server}: the outbox schema is missing or older than this program ({text})", _MIGRATE
            )
        case "25006":
            # It was a primary when we connected: a failover. Connecting again finds the new one, or says what is wrong.
            return Unavailable(server, "it takes no writes any more")
        case _ if state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES:
            return Unavailable(server, f"{state} {text}")
        case _:
            error.detail = None
            raise error


def _own(server: str, state: OwnState, error: asyncpg.PostgresError, text: str, setting: str) -> OutboxError:
    """Translate what our functions raise. Their hint is the next step, their detail quotes no row."""
    hint = error.hint
    match state:
        case OwnState.LEASE_LOST:
            return LeaseLost(text)
        case OwnState.CURSOR_UNCERTAIN:
            return CursorUncertain(
                f"{server}: {text}. {hint}. Nothing is published until a person decides",
                'run "outbox rebase": it shows the range and changes nothing; with --yes that range is published again '
                "with the same message ids, and then everything new",
            )
        case OwnState.IS_STANDBY:
            return Misconfigured(f"{server}: {text}", hint or f"point {setting} at the primary")
        case OwnState.NOT_THERE:
            return Misconfigured(f"{server}: {text}", hint or _MIGRATE)
        case OwnState.ROLE_MISSING:
            return AccessRefused(f"{server}: {text}", hint or "create the role as a superuser")
        case OwnState.STREAM_IS_LED:
            return Misconfigured(f"{server}: {text}", "stop the relays of this database, then try again")
        case OwnState.WRITER_IS_BUSY:
            return Unavailable(
                server, f"{text}; nothing was changed", "try again when those transactions have ended, or end them"
            )
        case OwnState.SEQUENCE_IS_ODD:
            return Misconfigured(f"{server}: {text}", hint or "see the function outbox.begin_upkeep in the database")
        case OwnState.KEY_IS_TAKEN:
            return Misconfigured(f"{text}. {error.detail or ''}".rstrip(), hint or "give every event a key of its own")
        case OwnState.REPLAY_RUNS | OwnState.REPLAY_HAS_GAPS:
            return Misconfigured(text, hint or '"outbox replay list" shows it')
        case OwnState.LANES_DIFFER:
            return SettingsOutdated(f"{server}: {text}", hint or _MIGRATE)
        case OwnState.LANES_STAY:
            return Misconfigured(f"{server}: {text}", hint or _MIGRATE)
