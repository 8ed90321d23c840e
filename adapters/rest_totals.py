"""How a REST target is asked what it has in a window, and what its answers mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from adapters import path_template
from adapters.answers import Answer, NoAnswer
from adapters.json_text import MISSING, dig
from adapters.rest_asking import job_url, untold
from adapters.rest_classify import Call
from adapters.rest_shapes import checked_path
from adapters.settings_parts import DottedPath
from outbox.model.connection import broken_rule
from outbox.model.outcome import Configuration, NotTold, Retry
from outbox.model.totals import NO_CURRENCY, Record, Sum, TargetPage, Window, added, decimal_of, one

FROM, TO = "{from}", "{to}"
_MAX_NAME_CHARACTERS = 500
_ADDRESS, _PARAMETER = "address:", "parameter:"


class TotalsRequest(BaseModel):
    """How the target is asked what it has in a window; ``{from}`` and ``{to}`` stand for its ends, in UTC.

    Either it lists its records, by their ``external_id`` or ``reference``, or it tells a ``count``. ``records``: where
    the list is; without it the answer is the list, or with ``count`` the one total. ``amount``, ``currency``: of a
    record, or of a total. ``next``: where the answer has the address of the next page, or, with ``page``, what is put
    into that parameter of the query; with ``page`` alone pages are numbered from 1, and one without records is the
    last. ``dates``: whether the window goes by the time of our events, as the mapping sends it, or by that of the
    target's records.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(checked_path)]
    query: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    records: DottedPath | None = None
    count: DottedPath | None = None
    external_id: DottedPath | None = None
    reference: DottedPath | None = None
    amount: DottedPath | None = None
    currency: DottedPath | None = None
    next: DottedPath | None = None
    page: Annotated[str, Field(min_length=1)] | None = None
    dates: Literal["event", "record"] = "event"

    @model_validator(mode="after")
    def _says_what_it_tells(self) -> Self:
        told = [name for name in ("count", "external_id", "reference") if getattr(self, name) is not None]
        if len(told) != 1:
            raise broken_rule(
                "required, or count or reference: exactly one of them says what is counted", field="external_id"
            )
        if self.dates == "record" and self.count is not None:
            raise broken_rule(
                "must be event beside count: only a list tells which records belong to the window", field="dates"
            )
        return self

    @model_validator(mode="after")
    def _asks_for_a_window(self) -> Self:
        if path_template.has_placeholder(self.path):
            raise broken_rule("must have no placeholders: they belong into the query", field="path")
        if not all(any(end in value for value in self.query.values()) for end in (FROM, TO)):
            raise broken_rule(f"must have {FROM} and {TO}, or every window would have the same total", field="query")
        return self


def totals_url(base_url: str, request: TotalsRequest, window: Window, page: str | None) -> str:
    """Return the address of the question. ``page``: what the page before has said, None for the first."""
    if page is not None and page.startswith(_ADDRESS):
        return page.removeprefix(_ADDRESS)
    asked = window if request.dates == "event" else window.of_records()
    query = {
        name: value.replace(FROM, _time(asked.since)).replace(TO, _time(asked.until))
        for name, value in request.query.items()
    }
    if page is not None and request.page is not None:
        query[request.page] = page.removeprefix(_PARAMETER)
    elif request.page is not None and request.next is None:
        query[request.page] = "1"
    return f"{base_url}{request.path}?{urlencode(query, quote_via=quote)}"


def totals_page(
    came: Answer | NoAnswer, call: Call, request: TotalsRequest, base_url: str, page: str | None
) -> TargetPage | NotTold:
    """Decide what an answer tells; only an answer that could come from the target itself is believed."""
    why = untold(came, call)
    if why is not None or isinstance(came, NoAnswer):
        return NotTold(why or Retry(f"{call.label}: no answer"))
    document = came.document
    found = [document] if request.records is None and request.count is not None else document
    if request.records is not None:
        found = dig(document, request.records)
    if not isinstance(found, list):
        where = f"at {request.records}" if request.records is not None else "as its whole"
        return NotTold(Configuration(f"{call.label}: the answer has no list {where}"))
    if request.count is not None:
        return _counted(found, call, request, request.count)
    next_page = _next(document, found, request, base_url, page)
    if next_page == "":
        # Credentials go to nobody else, and half of the records would look like all of them.
        return NotTold(Configuration(f"{call.label}: the next page is of another host"))
    return _listed(found, call, request, next_page)


def _counted(found: Sequence[object], call: Call, request: TotalsRequest, count: str) -> TargetPage | NotTold:
    parts = []
    for total in found:
        number = dig(total, count)
        if not isinstance(number, str) or not number.isdecimal():
            return NotTold(Configuration(f"{call.label}: the answer has no whole number at {count}"))
        amount = None if request.amount is None else decimal_of(dig(total, request.amount))
        if request.amount is not None and amount is None and int(number):
            return NotTold(Configuration(f"{call.label}: the answer has no number at {request.amount}"))
        parts.append((_currency(total, request), Sum(int(number)) if amount is None else Sum(int(number), amount)))
    return _page(request, added(parts), None, None)


def _listed(found: Sequence[object], call: Call, request: TotalsRequest, next_page: str | None) -> TargetPage | NotTold:
    path = request.external_id or request.reference or ""
    records = []
    for one_of_them in found:
        name = dig(one_of_them, path)
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_CHARACTERS or not name.isprintable():
            return NotTold(Configuration(f"{call.label}: a record has no {path}"))
        amount = None if request.amount is None else decimal_of(dig(one_of_them, request.amount))
        records.append((name, Record(amount, _currency(one_of_them, request))))
    sums = added((record.currency, one(record.amount)) for _, record in records)
    return _page(request, sums, tuple(records), next_page)


def _page(
    request: TotalsRequest,
    sums: Mapping[str, Sum],
    records: tuple[tuple[str, Record], ...] | None,
    next_page: str | None,
) -> TargetPage:
    return TargetPage(
        sums=sums,
        records=records,
        named_by="external_id" if request.external_id is not None else "reference",
        has_amounts=request.amount is not None,
        has_currencies=request.currency is not None,
        is_of_events=request.dates == "event",
        next_page=next_page,
    )


def _next(
    document: object, found: Sequence[object], request: TotalsRequest, base_url: str, page: str | None
) -> str | None:
    """Return what to ask for next, None at the end, nothing where it leads to another host."""
    if request.next is None:
        if request.page is None or not found:
            return None
        return f"{_PARAMETER}{int((page or _PARAMETER + '1').removeprefix(_PARAMETER)) + 1}"
    told = dig(document, request.next)
    if not isinstance(told, str) or not told:
        return None
    if request.page is not None:
        return _PARAMETER + told
    url = job_url(base_url, told)
    return "" if url is None else _ADDRESS + url


def _currency(value: object, request: TotalsRequest) -> str:
    found = MISSING if request.currency is None else dig(value, request.currency)
    return found if isinstance(found, str) and found else NO_CURRENCY if request.currency is None else "?"


def _time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
