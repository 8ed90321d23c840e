"""An AMQP URL that may name several hosts: ``amqp://user:password@a:5672,b:5672/vhost``. Never shows a password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}

_AUTHORITY = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AmqpUrl:
    """The parts of a URL; ``credentials`` and ``query`` are as they were written."""

    scheme: str
    credentials: str
    hosts: tuple[str, ...]
    path: str
    query: str

    @classmethod
    def parse(cls, url: str) -> AmqpUrl:
        """Take a URL apart.

        Raises:
            ValueError: it is no AMQP URL, or a host of it is none; the text quotes nothing of it.
        """
        match = _AUTHORITY.fullmatch(url)
        if match is None or match["scheme"] not in DEFAULT_PORTS:
            raise ValueError("not an AMQP URL")
        # Whatever stands before the last @ is user and password, commas included.
        credentials, _, hosts = match["authority"].rpartition("@")
        tail = urlsplit(match["rest"])
        parsed = cls(match["scheme"], credentials, tuple(hosts.split(",")), tail.path, tail.query)
        for host in parsed.hosts:
            if not _is_host(host):
                raise ValueError("a host is missing, or its port is no number")
        return parsed

    def single(self, host: str) -> str:
        """Return the URL of one of the hosts."""
        at = "@" if self.credentials else ""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.credentials}{at}{host}{self.path}{query}"

    @property
    def is_encrypted(self) -> bool:
        """Say whether the connection is made with TLS."""
        return self.scheme == "amqps"

    @property
    def user(self) -> str | None:
        """Return the user, decoded."""
        return unquote(self.credentials.partition(":")[0]) or None

    @property
    def password(self) -> str | None:
        """Return the password, decoded; None when the URL has none."""
        _, colon, password = self.credentials.partition(":")
        return unquote(password) if colon else None

    @property
    def vhost(self) -> str:
        """Return the virtual host, decoded."""
        return unquote(self.path.removeprefix("/")) or "/"

    @property
    def login(self) -> str | None:
        """Return what the URL says about how to log in (``auth=external``)."""
        values = parse_qs(self.query).get("auth")
        return values[-1].lower() if values else None

    def shown(self, host: str) -> str:
        """Return one host with its port, as people write it."""
        is_bracketed_only = host.endswith("]")
        return host if ":" in host and not is_bracketed_only else f"{host}:{DEFAULT_PORTS[self.scheme]}"


def _is_host(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        return bool(parts.hostname) and parts.port != 0 and parts.netloc == host
    except ValueError:
        return False
