"""What went wrong with a request, for people, and who must act. Quotes nothing that was sent, and no credential."""

from __future__ import annotations

import aiohttp

from adapters.answers import Fault, NoAnswer
from adapters.http_guard import AddressRefused
from adapters.http_progress import Phase, Progress
from adapters.http_tls import TlsUnusable
from outbox.model.connection import Connection
from outbox.model.network import tls_problem

PROXY_AUTHENTICATION = 407
PROXY_REFUSES = "the proxy refuses our user or password (407)"
# The alerts by which a target refuses us as a client. With TLS 1.3 they come after our first bytes have left, and
# prove that it has read none of them.
_CERTIFICATE_REFUSED = "client certificate"


class SentAgain(Exception):
    """The HTTP library was about to send a request a second time."""


class TooLate(Exception):
    """The first byte was about to leave when it must not any more."""


def no_answer(error: Exception, progress: Progress, connection: Connection) -> NoAnswer:
    """Return what an error means for the request."""
    if not progress.was_sent:
        return NoAnswer(was_sent=False, reason=_why_not_sent(error, connection), fault=_fault(error))
    refusal = tls_problem(error)
    if progress.status is None and refusal is not None and _CERTIFICATE_REFUSED in refusal:
        return NoAnswer(was_sent=False, reason=f"the target refuses us: {refusal}", fault=Fault.CONFIGURATION)
    return NoAnswer(was_sent=True, reason=_why_no_answer(error, progress), status=progress.status)


def _why_not_sent(error: Exception, connection: Connection) -> str:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {min(connection.connect_timeout, connection.timeout):g} s"
        case aiohttp.ClientConnectorError():
            return _why_not_connected(error)
        case aiohttp.ClientHttpProxyError(status=407):
            return PROXY_REFUSES
        case aiohttp.ClientHttpProxyError():
            return f"the proxy does not lead to the target (it answered {error.status})"
        case aiohttp.InvalidURL():
            return "base_url and path make no valid URL"
        case TlsUnusable():
            return str(error)
        case TooLate():
            return "not sent: what it had to wait for took too long"
        case TimeoutError():
            return f"could not be sent within {connection.timeout:g} s"
        case _:
            return f"could not be sent ({type(error).__name__})"


def _why_not_connected(error: aiohttp.ClientConnectorError) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            detail = getattr(error.certificate_error, "verify_message", None) or "verification failed"
            return f"the target's certificate is not accepted: {detail}"
        case aiohttp.ClientConnectorDNSError():
            return f"the host name {error.host} cannot be resolved"
        case aiohttp.ClientSSLError():
            problem = tls_problem(error)
            return f"the TLS handshake with {error.host}:{error.port} failed" + (f": {problem}" if problem else "")
        case aiohttp.ClientConnectorError(os_error=AddressRefused(address=address)):
            return (
                f"{error.host} leads to {address}, which is not a public address; "
                "if it is meant, add its network to allowed_networks of the connection"
            )
        case _:
            proxy = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
            cause = error.os_error.strerror or type(error.os_error).__name__
            return f"cannot connect to {proxy}{error.host}:{error.port}: {cause}"


def _why_no_answer(error: Exception, progress: Progress) -> str:
    match error:
        case TimeoutError() if progress.phase is Phase.SENDING:
            limit = progress.limit_text(Phase.SENDING)
            return f"the target stopped reading: {progress.sent_bytes} bytes of the body were taken within {limit}"
        case TimeoutError() if progress.phase is Phase.READING:
            return f"sent, and the answer did not end within {progress.limit_text(Phase.READING)}"
        case TimeoutError():
            return f"sent, and no answer within {progress.limit_text(Phase.WAITING)}"
        case aiohttp.ClientPayloadError():
            return "sent, and the answer broke off"
        case aiohttp.ClientResponseError():
            return "sent, and the answer is not valid HTTP"
        case SentAgain() | aiohttp.ClientConnectionError():
            return "sent, and the connection was lost before the answer"
        case _:
            return f"sent, and no answer could be read ({type(error).__name__})"


def _fault(error: Exception) -> Fault:
    # Waiting heals neither a wrong certificate nor a wrong address.
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.InvalidURL() | TlsUnusable():
            return Fault.CONFIGURATION
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return Fault.CONFIGURATION
        case aiohttp.ClientSSLError() if tls_problem(error) is not None:
            return Fault.CONFIGURATION
        case TooLate():
            return Fault.BUSY
        case aiohttp.ClientHttpProxyError(status=status) if status == PROXY_AUTHENTICATION:
            return Fault.CONFIGURATION
        case _:
            return Fault.NETWORK
