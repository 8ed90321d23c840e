"""TLS of our own making, built anew for each connection: certificates that were rotated are picked up by themselves.

The broker's certificate and host name are always verified. Files are named in errors, their content never.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

from outbox.model.errors import Misconfigured

_SETTING = "rabbitmq.tls"


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files, and the name to verify when it is not the host's."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files and return what a connection needs; blocks for as long as the files do.

        Raises:
            Misconfigured: a file cannot be read, or is not what it should be.
        """
        for field in fields(self):
            path = getattr(self, field.name)
            if field.name.endswith("_file") and path is not None:
                _check_readable(field.name, path)
        context = self._trusting()
        if self.cert_file is not None:
            self._identify(context, self.cert_file)
        return context

    def files(self) -> str:
        """Return the files with their settings, for a next step."""
        files = (("ca_file", self.ca_file), ("cert_file", self.cert_file))
        return " and ".join(f"{_SETTING}.{name} ({path or 'not set'})" for name, path in files)

    def _trusting(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca_file)
        except ssl.SSLError as error:
            raise Misconfigured(
                f"{_SETTING}.ca_file: {self.ca_file} holds no certificate",
                "it must be the PEM file of the authority that signed the broker's certificate",
            ) from error

    def _identify(self, context: ssl.SSLContext, cert_file: str) -> None:
        key_file = self.key_file or cert_file
        try:
            # Without a callback OpenSSL would ask the terminal and wait there for ever.
            context.load_cert_chain(cert_file, self.key_file, password=_refuse_to_ask)
        except _EncryptedKeyError as error:
            raise Misconfigured(
                f"{_SETTING}.key_file: {key_file} is encrypted", "store the key without a passphrase, mode 0600"
            ) from error
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise Misconfigured(
                    f"{_SETTING}: the key in {key_file} does not belong to the certificate in {cert_file}",
                    "set rabbitmq.tls.key_file to the key that the certificate was issued for",
                ) from error
            raise Misconfigured(
                f"{_SETTING}: {cert_file} with {key_file} is no certificate with its key",
                "both must be PEM files, the certificate first and then its chain",
            ) from error


class _EncryptedKeyError(Exception):
    """The key needs a passphrase."""


def _refuse_to_ask() -> NoReturn:
    raise _EncryptedKeyError


def _check_readable(name: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise Misconfigured(
            f"{_SETTING}.{name}: cannot read the file {path}: {error.strerror or type(error).__name__}",
            "correct the path, or let the user that this process runs as read it",
        ) from error
