"""What PostgreSQL's errors mean: which of them pass by themselves, and which need a person."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from outbox.model.errors import AccessRefused, Misconfigured, OutboxError, Unavailable
from outbox.postgres.errors import OwnState, postgres_errors

SQL = Path(__file__).parents[2] / "sql"
SERVER = "PostgreSQL at db:5432/erp"


def translated(error: Exception, setting: str = "postgres.url") -> OutboxError:
    with pytest.raises(OutboxError) as caught, postgres_errors(SERVER, setting=setting):
        raise error
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"),  # 25006
        asyncpg.AdminShutdownError("terminating connection"),  # 57P01
        asyncpg.CrashShutdownError("terminating connection"),  # 57P02
        asyncpg.CannotConnectNowError("the database system is starting up"),  # 57P03
        asyncpg.DatabaseDroppedError("terminating connection"),  # 57P04
        asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"),  # 25P03
        asyncpg.ConnectionFailureError("gone"),  # 08006
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_happens_while_a_server_goes_away_is_waited_for(error: Exception) -> None:
    assert isinstance(translated(error), Unavailable)


def test_a_refused_password_names_the_setting_that_it_came_from() -> None:
    error = translated(asyncpg.InvalidPasswordError("no"), setting="postgres.direct_url")
    assert isinstance(error, AccessRefused)
    assert error.next_step == "check user and password in postgres.direct_url (OUTBOX_PG_DIRECT_URL)"


def test_a_database_that_is_not_there_needs_a_person() -> None:
    error = translated(asyncpg.InvalidCatalogNameError('database "erb" does not exist'))
    assert isinstance(error, Misconfigured)
    assert not isinstance(error, AccessRefused)


def test_every_state_that_our_functions_raise_is_known_and_none_besides() -> None:
    raised = {
        state
        for file in SQL.rglob("*.sql")
        # A service calls those in its own database, and gets its own driver's errors.
        if file.parent.name != "once"
        for state in re.findall(r"errcode = '(OB\d+)'", file.read_text("utf-8"))
    }
    assert raised == set(OwnState)


@pytest.mark.parametrize("state", OwnState)
def test_every_state_of_our_own_becomes_an_error_for_people(state: OwnState) -> None:
    raised = asyncpg.PostgresError.new({"S": "ERROR", "C": state, "M": "what happened", "H": "do this"})
    assert "what happened" in str(translated(raised))


def test_a_writer_that_does_not_end_is_no_matter_of_addresses() -> None:
    error = translated(asyncpg.PostgresError.new({"S": "ERROR", "C": OwnState.WRITER_IS_BUSY, "M": "a writer is busy"}))
    assert isinstance(error, Unavailable)
    assert "have ended" in error.next_step


def test_a_state_of_our_own_that_a_newer_schema_may_raise_is_not_taken_for_another() -> None:
    raised = asyncpg.PostgresError.new({"S": "ERROR", "C": "OB999", "M": "what happened"})
    with pytest.raises(asyncpg.PostgresError, match="what happened"), postgres_errors(SERVER):
        raise raised
