"""What of a document gets where in a request."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from adapters.rest import RestAdapter
from adapters.rest_render import RestRequest
from outbox.model.adapter import Delivery
from outbox.model.errors import MappingError
from outbox.model.recovery import IdempotencyKey, NoRecovery
from tests.unit.test_rest_render import DELIVERY, _adapter

DOCUMENT: dict[str, object] = {
    "id": 7,
    "order": {"ref": "a/b c", "lines": [1]},
    "rate": Decimal("0.10"),
    "is_new": True,
}


def _rendered(document: dict[str, object] | None = None, **operation: object) -> RestRequest:
    delivery = replace(DELIVERY, document=DOCUMENT if document is None else document)
    return _with(operation).render(delivery)


def _with(operation: dict[str, object], **settings: object) -> RestAdapter:
    return _adapter(operations={"order.confirmed": {"method": "POST", "path": "/deals"} | operation}, **settings)


def test_a_query_is_filled_and_encoded() -> None:
    url = _rendered(query={"ref": "{order.ref}", "dry": "{is_new}", "rate": "r{rate}&x", "fixed": "1"}).url

    assert url == "https://crm.example.com/api/deals?ref=a%2Fb%20c&dry=true&rate=r0.10%26x&fixed=1"


def test_headers_are_filled() -> None:
    headers = _rendered(headers={"X-Ref": "order {id}", "accept": "text/plain"}).headers

    assert headers["X-Ref"] == "order 7"
    assert headers["accept"] == "text/plain"
    assert "Accept" not in headers


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "ü", " a", "", "\x00"])
def test_what_cannot_be_a_header_is_refused(value: str) -> None:
    with pytest.raises(MappingError, match="header X-Ref cannot carry") as caught:
        _rendered({"ref": value}, headers={"X-Ref": "{ref}"})

    assert caught.value.field == "ref"


@pytest.mark.parametrize("document", [{}, {"ref": None}, {"ref": []}, {"ref": {"a": 1}}])
def test_a_field_that_a_query_or_header_needs_is_named(document: dict[str, object]) -> None:
    for part in ({"query": {"q": "{ref}"}}, {"headers": {"X-Q": "{ref}"}}):
        with pytest.raises(MappingError) as caught:
            _rendered(document, **part)
        assert caught.value.field == "ref"


def test_half_a_surrogate_pair_is_no_query() -> None:
    with pytest.raises(MappingError, match="not valid Unicode"):
        _rendered({"ref": "\ud800"}, query={"q": "{ref}"}, body="none")


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (None, b'{"id":7,"order":{"ref":"a/b c","lines":[1]},"rate":0.10,"is_new":true}'),
        ({"select": "order"}, b'{"ref":"a/b c","lines":[1]}'),
        ({"select": "order.lines"}, b"[1]"),
        ({"select": "order.lines", "wrap": "data.lines"}, b'{"data":{"lines":[1]}}'),
        ("none", b""),
    ],
)
def test_a_body_is_the_document_a_part_of_it_or_wrapped(shape: object, body: bytes) -> None:
    request = _rendered(body=shape)

    assert request.body == body
    assert ("Content-Type" in request.headers) is (body != b"")


def test_a_part_that_is_missing_is_named() -> None:
    with pytest.raises(MappingError, match=r"field 'order\.x': is missing, and the body is made of it"):
        _rendered(body={"select": "order.x"})


def test_a_delete_has_a_body_where_one_is_asked_for() -> None:
    assert _rendered(method="DELETE").body == b""
    assert _rendered(method="DELETE", body={"select": "order.lines"}).body == b"[1]"


def test_a_key_may_stand_in_the_body_instead_of_a_header() -> None:
    keyed = _with({"body": {"wrap": "data"}}, idempotency={"window": "1h", "field": "meta.key"})
    request = keyed.render(replace(DELIVERY, document={"id": 7}))

    assert request.body == b'{"data":{"id":7},"meta":{"key":"orders-to-crm:m-1"}}'
    assert "Idempotency-Key" not in request.headers
    assert keyed.capabilities("order.confirmed").recovery == IdempotencyKey(3600, 60)


@pytest.mark.parametrize(
    ("document", "field", "body"),
    [
        ({"key": 1}, "key", None),
        ({"meta": 1}, "meta.key", None),
        ({"meta": {"key": 1}}, "meta.key", None),
        ({"lines": [1]}, "key", {"select": "lines"}),
    ],
)
def test_a_key_does_not_take_the_place_of_anything(document: dict[str, object], field: str, body: object) -> None:
    with pytest.raises(MappingError):
        _with({"body": body}, idempotency={"window": "1h", "field": field}).render(replace(DELIVERY, document=document))


def test_putting_the_key_leaves_the_document_as_it_was() -> None:
    document: dict[str, object] = {"meta": {"a": 1}}
    _with({}, idempotency={"window": "1h", "field": "meta.key"}).render(replace(DELIVERY, document=document))

    assert document == {"meta": {"a": 1}}


def test_the_pinned_version_is_sent_and_stored_with_the_request() -> None:
    pinned = _with({}, api_version={"name": "2026-04", "header": "X-Api-Version"})

    assert pinned.render(DELIVERY).headers["X-Api-Version"] == "2026-04"
    assert pinned.capabilities("order.confirmed").version.endswith(" api 2026-04")


def test_records_of_a_batch_are_rendered_one_by_one_and_without_a_shared_key() -> None:
    batch = {"max": 3, "records": "inputs", "external_id": "id"}
    headed = _with({"batch": batch}, idempotency={"window": "1h"})
    keyed = _with({"batch": batch}, idempotency={"window": "1h", "field": "key"})

    assert "Idempotency-Key" not in headed.render(DELIVERY).headers
    assert headed.capabilities("order.confirmed").recovery == NoRecovery()
    assert headed.capabilities("order.confirmed").max_batch == headed.max_batch() == 3
    assert json.loads(keyed.render(DELIVERY).body) == {"id": "7", "amount": 1, "key": "orders-to-crm:m-1"}
    assert keyed.capabilities("order.confirmed").recovery == IdempotencyKey(3600, 60)


def test_a_delivery_of_another_type_is_not_bound_to_the_batch() -> None:
    adapter = _adapter(
        operations={
            "a": {"method": "POST", "path": "/a", "batch": {"max": 5, "external_id": "id"}},
            "*": {"method": "PUT", "path": "/any/{id}"},
        }
    )
    delivery: Delivery = replace(DELIVERY, type="b")

    assert adapter.capabilities("b").max_batch == 1
    assert adapter.max_batch() == 5
    assert adapter.render(delivery).url.endswith("/any/7")
