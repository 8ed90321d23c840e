"""TLS to one target: its own authority, our own certificate. Files that were rotated are picked up by themselves."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from outbox.model.connection import TlsFiles

_Stamp = tuple[tuple[int, int, int], ...]


class TlsUnusable(Exception):
    """A file cannot be used; the text names the setting and the path, nothing of the content."""


class Tls:
    """The context for new connections; made anew when a file has changed since."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._made: tuple[_Stamp, ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a connection needs. The target's certificate and host name are always verified.

        Raises:
            TlsUnusable: with the reason.
        """
        stamp = self._stamp()
        if self._made is None or self._made[0] != stamp:
            self._made = (stamp, self._read())
        return self._made[1]

    def _stamp(self) -> _Stamp:
        stamps = []
        for name, path in self._paths():
            try:
                found = Path(path).stat()
            except OSError as error:
                raise TlsUnusable(f"tls.{name}: cannot read the file {path}: {_why(error)}") from error
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)

    def _paths(self) -> list[tuple[str, str]]:
        named = (
            ("ca_file", self._files.ca_file),
            ("cert_file", self._files.cert_file),
            ("key_file", self._files.key_file),
        )
        return [(name, path) for name, path in named if path is not None]

    def _read(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self._files.ca_file)
        except ssl.SSLError as error:
            raise TlsUnusable(f"tls.ca_file: {self._files.ca_file} holds no certificate in PEM form") from error
        except OSError as error:
            raise TlsUnusable(f"tls.ca_file: cannot read the file {self._files.ca_file}: {_why(error)}") from error
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        if self._files.cert_file is not None:
            self._identify(context, self._files.cert_file)
        return context

    def _identify(self, context: ssl.SSLContext, cert_file: str) -> None:
        key_file = self._files.key_file or cert_file
        try:
            # Without a callback OpenSSL would ask the terminal and wait there for ever.
            context.load_cert_chain(cert_file, self._files.key_file, password=_refuse_to_ask)
        except _EncryptedKeyError as error:
            raise TlsUnusable(f"tls.key_file: {key_file} is encrypted; store it without a passphrase") from error
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TlsUnusable(f"tls: the key in {key_file} does not belong to {cert_file}") from error
            raise TlsUnusable(f"tls: {cert_file} with {key_file} is no certificate with its key in PEM form") from error
        except OSError as error:
            raise TlsUnusable(f"tls: cannot read {cert_file} or {key_file}: {_why(error)}") from error


class _EncryptedKeyError(Exception):
    """The key needs a passphrase."""


def _refuse_to_ask() -> NoReturn:
    raise _EncryptedKeyError


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
