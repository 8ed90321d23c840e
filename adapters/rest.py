"""Any REST target, by configuration: one call for each event, judged by its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from adapters import path_template
from adapters.answers import Answer
from adapters.http_client import HttpClient, user_agent
from adapters.json_text import encode
from adapters.rest_classify import Call, classify, classify_no_answer
from adapters.rest_settings import Operation, RestSettings
from outbox.model.adapter import Delivery, IdempotencyKey, NoRecovery, RecoveryStrategy, Request
from outbox.model.connection import Connection
from outbox.model.envelope import TRACEPARENT, is_traceparent
from outbox.model.errors import MappingError
from outbox.model.outcome import Receipt

_ANY_TYPE = "*"
_MAX_PATH_CHARACTERS = 200

# Every visible ASCII character but the two that a quoted string escapes, and the one that marks an escape.
_KEY_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\%')


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest(Request):
    """A rendered call that remembers by what its answer is judged: its operation, and what it tells the target."""

    operation: Operation
    document: Mapping[str, object] = field(repr=False)


class RestAdapter:
    """One connection to one REST target. Satisfies `outbox.model.adapter.Adapter`."""

    def __init__(self, settings: RestSettings, connection: Connection) -> None:
        self._settings = settings
        self._base_url = connection.base_url.rstrip("/")
        self._bearer = connection.bearer.get_secret_value() if connection.bearer is not None else None
        self._secrets = (*((self._bearer,) if self._bearer else ()), *settings.secrets())
        self._http = HttpClient(connection, keeps_connections=settings.idempotency is not None)
        self._user_agent = user_agent()

    def supports(self, event_type: str) -> bool:
        """Say whether an operation is configured for this event type, or one for any."""
        return bool({event_type, _ANY_TYPE} & self._settings.operations.keys())

    def recovery(self, event_type: str) -> RecoveryStrategy:  # noqa: ARG002  # the same for all operations
        """Return the idempotency key's window, or no recovery where the target knows no keys."""
        idempotency = self._settings.idempotency
        if idempotency is None:
            return NoRecovery()
        return IdempotencyKey(window_seconds=idempotency.window, margin_seconds=idempotency.margin)

    def render(self, delivery: Delivery) -> RestRequest:
        """Return the call for a delivery: the same delivery always gives the same bytes.

        Raises:
            MappingError: there is no operation for the type, or the document lacks a field of the path.
        """
        operation = self._operation(delivery.type)
        headers = {"Accept": "application/json"}
        body = b""
        # A body has no meaning for DELETE, and some servers refuse it.
        if operation.method != "DELETE":
            headers["Content-Type"] = "application/json"
            body = encode(delivery.document)
        headers = _overlaid(headers, self._settings.headers)
        if self._settings.idempotency is not None:
            key = quote(delivery.idempotency_key, safe=_KEY_SAFE)
            headers[self._settings.idempotency.header] = f'"{key}"' if self._settings.idempotency.quoted else key
        return RestRequest(
            method=operation.method,
            url=self._base_url + path_template.fill(operation.path, delivery.document),
            body=body,
            headers=headers,
            operation=operation,
            document=delivery.document,
        )

    async def send(self, request: Request, *, traceparent: str | None) -> Receipt:
        """Send a request that `render` made, once.

        Raises:
            TypeError: the request is not from `render`, so nothing says how to judge its answer.
        """
        if not isinstance(request, RestRequest):
            raise TypeError("a REST request must come from render()")
        # Nothing of this is part of the request's identity: a new version or token is still the same request.
        headers = _overlaid({"User-Agent": self._user_agent, "Accept-Encoding": "identity"}, request.headers)
        if self._bearer:
            headers["Authorization"] = f"Bearer {self._bearer}"
        if traceparent is not None and is_traceparent(traceparent):
            headers[TRACEPARENT] = traceparent
        call = self._call(request)
        came = await self._http.exchange(request, headers)
        if isinstance(came, Answer):
            return Receipt(classify(came, call), http_status=came.status)
        return Receipt(classify_no_answer(came, call), http_status=came.status)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _operation(self, event_type: str) -> Operation:
        operations = self._settings.operations
        operation = operations.get(event_type) or operations.get(_ANY_TYPE)
        if operation is None:
            existing = ", ".join(repr(name) for name in operations)
            raise MappingError(
                "(event type)",
                f"no operation for event type {event_type!r}; adapter.operations has {existing}",
            )
        return operation

    def _call(self, request: RestRequest) -> Call:
        return Call(
            label=f"{request.method} {request.operation.path[:_MAX_PATH_CHARACTERS]}",
            is_repeatable=self._settings.idempotency is not None,
            addresses_record=path_template.has_placeholder(request.operation.path),
            external_id=request.operation.external_id,
            statuses=self._settings.statuses,
            secrets=self._secrets,
            document=request.document,
        )


def build(settings: RestSettings, connection: Connection) -> RestAdapter:
    """Return an adapter for a flow."""
    return RestAdapter(settings, connection)


def _overlaid(headers: Mapping[str, str], winning: Mapping[str, str]) -> dict[str, str]:
    """Put headers over defaults. Names are compared as HTTP does, or a header would be sent twice."""
    taken = {name.lower() for name in winning}
    return {name: value for name, value in headers.items() if name.lower() not in taken} | dict(winning)
