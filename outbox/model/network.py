"""What an error of the network says to people. Pure: it looks at the error and its causes, and opens nothing."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

# How the versions of OpenSSL call an answer that is not TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})


def network_reason(error: BaseException) -> str:
    """Return one line that says what was seen."""
    if any(isinstance(one, socket.gaierror) for one in _with_causes(error)):
        return "the host name cannot be resolved"
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def tls_problem(error: BaseException) -> str | None:
    """Return what a person must mend before TLS can work; None when it is not TLS, or may pass by itself."""
    for one in _with_causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {one.verify_message}"
        if isinstance(one, ssl.SSLError) and one.reason in _NOT_TLS:
            return "it does not speak TLS at this port"
    return None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
