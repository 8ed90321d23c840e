"""Any REST target, by configuration: one call for each event or for many, judged by its answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from adapters import path_template
from adapters.answers import Answer, NoAnswer, classify_no_answer
from adapters.http_client import user_agent
from adapters.http_target import HttpTarget, overlaid
from adapters.rest_asking import check_url, checked, ended, found, job_url, look_up_url
from adapters.rest_batch import body_of, outcomes, whole_outcome
from adapters.rest_classify import Call, classify
from adapters.rest_render import RestRequest, rendered
from adapters.rest_settings import ANY_TYPE, Operation, RestSettings
from adapters.rest_shapes import Batch
from adapters.rest_totals import totals_page, totals_url
from outbox.model.adapter import Capabilities, Delivery, Request
from outbox.model.errors import MappingError
from outbox.model.outcome import Configuration, Found, NotTold, Reached, Receipt
from outbox.model.recovery import Asking, LookupThenCreate, NoRecovery
from outbox.model.totals import TargetPage, Window

_MAX_PATH_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class _Way:
    """An operation, and what follows for all its calls. ``call`` lacks the secrets and the document of one."""

    operation: Operation
    capabilities: Capabilities
    is_repeatable: bool
    call: Call


class RestAdapter:
    """One connection to one REST target. Satisfies `outbox.model.adapter.Adapter`."""

    def __init__(self, settings: RestSettings, target: HttpTarget) -> None:
        self._settings = settings
        self._target = target
        self._base_url = target.base_url
        version = settings.api_version
        self._version = user_agent() if version is None else f"{user_agent()} api {version.name}"
        self._ways = {name: self._way_for(operation) for name, operation in settings.operations.items()}
        self._max_batch = max(_max_batch(operation) for operation in settings.operations.values())
        self._settings_secrets = settings.secrets()

    def capabilities(self, event_type: str) -> Capabilities:
        """Return what the operation for this event type declares."""
        return self._way(event_type).capabilities

    def max_batch(self) -> int:
        """Return how many requests one call takes at most."""
        return self._max_batch

    def render(self, delivery: Delivery) -> RestRequest:
        """Return the call for a delivery: the same delivery always gives the same bytes.

        Raises:
            MappingError: there is no operation for the type, or the document lacks a field of the path.
        """
        return rendered(delivery, self._way(delivery.type).operation, self._settings, self._base_url)

    async def send(self, requests: Sequence[Request], *, leave_by: float, traceparent: str | None) -> Sequence[Receipt]:
        """Send requests that `render` made, once.

        Raises:
            TypeError: a request is not from `render`, so nothing says how to judge its answer.
        """
        ours = [request for request in requests if isinstance(request, RestRequest)]
        if len(ours) != len(requests):
            raise TypeError("a REST request must come from render()")
        batch = self._way(ours[0].event_type).operation.batch
        if batch is None:
            return [await self._send(request, leave_by, traceparent) for request in ours]
        return await self._send_batch(ours, batch, leave_by, traceparent)

    async def look_up(
        self, event_type: str, reference: str, *, leave_by: float, request: Request | None = None
    ) -> Found:
        """Ask for a record as the operation's ``look_up`` says."""
        question = self._way(event_type).operation.look_up
        if question is None:
            return Found(NotTold(Configuration(f"{event_type}: this operation has no look_up")))
        came = await self._ask(look_up_url(self._base_url, question, reference), leave_by)
        document = request.document if isinstance(request, RestRequest) else None
        call = self._question(f"GET {question.path[:_MAX_PATH_CHARACTERS]}", [reference, document])
        return found(came, replace(call, rules=self._settings.rules), question, reference, document)

    async def poll(self, event_type: str, job: str, *, leave_by: float) -> Receipt:
        """Ask for a job as the operation's ``job`` says."""
        request, url = self._way(event_type).operation.job, job_url(self._base_url, job)
        if request is None or url is None:
            return Receipt(Configuration(f"{event_type}: the job's address is not one of this target"))
        came = await self._ask(url, leave_by)
        return ended(came, self._question("GET job", job), request)

    async def check(self) -> Reached | NotTold | None:
        """Ask what the adapter's ``check`` says."""
        request = self._settings.check
        if request is None:
            return None
        came = await self._ask(check_url(self._base_url, request), math.inf)
        call = self._question(f"GET {request.path[:_MAX_PATH_CHARACTERS]}", "")
        return checked(came, replace(call, rules=self._settings.rules), request)

    async def totals(self, window: Window, page: str | None, *, leave_by: float) -> TargetPage | NotTold | None:
        """Ask what the adapter's ``totals`` says, a page at a time."""
        request = self._settings.totals
        if request is None:
            return None
        came = await self._ask(totals_url(self._base_url, request, window, page), leave_by)
        call = self._question(f"GET {request.path[:_MAX_PATH_CHARACTERS]}", "")
        return totals_page(came, replace(call, rules=self._settings.rules), request, self._base_url, page)

    async def close(self) -> None:
        """Close the connections."""
        await self._target.close()

    async def _ask(self, url: str, leave_by: float) -> Answer | NoAnswer:
        headers = overlaid({"Accept": "application/json"}, self._settings.headers)
        version = self._settings.api_version
        if version is not None and version.header is not None:
            headers[version.header] = version.name
        return await self._target.call(Request("GET", url, b"", headers), is_repeatable=True, leave_by=leave_by)

    async def _send(self, request: RestRequest, leave_by: float, traceparent: str | None) -> Receipt:
        is_repeatable = self._way(request.event_type).is_repeatable
        came = await self._target.call(request, is_repeatable=is_repeatable, leave_by=leave_by, traceparent=traceparent)
        # Afterwards: by now the token is known that a reason must not repeat.
        call = self._call(request)
        if isinstance(came, Answer):
            return Receipt(classify(came, call), http_status=came.status)
        return Receipt(classify_no_answer(came, call.label, call.secrets), http_status=came.status)

    async def _send_batch(
        self, requests: Sequence[RestRequest], batch: Batch, leave_by: float, traceparent: str | None
    ) -> Sequence[Receipt]:
        first = requests[0]
        together = replace(first, body=body_of([request.body for request in requests], batch.records))
        is_repeatable = self._way(first.event_type).is_repeatable
        came = await self._target.call(
            together, is_repeatable=is_repeatable, leave_by=leave_by, traceparent=traceparent
        )
        call = self._call(first)
        is_shared = len(requests) > 1
        if isinstance(came, NoAnswer):
            failure = classify_no_answer(came, call.label, call.secrets)
            return [Receipt(failure, came.status, is_shared)] * len(requests)
        documents = [request.document for request in requests]
        whole = whole_outcome(came, replace(call, document=documents))
        if whole is not None:
            return [Receipt(whole, came.status, is_shared)] * len(requests)
        return [Receipt(outcome, came.status) for outcome in outcomes(came, call, batch, documents)]

    def _question(self, label: str, about: object) -> Call:
        return Call(
            label=label,
            is_repeatable=True,
            addresses_record=True,
            statuses=self._settings.statuses,
            secrets=self._secrets(),
            document=about,
        )

    def _secrets(self) -> tuple[str, ...]:
        return (*self._target.secrets(), *self._settings_secrets)

    def _way(self, event_type: str) -> _Way:
        way = self._ways.get(event_type) or self._ways.get(ANY_TYPE)
        if way is None:
            existing = ", ".join(repr(name) for name in self._ways)
            raise MappingError(
                "(event type)",
                f"no operation for event type {event_type!r}; adapter.operations has {existing}",
            )
        return way

    def _way_for(self, operation: Operation) -> _Way:
        settings = self._settings
        recovery = settings.recovery_of(operation)
        is_repeatable = not isinstance(recovery, NoRecovery | LookupThenCreate)
        return _Way(
            operation,
            Capabilities(
                recovery=recovery,
                version=self._version,
                asking=Asking(operation.settle) if operation.look_up is not None else None,
                max_batch=_max_batch(operation),
                is_atomic=operation.batch is not None and operation.batch.atomic,
            ),
            is_repeatable,
            Call(
                label=f"{operation.method} {operation.path[:_MAX_PATH_CHARACTERS]}",
                is_repeatable=is_repeatable,
                addresses_record=path_template.has_placeholder(operation.path),
                is_job=operation.job is not None,
                external_id=operation.external_id,
                rules=(*operation.rules, *settings.rules),
                statuses=settings.statuses,
            ),
        )

    def _call(self, request: RestRequest) -> Call:
        return replace(self._way(request.event_type).call, secrets=self._secrets(), document=request.document)


def _max_batch(operation: Operation) -> int:
    return 1 if operation.batch is None else operation.batch.max
