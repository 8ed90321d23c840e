"""Writes notices as mail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib

from outbox.alerts.undelivered import Undelivered
from outbox.model.network import network_reason, tls_problem
from outbox.model.notices import Message

_QUIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in. ``is_tls``: from the first byte; ``is_upgraded``: after STARTTLS, or not at all."""

    host: str
    port: int | None
    user: str | None
    password: str | None
    is_tls: bool
    is_upgraded: bool


class MailChannel:
    """One server and sender. A connection for each message: minutes lie between two of them."""

    def __init__(self, server: MailServer, *, sender: str, timeout_seconds: float) -> None:
        self._server = server
        self._sender = sender
        self._timeout_seconds = timeout_seconds

    async def send(self, message: Message, recipients: Sequence[str]) -> int:
        """Write to all of them at once; return how many of them the server refused, while it took others.

        Raises:
            Undelivered: it has taken the message for none of them, or did not say so in time.
        """
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.is_tls,
            start_tls=server.is_upgraded,
            # Its own look at the name of this host blocks the loop.
            local_hostname=socket.gethostname(),
            timeout=self._timeout_seconds,
        )
        try:
            # Its time-outs are for each command, and its own context would say goodbye to a server that hangs.
            async with asyncio.timeout(self._timeout_seconds):
                await client.connect()
                refused, _ = await client.send_message(self._mail(message, recipients), recipients=list(recipients))
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = sorted({one.code for one in error.recipients})
            raise Undelivered(f"the mail server took none of the recipients ({', '.join(map(str, codes))})") from None
        except aiosmtplib.SMTPResponseException as error:
            # Its text may quote what we have said, and so a password.
            raise Undelivered(f"the mail server answered {error.code} ({type(error).__name__})") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise Undelivered(_reason(error)) from None
        except ValueError:
            raise Undelivered("its host, user or password cannot be sent as it is written") from None
        else:
            # The message is theirs already, whatever becomes of this.
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(_QUIT_SECONDS):
                    await client.quit()
        finally:
            client.close()
        return len(refused)

    def _mail(self, message: Message, recipients: Sequence[str]) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self._sender, ", ".join(recipients), message.subject
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=self._sender.partition("@")[2])
        # RFC 3834: no machine answers it.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return tls_problem(error) or network_reason(error)
