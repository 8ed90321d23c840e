"""RabbitMQ's errors become ours, once, by class and reply code; a nack or a lost confirm is never taken for an ack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
)
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed

from outbox.model.errors import AccessRefused, Misconfigured, OutboxError, PublishNotConfirmed, Unavailable


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
            return Unavailable(server, f"{error}; it is declared again")
        case DeliveryError():
            return PublishNotConfirmed(f"{server} refused a message: {error}")
        case TimeoutError():
            return Unavailable(server, str(error) or "no answer in time")
        case _:
            return Unavailable(server, str(error) or type(error).__name__)
