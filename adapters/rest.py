"""Any REST target, by configuration: one call for each event, judged by its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from adapters import path_template
from adapters.answers import Answer, NoAnswer, classify_no_answer
from adapters.http_client import user_agent
from adapters.http_target import HttpTarget, overlaid
from adapters.json_text import dig, encode
from adapters.rest_asking import ended, found, job_url, look_up_url
from adapters.rest_classify import Call, classify
from adapters.rest_settings import Operation, RestSettings
from outbox.model.adapter import Capabilities, Delivery, Request
from outbox.model.connection import Connection
from outbox.model.errors import MappingError
from outbox.model.outcome import Configuration, Found, NotTold, Receipt
from outbox.model.recovery import Asking, LookupThenCreate, NoRecovery

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
        self._target = HttpTarget(connection, keeps_connections=settings.idempotency is not None)
        self._base_url = self._target.base_url

    def supports(self, event_type: str) -> bool:
        """Say whether an operation is configured for this event type, or one for any."""
        return bool({event_type, _ANY_TYPE} & self._settings.operations.keys())

    def capabilities(self, event_type: str) -> Capabilities:
        """Return what the operation for this event type declares."""
        operation = self._operation(event_type)
        return Capabilities(
            recovery=self._settings.recovery_of(operation),
            version=user_agent(),
            asking=Asking(operation.settle) if operation.look_up is not None else None,
        )

    def max_batch(self) -> int:
        """Return how many requests one call takes at most."""
        return 1

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
        headers = overlaid(headers, self._settings.headers)
        if self._settings.idempotency is not None:
            key = quote(delivery.idempotency_key, safe=_KEY_SAFE)
            headers[self._settings.idempotency.header] = f'"{key}"' if self._settings.idempotency.quoted else key
        path = path_template.fill(operation.path, delivery.document)
        return RestRequest(
            method=operation.method,
            url=self._base_url + path,
            body=body,
            headers=headers,
            reference=_reference(operation, path, delivery.document),
            operation=operation,
            document=delivery.document,
        )

    async def send(self, requests: Sequence[Request], *, traceparent: str | None) -> Sequence[Receipt]:
        """Send a request that `render` made, once.

        Raises:
            TypeError: the request is not from `render`, so nothing says how to judge its answer.
        """
        receipts = []
        for request in requests:
            if not isinstance(request, RestRequest):
                raise TypeError("a REST request must come from render()")
            receipts.append(await self._send(request, traceparent))
        return receipts

    async def look_up(self, event_type: str, reference: str) -> Found:
        """Ask for a record as the operation's ``look_up`` says."""
        request = self._operation(event_type).look_up
        if request is None:
            return Found(NotTold(Configuration(f"{event_type}: this operation has no look_up")))
        call = self._question(f"GET {request.path[:_MAX_PATH_CHARACTERS]}", reference)
        return found(await self._ask(look_up_url(self._base_url, request, reference)), call, request, reference)

    async def poll(self, event_type: str, job: str) -> Receipt:
        """Ask for a job as the operation's ``job`` says."""
        request, url = self._operation(event_type).job, job_url(self._base_url, job)
        if request is None or url is None:
            return Receipt(Configuration(f"{event_type}: the job's address is not one of this target"))
        return ended(await self._ask(url), self._question("GET job", job), request)

    async def _ask(self, url: str) -> Answer | NoAnswer:
        headers = overlaid({"Accept": "application/json"}, self._settings.headers)
        return await self._target.call(Request("GET", url, b"", headers))

    async def _send(self, request: RestRequest, traceparent: str | None) -> Receipt:
        came = await self._target.call(request, traceparent=traceparent)
        call = self._call(request)
        if isinstance(came, Answer):
            return Receipt(classify(came, call), http_status=came.status)
        return Receipt(classify_no_answer(came, call.label, call.secrets), http_status=came.status)

    def _question(self, label: str, about: str) -> Call:
        return Call(
            label=label,
            is_repeatable=True,
            addresses_record=True,
            statuses=self._settings.statuses,
            secrets=self._secrets(),
            document=about,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._target.close()

    def _secrets(self) -> tuple[str, ...]:
        return (*self._target.secrets(), *self._settings.secrets())

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
            is_repeatable=not isinstance(self._settings.recovery_of(request.operation), NoRecovery | LookupThenCreate),
            addresses_record=path_template.has_placeholder(request.operation.path),
            is_job=request.operation.job is not None,
            external_id=request.operation.external_id,
            statuses=self._settings.statuses,
            secrets=self._secrets(),
            document=request.document,
        )


def build(settings: RestSettings, connection: Connection) -> RestAdapter:
    """Return an adapter for a flow."""
    return RestAdapter(settings, connection)


def _reference(operation: Operation, path: str, document: Mapping[str, object]) -> str | None:
    """Return the name of the record, by which the target can be asked for it.

    Raises:
        MappingError: the document has no text or whole number where it is said to be.
    """
    if operation.reference is None:
        return path if path_template.has_placeholder(operation.path) else None
    value = dig(document, operation.reference)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise MappingError(
            operation.reference, "is no text or whole number, and the target is asked for the record by it"
        )
    return str(value)
