"""Other databases, users, ports and virtual hosts on the same server."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit


def with_database(pg_url: str, database: str) -> str:
    return urlunsplit(urlsplit(pg_url)._replace(path=f"/{database}"))


def with_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{host}"))


def with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{port}"))


def with_hosts(pg_url: str, *ports: int) -> str:
    """Name several servers on loopback in one URL."""
    parts = urlsplit(pg_url)
    credentials, at, _ = parts.netloc.rpartition("@")
    places = ",".join(f"127.0.0.1:{port}" for port in ports)
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}{places}", query="target_session_attrs=read-write"))


def with_vhost(amqp_url: str, vhost: str) -> str:
    return urlunsplit(urlsplit(amqp_url)._replace(path=f"/{quote(vhost, safe='')}"))


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
