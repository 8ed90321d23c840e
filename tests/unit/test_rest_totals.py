"""How a REST target is asked for its totals: only an answer that can be its own is believed, page by page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from pydantic import ValidationError

from adapters.answers import Answer, NoAnswer
from adapters.rest_classify import Call
from adapters.rest_rules import Rule
from adapters.rest_totals import TotalsRequest, totals_page, totals_url
from outbox.model.outcome import Configuration, NotTold, Retry, TargetDown, Throttled
from outbox.model.totals import Record, Sum, TargetPage, Window

WINDOW = Window(
    datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2026, 11, 2, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime(2026, 11, 5, tzinfo=UTC),
)
QUERY = {"since": "ge:{from}", "until": "lt:{to}"}
LIST = TotalsRequest(
    path="/deals", query=QUERY, records="deals", external_id="id", amount="amount.value", currency="amount.currency"
)
NUMBERED = LIST.model_copy(update={"page": "page"})
LINKED = LIST.model_copy(update={"next": "links.next"})
TOKEN = LIST.model_copy(update={"next": "after", "page": "cursor"})
COUNT = TotalsRequest(path="/deals/count", query=QUERY, count="meta.count", amount="meta.sum")
GROUPS = TotalsRequest(path="/totals", query=QUERY, records="rows", count="n", amount="sum", currency="currency")
CALL = Call(
    label="GET /deals", is_repeatable=True, addresses_record=True,
    rules=(Rule(path="errors", present=True, outcome="retry"),),
)  # fmt: skip
BASE = "https://crm.example.com/api"


def deal(name: object, amount: object = "1.00", currency: object = "EUR") -> dict[str, object]:
    return {"id": name, "amount": {"value": amount, "currency": currency}}


def told(request: TotalsRequest, document: object, page: str | None = None) -> TargetPage | NotTold:
    return totals_page(Answer(200, {}, json.dumps(document).encode()), CALL, request, BASE, page)


def test_a_window_is_asked_for_in_utc_and_by_record_time_with_room_for_retries_and_clocks() -> None:
    assert totals_url(BASE, LIST, WINDOW, None) == (
        f"{BASE}/deals?since=ge%3A2026-11-01T00%3A00%3A00Z&until=lt%3A2026-11-02T00%3A00%3A00Z"
    )
    by_record = LIST.model_copy(update={"dates": "record"})
    assert "2026-10-31T23%3A00%3A00Z" in totals_url(BASE, by_record, WINDOW, None)
    assert "2026-11-05T01%3A00%3A00Z" in totals_url(BASE, by_record, WINDOW, None)


def test_records_are_listed_with_their_amounts_exactly() -> None:
    body = b'{"deals": [{"id": 7, "amount": {"value": 9999999999999999999.99, "currency": "EUR"}}]}'
    page = totals_page(Answer(200, {}, body), CALL, LIST, BASE, None)
    assert isinstance(page, TargetPage)
    assert page.records == (("7", Record(Decimal("9999999999999999999.99"), "EUR")),)
    assert page.sums == {"EUR": Sum(1, Decimal("9999999999999999999.99"))}
    assert (page.next_page, page.has_amounts, page.has_currencies, page.is_of_events) == (None, True, True, True)


def test_an_amount_that_cannot_be_read_is_no_zero() -> None:
    page = told(LIST, {"deals": [deal("a", None), deal("b", "x", None)]})
    assert isinstance(page, TargetPage)
    assert page.records == (("a", Record(None, "EUR")), ("b", Record(None, "?")))
    assert page.sums == {"EUR": Sum(1, Decimal(0), 1), "?": Sum(1, Decimal(0), 1)}


def test_pages_are_numbered_until_one_is_empty() -> None:
    assert totals_url(BASE, NUMBERED, WINDOW, None).endswith("&page=1")
    first = told(NUMBERED, {"deals": [deal("a")]})
    assert isinstance(first, TargetPage)
    assert first.next_page is not None
    assert totals_url(BASE, NUMBERED, WINDOW, first.next_page).endswith("&page=2")
    last = told(NUMBERED, {"deals": []}, first.next_page)
    assert isinstance(last, TargetPage)
    assert last.next_page is None


def test_pages_follow_what_the_answer_says_but_to_no_other_host() -> None:
    linked = told(LINKED, {"deals": [], "links": {"next": "/api/deals?p=2"}})
    assert isinstance(linked, TargetPage)
    assert totals_url(BASE, LINKED, WINDOW, linked.next_page) == "https://crm.example.com/api/deals?p=2"
    for end in (None, "", "http://evil.example.com/deals"):
        page = told(LINKED, {"deals": [], "links": {"next": end}})
        if end == "http://evil.example.com/deals":
            assert isinstance(page, NotTold), "half of the records would look like all of them"
        else:
            assert isinstance(page, TargetPage)
            assert page.next_page is None
    token = told(TOKEN, {"deals": [], "after": "a b&c"})
    assert isinstance(token, TargetPage)
    assert totals_url(BASE, TOKEN, WINDOW, token.next_page).endswith("&cursor=a%20b%26c")


def test_a_target_that_only_counts_tells_one_total_or_one_for_each_currency() -> None:
    one_total = told(COUNT, {"meta": {"count": 3, "sum": "7.50"}})
    assert isinstance(one_total, TargetPage)
    assert (one_total.records, one_total.sums) == (None, {"": Sum(3, Decimal("7.50"))})
    groups = told(GROUPS, {"rows": [{"n": 1, "sum": 2, "currency": "EUR"}, {"n": 2, "sum": -3, "currency": "USD"}]})
    assert isinstance(groups, TargetPage)
    assert groups.sums == {"EUR": Sum(1, Decimal(2)), "USD": Sum(2, Decimal(-3))}


@pytest.mark.parametrize(
    ("request_", "came", "kind"),
    [
        (LIST, Answer(200, {}, b"<html>"), Retry),
        (LIST, Answer(200, {}, None), Retry),
        (LIST, Answer(200, {}, b'{"errors": ["no"], "deals": []}'), Retry),
        (LIST, Answer(200, {}, b'{"items": []}'), Configuration),
        (LIST, Answer(200, {}, b'{"deals": [{"name": "x"}]}'), Configuration),
        (LIST, Answer(200, {}, b'{"deals": ["x"]}'), Configuration),
        (COUNT, Answer(200, {}, b'{"meta": {"count": "many"}}'), Configuration),
        (COUNT, Answer(200, {}, b'{"meta": {"count": 3, "sum": null}}'), Configuration),
        (LIST, Answer(401, {}, b"{}"), Configuration),
        (LIST, Answer(429, {}, b"{}"), Throttled),
        (LIST, Answer(503, {}, b"{}"), TargetDown),
        (LIST, NoAnswer(was_sent=False, reason="refused"), TargetDown),
    ],
)
def test_what_does_not_tell_totals_is_never_taken_for_none(
    request_: TotalsRequest, came: Answer | NoAnswer, kind: type
) -> None:
    page = totals_page(came, CALL, request_, BASE, None)
    assert isinstance(page, NotTold)
    assert isinstance(page.outcome, kind)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": "n"},
        {"external_id": None},
        {"reference": "ref"},
        {"query": {"since": "{from}"}},
        {"path": "/deals/{id}"},
        {"external_id": None, "count": "n", "dates": "record"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    good: dict[str, object] = {"path": "/deals", "query": QUERY, "records": "deals", "external_id": "id"}
    TotalsRequest.model_validate(good)
    with pytest.raises(ValidationError):
        TotalsRequest.model_validate({name: value for name, value in (good | wrong).items() if value is not None})
