"""Posts notices to a chat or a program. The address is often the key to it, so it appears in no error."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

import aiohttp

from outbox.alerts.undelivered import Undelivered
from outbox.model.network import network_reason, tls_problem
from outbox.model.notices import Message

# How Slack wants what could be its markup; others show it as it was.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class PostChannel:
    """One address. A connection for each message: minutes lie between two of them."""

    def __init__(self, url: str, *, form: Literal["slack", "json"], token: str | None, timeout_seconds: float) -> None:
        self._url = url
        self._form = form
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout_seconds = timeout_seconds

    async def send(self, message: Message, recipients: Sequence[str]) -> int:  # noqa: ARG002 - who reads it, the address says
        """Post a message; return 0, because nobody of several can refuse it.

        Raises:
            Undelivered: it was not answered with success in time.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                aiohttp.ClientSession(headers=self._headers) as session,
                session.post(self._url, json=self._body(message), allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            # No `from`: they quote the address.
            raise Undelivered("its address is none that can be called") from None
        except aiohttp.ClientResponseError:
            # It quotes the address as well, and what was answered.
            raise Undelivered("its answer is not HTTP") from None
        except ValueError:
            # Told when it is to be sent: a name that no resolver takes, a user, password or token that no header does.
            raise Undelivered("its host, user, password or token cannot be sent as it is written") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Undelivered(tls_problem(error) or network_reason(error)) from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise Undelivered(f"it answered {status}")
        return 0

    def _body(self, message: Message) -> dict[str, object]:
        text = f"{message.subject}\n\n{message.text}"
        if self._form == "slack":
            return {"text": text.translate(_ESCAPES)}
        return {"subject": message.subject, "text": message.text, **message.document}
