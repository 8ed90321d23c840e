from dataclasses import replace

import pytest

from adapters.http_target import HttpTarget
from adapters.rest import RestAdapter
from adapters.rest_settings import RestSettings
from outbox.flow.mapping import Mapping
from outbox.model.adapter import Delivery
from outbox.model.connection import Connection
from outbox.model.errors import MappingError

DELIVERY = Delivery(
    flow="orders-to-crm",
    message_id="m-1",
    type="order.confirmed",
    version=1,
    key="order-7",
    sequence=7,
    idempotency_key="orders-to-crm:m-1",
    document={"id": "7", "amount": 1},
)


def test_a_request_is_complete_but_for_the_credentials() -> None:
    request = _adapter(headers={"X-Source": "erp"}, idempotency={"window": "1h"}).render(DELIVERY)

    assert (request.method, request.url) == ("POST", "https://crm.example.com/api/deals")
    assert request.body == b'{"id":"7","amount":1}'
    assert request.headers == {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "X-Source": "erp",
        "Idempotency-Key": "orders-to-crm:m-1",
    }
    assert "t0ken" not in repr(request)


def test_the_same_delivery_gives_the_same_request() -> None:
    adapter = _adapter(idempotency={"window": "1h"})

    again = _adapter(idempotency={"window": "1h"}).render(replace(DELIVERY, traceparent="other"))

    assert adapter.render(DELIVERY).sha256() == again.sha256()
    assert adapter.render(DELIVERY) == again


@pytest.mark.parametrize(
    ("key", "quoted", "sent"),
    [
        ("a-1", True, '"a-1"'),
        ("a b", False, "a%20b"),
        ('a"\\%\r\n', True, '"a%22%5C%25%0D%0A"'),
        ("ключ", False, "%D0%BA%D0%BB%D1%8E%D1%87"),
    ],
)
def test_any_key_becomes_a_valid_header(key: str, quoted: bool, sent: str) -> None:
    adapter = _adapter(idempotency={"window": "1h", "quoted": quoted})

    assert adapter.render(replace(DELIVERY, idempotency_key=key)).headers["Idempotency-Key"] == sent


def test_static_headers_win_over_defaults_in_any_case_of_letters() -> None:
    headers = _adapter(headers={"content-type": "application/vnd.api+json"}).render(DELIVERY).headers

    assert headers == {"Accept": "application/json", "content-type": "application/vnd.api+json"}


def test_numbers_go_out_as_they_came_in() -> None:
    payload = b'{"id":1234567890123456789,"big":123456789012345678901,"price":0.10,"huge":1E+400,"zero":-0.00}'

    request = _adapter().render(replace(DELIVERY, document=Mapping.compile([]).apply(payload)))

    assert request.body == payload


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("7", "7"),
        (7, "7"),
        ("a/b?c#d%+ü é", "a%2Fb%3Fc%23d%25%2B%C3%BC%20%C3%A9"),
        ("...", "..."),
        ("!$&'()*,;=:@~-._", "!$&'()*,;=:@~-._"),
    ],
)
def test_a_placeholder_is_one_segment(value: object, segment: str) -> None:
    request = _adapter(path="/deals/{deal.ref}/close").render(replace(DELIVERY, document={"deal": {"ref": value}}))

    assert request.url == f"https://crm.example.com/api/deals/{segment}/close"


@pytest.mark.parametrize("value", [None, "", ".", "..", True, 1.5, ["7"], {"a": 1}, "\ud800"])
def test_what_cannot_be_a_segment_is_refused(value: object) -> None:
    with pytest.raises(MappingError) as caught:
        _adapter(method="DELETE", path="/deals/{ref}").render(replace(DELIVERY, document={"ref": value}))

    assert caught.value.field == "ref"


def test_a_missing_placeholder_names_the_field() -> None:
    with pytest.raises(MappingError, match=r"field 'deal\.ref': is missing, and the path needs it"):
        _adapter(path="/deals/{deal.ref}").render(DELIVERY)


def test_two_placeholders_cannot_join_into_a_step_upwards() -> None:
    with pytest.raises(MappingError, match=r"would make a \. or \.\. segment"):
        _adapter(path="/deals/{a}{b}").render(replace(DELIVERY, document={"a": ".", "b": "."}))


def test_a_large_whole_number_can_be_part_of_a_path() -> None:
    document = Mapping.compile([]).apply(b'{"ref": 123456789012345678901}')

    url = _adapter(path="/deals/{ref}").render(replace(DELIVERY, document=document)).url

    assert url.endswith("/deals/123456789012345678901")


def test_delete_has_no_body() -> None:
    request = _adapter(method="DELETE").render(DELIVERY)

    assert request.body == b""
    assert "Content-Type" not in request.headers


def test_an_event_type_without_operation_is_named_with_those_that_exist() -> None:
    with pytest.raises(MappingError) as caught:
        _adapter().render(replace(DELIVERY, type="x"))

    assert caught.value.reason == "no operation for event type 'x'; adapter.operations has 'order.confirmed'"


def test_a_star_takes_every_other_type() -> None:
    adapter = _adapter(operations={"*": {"method": "PUT", "path": "/any"}, "a": {"method": "POST", "path": "/only-a"}})

    assert adapter.render(replace(DELIVERY, type="a")).url.endswith("/only-a")
    assert adapter.render(replace(DELIVERY, type="b")).url.endswith("/any")


@pytest.mark.parametrize("document", [{"a": object()}, {"a": "\ud800"}, {"a": 2**64}])
def test_a_document_that_json_cannot_say_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(MappingError, match="cannot be written as JSON"):
        _adapter().render(replace(DELIVERY, document=document))


def test_a_document_too_deep_to_write_is_refused() -> None:
    deep = Mapping.compile([]).apply(b'{"a":' * 300 + b"1" + b"}" * 300)

    with pytest.raises(MappingError, match="cannot be written as JSON: Recursion limit reached"):
        _adapter().render(replace(DELIVERY, document=deep))


def _adapter(*, method: str = "POST", path: str = "/deals", **settings: object) -> RestAdapter:
    settings = {"operations": {"order.confirmed": {"method": method, "path": path}}} | settings
    connection = Connection.model_validate({"base_url": "https://crm.example.com/api/", "bearer": "t0ken"})
    return RestAdapter(RestSettings.model_validate(settings), HttpTarget(connection))
