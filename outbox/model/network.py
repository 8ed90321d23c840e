"""What an error of the network says to people. Pure: it looks at the error and its causes, and opens nothing."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

NO_TLS = "it does not speak TLS at this port"
# How the versions of OpenSSL call an answer that is not TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})

# What the other side says about us, by its alert; with TLS 1.3 it comes with the first byte that we read.
_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a client certificate, and got none that it knows",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it agrees to no common TLS version, or asks for a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority of our client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our client certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it does not accept our client certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our client certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our client certificate is revoked",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our client certificate has expired",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it agrees to no common TLS version",
}


def network_reason(error: BaseException) -> str:
    """Return one line that says what was seen."""
    if any(isinstance(one, socket.gaierror) for one in _with_causes(error)):
        return "the host name cannot be resolved"
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def listening_reason(error: OSError) -> str:
    """Return one line that says why nobody can listen at an address."""
    # The loop's own sentence repeats the address; a failed look-up has a number that is no errno.
    return os.strerror(error.errno).lower() if error.errno is not None and error.errno > 0 else network_reason(error)


def tls_problem(error: BaseException) -> str | None:
    """Return what a person must mend before TLS can work; None when it is not TLS, or may pass by itself."""
    for one in _with_causes(error):
        # aiohttp wraps these in classes of the same family that lack the attributes; the cause has them.
        message, reason = getattr(one, "verify_message", None), getattr(one, "reason", None)
        if isinstance(one, ssl.SSLCertVerificationError) and message:
            return f"its certificate is not accepted: {message}"
        if isinstance(one, ssl.SSLError) and reason in _NOT_TLS:
            return NO_TLS
        if isinstance(one, ssl.SSLError) and reason in _ALERTS:
            return _ALERTS[reason]
    return None


def was_cut_off(error: BaseException) -> bool:
    """Say whether the other side cut the connection off."""
    return any(isinstance(one, ConnectionResetError | BrokenPipeError | EOFError) for one in _with_causes(error))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
