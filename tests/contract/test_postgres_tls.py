"""TLS and client certificates for PostgreSQL: everything is in the URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import asyncpg
import pytest

from outbox.model.errors import Misconfigured
from outbox.postgres.connection import PostgresServer, connect
from sandbox.binaries import find_postgres
from sandbox.private_postgres import PrivatePostgres
from sandbox.watchdog import Watchdog
from tests.kit.certificates import Authority, Pair

USER = "relay"


@dataclass(frozen=True, slots=True)
class TlsDatabase:
    port: int
    authority: str
    user: Pair

    @property
    def url(self) -> str:
        tls = {"sslmode": "verify-full", "sslrootcert": self.authority}
        own = {"sslcert": self.user.cert, "sslkey": self.user.key}
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres?{urlencode(tls | own)}"


@pytest.fixture(scope="module")
def tls_database() -> Iterator[TlsDatabase]:
    programs = find_postgres()
    if programs is None:
        pytest.skip("needs the programs of PostgreSQL")
    with Watchdog() as watchdog:
        ours = Authority(watchdog.folder / "tls")
        server, user = ours.issue("server", "127.0.0.1"), ours.issue(USER)
        postgres = PrivatePostgres(programs, watchdog=watchdog, is_durable=False)
        postgres.start()
        try:
            rules = asyncio.run(_want_certificates(postgres.url, ours.ca, server))
        except asyncpg.InvalidParameterValueError as error:
            if "SSL is not supported" not in str(error):
                raise
            pytest.skip("needs a PostgreSQL that is built with TLS")
        rules.write_text(f"hostssl all {USER} 127.0.0.1/32 cert\n" + rules.read_text())
        ours.hand_over()
        # Its own process must have the key to itself, and so must the client.
        postgres.restart()
        yield TlsDatabase(postgres.port, ours.ca, user)


async def _want_certificates(url: str, authority: str, server: Pair) -> Path:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"create role {USER} login")
        for name, value in (
            ("ssl", "on"),
            ("ssl_ca_file", authority),
            ("ssl_cert_file", server.cert),
            ("ssl_key_file", server.key),
        ):
            await connection.execute(f"alter system set {name} = '{value}'")
        return Path(await connection.fetchval("show hba_file"))
    finally:
        await connection.close()


async def test_a_client_certificate_in_the_url_is_the_login(tls_database: TlsDatabase) -> None:
    async with connect(PostgresServer(tls_database.url)) as connection:
        row = await connection.fetchrow(
            "select current_user::text as who, ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()"
        )
    assert row is not None
    assert (row["who"], row["ssl"]) == (USER, True)
    assert f"CN={USER}" in row["client_dn"]


async def test_an_authority_that_did_not_sign_the_server_is_told_as_such(
    tls_database: TlsDatabase, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    url = tls_database.url.replace(urlencode({"": tls_database.authority})[1:], urlencode({"": stranger.ca})[1:])
    assert url != tls_database.url
    with pytest.raises(Misconfigured, match="certificate is not accepted"):
        async with connect(PostgresServer(url)):
            pass
