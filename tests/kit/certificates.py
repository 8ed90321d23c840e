"""Certificates made on the spot: an authority, a server's, and clients' that are right or wrong in one way."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import trustme

from sandbox.privileges import give

_LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
_NOT_SO_LONG_AGO = dt.datetime(2002, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    cert: str
    key: str


class Authority:
    """An authority of a test's own; its files are in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *hosts: str, is_expired: bool = False) -> Pair:
        """Make a certificate with its key, for hosts or for a client of this name; an expired one was good long ago."""
        times = {"not_before": _LONG_AGO, "not_after": _NOT_SO_LONG_AGO} if is_expired else {}
        issued = self._ca.issue_cert(*(hosts or (f"{name}.example.com",)), common_name=name, **times)
        pair = Pair(str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key"))
        Path(pair.cert).write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        Path(pair.key).chmod(0o600)
        return pair

    def hand_over(self) -> None:
        """Let the servers read what was made up to now."""
        give(self._folder)
