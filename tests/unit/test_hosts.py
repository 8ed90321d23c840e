"""URLs with several hosts, and the one error when none of them will do."""

from __future__ import annotations

import socket

import pytest

from outbox.model.errors import AccessRefused, Misconfigured, OutboxError, Unavailable
from outbox.model.tcp import PATIENT, PROMPT
from outbox.postgres.hosts import NotPrimary, describe, hosts_of, none_of

URL = "postgresql://relay:p%40s,s@a:5432,[::1]:5433,c/erp?sslmode=require"
SERVER = "PostgreSQL at a,b/erp"
AWAY = Unavailable("a", "Connection refused")
STANDBY = NotPrimary("b is a standby", "point postgres.url at the primary")


def test_each_host_of_a_url_gets_a_url_of_its_own() -> None:
    assert [(host.name, host.url) for host in hosts_of(URL)] == [
        ("a:5432", "postgresql://relay:p%40s,s@a:5432/erp?sslmode=require"),
        ("[::1]:5433", "postgresql://relay:p%40s,s@[::1]:5433/erp?sslmode=require"),
        ("c", "postgresql://relay:p%40s,s@c/erp?sslmode=require"),
    ]
    assert describe(URL) == "PostgreSQL at a:5432,[::1]:5433,c/erp"


@pytest.mark.parametrize("url", ["postgresql://relay@a/erp", "postgresql:///erp?host=/run/postgresql"])
def test_the_url_of_a_single_host_stays_as_it_is(url: str) -> None:
    assert [host.url for host in hosts_of(url)] == [url]


@pytest.mark.parametrize(
    ("failures", "kind", "text"),
    [
        ((AWAY,), Unavailable, "a is unavailable: Connection refused"),
        (
            (AWAY, STANDBY),
            Unavailable,
            "PostgreSQL at a,b/erp is unavailable: no primary: a: Connection refused; b is a standby",
        ),
        ((STANDBY, STANDBY), NotPrimary, "PostgreSQL at a,b/erp: no primary: b is a standby; b is a standby"),
        (
            (AWAY, AccessRefused("b: password refused", "check it")),
            AccessRefused,
            "PostgreSQL at a,b/erp: a: Connection refused; b: password refused\n  next step: check it",
        ),
        ((AWAY, AWAY), Unavailable, "PostgreSQL at a,b/erp is unavailable: a: Connection refused; a: Connection"),
    ],
)
def test_when_no_host_will_do_the_reason_of_each_is_told(
    failures: tuple[OutboxError, ...], kind: type[OutboxError], text: str
) -> None:
    error = none_of(SERVER, failures)
    assert type(error) is kind
    assert str(error).startswith(text)


def test_only_a_url_whose_hosts_are_all_there_and_standbys_needs_a_person() -> None:
    assert not isinstance(none_of(SERVER, (STANDBY, AWAY)), Misconfigured)
    assert isinstance(none_of(SERVER, (STANDBY, STANDBY)), Misconfigured)


def test_a_dead_peer_is_noticed_before_a_frozen_leader_is_replaced() -> None:
    assert PROMPT.dead_after_seconds < 15
    assert PATIENT.dead_after_seconds == 30
    assert (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 14_000) in PROMPT.options()
