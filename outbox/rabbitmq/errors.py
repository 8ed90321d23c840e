"""RabbitMQ's errors become ours, once, by class and reply code; a nack or a lost confirm is never taken for an ack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
)
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed, InvalidFrameError

from outbox.model.errors import AccessRefused, Misconfigured, OutboxError, PublishNotConfirmed, Unavailable
from outbox.model.network import NO_TLS, network_reason, tls_problem
from outbox.rabbitmq.tls import Tls

_CHECK_EXTERNAL = (
    "enable the plugin rabbitmq_auth_mechanism_ssl with auth_mechanisms EXTERNAL, and create the user that the "
    "certificate names (ssl_cert_login_from)"
)
_CHECK_VHOST = "check the virtual host at the end of rabbitmq.url (%2F is the default one) and that the user may use it"


@dataclass(frozen=True, slots=True)
class Opening:
    """A connection that is being opened: to whom, with which files, and whether our certificate is the login."""

    server: str
    tls: Tls
    is_by_certificate: bool = False


@contextmanager
def opening_errors(opening: Opening) -> Iterator[None]:
    """Translate what aio-pika raises while a connection is opened, where some of it means something else.

    Raises:
        OutboxError: the matching one, with the original as its cause.
    """
    try:
        with rabbitmq_errors(opening.server):
            yield
    except Unavailable as error:
        problem = tls_problem(error)
        if problem is not None:
            raise Misconfigured(f"{opening.server}: {problem}", _tls_step(problem, opening.tls)) from error
        if isinstance(error.__cause__, InvalidFrameError):
            # The broker answers "open this virtual host" with a close, and the library loses code and text of it.
            raise AccessRefused(f"{opening.server}: the virtual host was refused", _CHECK_VHOST) from error
        raise
    except AccessRefused as error:
        if opening.is_by_certificate and isinstance(error.__cause__, AuthenticationError | ProbableAuthenticationError):
            raise AccessRefused(f"{opening.server} refused our certificate as a login", _CHECK_EXTERNAL) from error
        raise


def _tls_step(problem: str, tls: Tls) -> str:
    if problem == NO_TLS:
        return "check scheme (amqp:// or amqps://), host and port in rabbitmq.url"
    return f"check host and port in rabbitmq.url, and {tls.files()}"


@contextmanager
def rabbitmq_errors(server: str) -> Iterator[None]:
    """Translate what aio-pika raises.

    Args:
        server: how people call this server ("RabbitMQ at mq:5672/"); never with a password.

    Raises:
        OutboxError: the matching one, with the original as its cause.
    """
    try:
        yield
    except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError, EOFError) as error:
        raise _translate(server, error) from error


def _translate(server: str, error: Exception) -> OutboxError:
    match error:
        case AuthenticationError() | ProbableAuthenticationError():
            return AccessRefused(f"{server} refused user or password", "check them in rabbitmq.url (OUTBOX_AMQP_URL)")
        case ConnectionNotAllowed():
            return AccessRefused(
                f"{server}: {error}",
                "check the virtual host at the end of rabbitmq.url (%2F is the default), and the user's right to it",
            )
        case ChannelAccessRefused():
            return AccessRefused(
                f"{server}: {error}", "give the user configure, write and read on what the message names"
            )
        case ChannelPreconditionFailed():
            return Misconfigured(
                f"{server}: {error}",
                "what it names exists with other settings: delete it when it is empty, or declare it as expected",
            )
        case ChannelNotFoundEntity():
            return Unavailable(server, f"{error}; it is looked for or declared again")
        case DeliveryError():
            return PublishNotConfirmed(f"{server} refused a message: {error}")
        case _:
            return Unavailable(server, network_reason(error))
