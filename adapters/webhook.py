"""Signed webhooks (Standard Webhooks 1.0.0): one POST for each event, believed by its status alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from adapters.answers import SEE_ELSEWHERE, THEN_CLOSE, Answer, classify_no_answer
from adapters.http_client import user_agent
from adapters.http_target import HttpTarget, overlaid
from adapters.json_text import MISSING, dig, encode
from adapters.retry_after import retry_after_seconds
from adapters.settings_parts import secret_values
from adapters.webhook_settings import WebhookSettings
from outbox.model.adapter import Capabilities, Delivery, Request
from outbox.model.errors import MappingError
from outbox.model.outcome import (
    Applied,
    Configuration,
    CredentialsExpired,
    Found,
    NotTold,
    Outcome,
    Receipt,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
    Unknown,
)
from outbox.model.recovery import IdempotencyKey, NoRecovery
from outbox.model.standard_webhooks import ID, message_id, signature

_LABEL = "webhook"


class WebhookAdapter:
    """One receiver. Satisfies `outbox.model.adapter.Adapter`."""

    def __init__(self, settings: WebhookSettings, target: HttpTarget) -> None:
        self._settings = settings
        self._keys = settings.keys()
        self._target = target
        # Without a path the address is taken as it was written: receivers tell /hook from /hook/.
        base = target.connection.base_url if settings.path is None else target.base_url + settings.path
        query = urlencode(settings.query, quote_via=quote)
        self._url = f"{base}?{query}" if query else base

    def capabilities(self, _event_type: str) -> Capabilities:
        """Return what the receiver promises; that it deduplicates is its promise and not the standard's."""
        remembers = self._settings.remembers
        recovery = NoRecovery() if remembers is None else IdempotencyKey(remembers, self._settings.margin)
        return Capabilities(recovery=recovery, version=user_agent())

    def max_batch(self) -> int:
        """One call tells one event."""
        return 1

    def render(self, delivery: Delivery) -> Request:
        """Return the call, but for the proof: that belongs to the try.

        Raises:
            MappingError: the document cannot be written, or lacks the envelope's timestamp.
        """
        headers = overlaid({"Content-Type": "application/json"}, self._settings.headers)
        # Not the message's id alone: two flows may tell one receiver of the same event, and a request that was changed
        # after it was refused must not be taken for the refused one.
        headers[ID] = message_id(delivery.idempotency_key)
        return Request("POST", self._url, self._body(delivery), headers)

    async def send(self, requests: Sequence[Request], *, leave_by: float, traceparent: str | None) -> Sequence[Receipt]:
        """Send a request that `render` made, once."""
        return [await self._send(request, leave_by, traceparent) for request in requests]

    async def look_up(
        self,
        _event_type: str,
        _reference: str,
        *,
        leave_by: float,  # noqa: ARG002 - nothing leaves
        request: Request | None = None,  # noqa: ARG002
    ) -> Found:
        """Say that a receiver cannot be asked."""
        return Found(NotTold(Configuration(f"{_LABEL}: a receiver cannot be asked what it has")))

    async def poll(self, _event_type: str, _job: str, *, leave_by: float) -> Receipt:  # noqa: ARG002 - nothing leaves
        """Say that a receiver has no jobs."""
        return Receipt(Configuration(f"{_LABEL}: a receiver has no jobs"))

    async def check(self) -> None:
        """Ask nothing: whatever a receiver gets is an event to it."""

    async def totals(self, _window: object, _page: str | None, *, leave_by: float) -> None:
        """Say that a receiver cannot be asked what it has."""

    async def close(self) -> None:
        """Close the connections."""
        await self._target.close()

    def _body(self, delivery: Delivery) -> bytes:
        if self._settings.body == "payload":
            return delivery.payload
        if self._settings.body == "document":
            return encode(delivery.document)
        envelope: dict[str, object] = {"type": delivery.type}
        path = self._settings.timestamp
        if path is not None:
            timestamp = dig(delivery.document, path)
            if timestamp is MISSING or timestamp is None:
                raise MappingError(path, "is missing, and the envelope's timestamp is taken from it")
            envelope["timestamp"] = timestamp
        return encode(envelope | {"data": delivery.document})

    async def _send(self, request: Request, leave_by: float, traceparent: str | None) -> Receipt:
        # The receiver compares with its own clock; ours is kept by the machine and read for nothing else.
        signed = signature(self._keys, request.headers[ID], int(time.time()), request.body)
        is_repeatable = self._settings.remembers is not None
        came = await self._target.call(
            request, is_repeatable=is_repeatable, leave_by=leave_by, traceparent=traceparent, signature=signed
        )
        if not isinstance(came, Answer):
            return Receipt(classify_no_answer(came, _LABEL, self._secrets()), came.status)
        return Receipt(classify(came, is_repeatable=is_repeatable), came.status)

    def _secrets(self) -> tuple[str, ...]:
        settings = self._settings
        return (*self._target.secrets(), *secret_values(settings.headers), *settings.query.values())


def classify(answer: Answer, *, is_repeatable: bool) -> Outcome:
    """Decide what a status means; a receiver's body says nothing that is agreed on.

    A refusal is tried again by the schedule and not a dead letter at once: receivers answer 400 for a signature that
    they do not know, and mend themselves. ``is_repeatable``: the receiver recognises what it has seen.
    """
    status, after_seconds = answer.status, retry_after_seconds(answer.headers)
    reason = f"{_LABEL}: answered {status}"
    match status:
        case _ if 200 <= status < 300:  # noqa: PLR2004 - the class of statuses
            return Applied()
        case _ if 300 <= status < 400:  # noqa: PLR2004 - the class of statuses
            return _redirect(status, after_seconds, is_repeatable=is_repeatable)
        case 401 if answer.is_login_stale:
            return CredentialsExpired(f"{reason}; the token is fetched anew")
        case 401 | 403:
            return Configuration(f"{reason}: the receiver does not accept our signature or login")
        case 404 | 405:
            return Configuration(f"{reason}: there is no webhook at this address; is it right?")
        case 410:
            return Configuration(
                f"{reason}: the receiver has disabled this webhook; "
                'ask its owner; once it is enabled there, "outbox circuit close" of this flow',
                is_final=True,
            )
        case 413:
            return Rejected(f"{reason}: the event is too large for the receiver")
        case 429:
            return Throttled(reason, after_seconds)
        case 503 if is_repeatable:
            return TargetDown(reason, after_seconds)
        case 502 | 504:
            # Gateways say this of requests that they may have delivered.
            return Unknown(reason, after_seconds)
        case _ if 400 <= status < 500:  # noqa: PLR2004 - the class of statuses
            return Retry(reason, after_seconds, is_key_in_use=status == 409)  # noqa: PLR2004 - the one of a conflict
        case _:
            return Unknown(reason, after_seconds, is_failure=status >= 500)  # noqa: PLR2004 - the same


def _redirect(status: int, after_seconds: float | None, *, is_repeatable: bool) -> Outcome:
    reason = f"{_LABEL}: answered {status}: a redirect, which is not followed"
    if status not in SEE_ELSEWHERE:
        return Configuration(f"{reason}; is the address right?")
    reason += ", perhaps after the event was taken; is the address right?"
    if not is_repeatable:
        reason += f" {THEN_CLOSE}"
    return Unknown(reason, after_seconds, needs_a_person=True, is_final=not is_repeatable)
