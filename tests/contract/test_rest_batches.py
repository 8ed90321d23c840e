"""Many records in one call, and an outcome for each: what is not told of a record is never believed."""

import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from adapters.rest import RestAdapter
from outbox.model.outcome import (
    Applied,
    Configuration,
    Outcome,
    Receipt,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
    Unknown,
)
from tests.contract.rest_loopback import BEARER, DELIVERY, TRACEPARENT, adapter_for, target

Answer = Callable[[list[dict[str, object]]], web.Response]

BY_REFERENCE: dict[str, object] = {
    "max": 3,
    "records": "inputs",
    "results": "results",
    "match": {"result": "ref", "record": "ref"},
    "status": "status",
    "external_id": "id",
}
BY_PLACE: dict[str, object] = {"max": 3, "external_id": "id"}


@dataclass
class Place:
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def batches(
    answer: Answer, batch: dict[str, object], **settings: object
) -> AsyncIterator[tuple[Place, RestAdapter]]:
    place = Place()

    async def serve(request: web.Request) -> web.StreamResponse:
        place.bodies.append(await request.read())
        body = json.loads(place.bodies[-1])
        return answer(body["inputs"] if isinstance(body, dict) else body)

    async with target(serve) as url, adapter_for(url, operations=_operations(batch), **settings) as adapter:
        place.url = url
        yield place, adapter


def _operations(batch: dict[str, object]) -> dict[str, object]:
    return {"order.confirmed": {"method": "POST", "path": "/batch", "batch": batch}}


async def sent(adapter: RestAdapter, *refs: str) -> Sequence[Receipt]:
    requests = [
        adapter.render(
            replace(DELIVERY, document={"ref": ref, "customer": f"Customer of {ref}"}, idempotency_key=f"key-{ref}")
        )
        for ref in refs
    ]
    receipts = await adapter.send(requests, leave_by=math.inf, traceparent=TRACEPARENT)
    assert len(receipts) == len(refs)
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    assert BEARER not in repr(receipts)
    assert "Customer of" not in repr(receipts)
    return receipts


async def outcomes(adapter: RestAdapter, *refs: str) -> list[Outcome]:
    return [receipt.outcome for receipt in await sent(adapter, *refs)]


def _result(record: dict[str, object], status: int = 201) -> dict[str, object]:
    return {"ref": record["ref"], "status": status, "id": f"id-{record['ref']}"}


async def test_records_leave_in_one_call_each_byte_for_byte_with_its_key() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        return web.json_response({"results": [_result(record) for record in records]})

    keys = {"window": "1h", "field": "key"}
    async with batches(answer, BY_REFERENCE, idempotency=keys) as (place, adapter):
        assert await outcomes(adapter, "a", "b") == [Applied("id-a"), Applied("id-b")]

    assert place.bodies == [
        b'{"inputs":[%b,%b]}'
        % (
            b'{"ref":"a","customer":"Customer of a","key":"key-a"}',
            b'{"ref":"b","customer":"Customer of b","key":"key-b"}',
        )
    ]


async def test_results_in_another_order_find_their_records_by_reference() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        results = [_result(record, 422 if record["ref"] == "b" else 201) for record in records]
        return web.json_response({"results": results[::-1]}, status=207)

    async with batches(answer, BY_REFERENCE) as (_, adapter):
        first, second, third = await outcomes(adapter, "a", "b", "c")

    assert (first, third) == (Applied("id-a"), Applied("id-c"))
    assert type(second) is Rejected


async def test_a_record_without_a_result_of_its_own_is_unknown() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        first, second, _ = records
        twice = [_result(second), _result(second)]
        return web.json_response({"results": [_result(first), *twice, {"ref": "d"}, "nonsense", None]})

    async with batches(answer, BY_REFERENCE) as (_, adapter):
        first, second, third = await outcomes(adapter, "a", "b", "c")

    assert first == Applied("id-a")
    assert second == Unknown(
        "POST /batch: the answer has several results or records of one name at ref for this record"
    )
    assert third == Unknown("POST /batch: the answer has no result at ref for this record")


async def test_results_by_place_count_only_if_there_is_one_for_each() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        return web.json_response([{"id": 1}, {"error": "x"}, {"id": 3}][: len(records) if len(records) < 3 else 2])

    async with batches(answer, BY_PLACE) as (_, adapter):
        first, second = await outcomes(adapter, "a", "b")
        assert {type(outcome) for outcome in await outcomes(adapter, "a", "b", "c")} == {Unknown}

    assert first == Applied("1")
    assert second == Unknown("POST /batch: answer 200 has no id: is external_id right?")


async def test_rules_judge_each_result() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        return web.json_response(
            [{"ok": record["ref"] == "a", "why": f"not {record['customer']}"} for record in records]
        )

    rules = [
        {"path": "ok", "equals": True, "outcome": "applied"},
        {"path": "ok", "present": False, "outcome": "rejected", "message": "why"},
    ]
    async with batches(answer, {"max": 3, "rules": rules}) as (_, adapter):
        assert await outcomes(adapter, "a", "b") == [Applied(), Rejected("POST /batch: answered 200: not ***")]


WHOLE: list[tuple[Callable[[], web.Response], type[Outcome]]] = [
    (lambda: web.Response(status=503, headers={"Retry-After": "5"}), Unknown),
    (lambda: web.Response(status=429), Throttled),
    (lambda: web.Response(status=401), Configuration),
    (lambda: web.Response(status=302), Unknown),
    (lambda: web.Response(status=307), Configuration),
    (lambda: web.Response(text="<html>", content_type="text/html"), Unknown),
    (lambda: web.Response(text="[", content_type="application/json"), Unknown),
    (lambda: web.Response(text="", content_type="application/json"), Unknown),
    (lambda: web.json_response({"results": {}}), Unknown),
    (lambda: web.json_response([1]), Unknown),
    (lambda: web.json_response({"results": [], "pad": "x" * 2_000_000}), Unknown),
]


@pytest.mark.parametrize(("answer", "outcome"), WHOLE)
async def test_an_answer_that_tells_of_no_record_counts_for_all_and_is_not_asked_again(
    answer: Callable[[], web.Response], outcome: type[Outcome]
) -> None:
    async with batches(lambda _: answer(), BY_REFERENCE) as (place, adapter):
        assert {type(one) for one in await outcomes(adapter, "a", "b", "c")} == {outcome}

    assert len(place.bodies) == 1


@pytest.mark.parametrize("status", [400, 413, 422, 500])
async def test_a_call_that_ends_as_a_whole_says_so_and_is_not_repeated_in_parts(status: int) -> None:
    def answer(_: list[dict[str, object]]) -> web.Response:
        return web.json_response({"message": "a record is wrong"}, status=status)

    async with batches(answer, BY_REFERENCE) as (place, adapter):
        receipts = await sent(adapter, "a", "b", "c")
        (alone,) = await sent(adapter, "a")

    assert {type(receipt.outcome) for receipt in receipts} == {Unknown if status == 500 else Rejected}
    assert {(receipt.http_status, receipt.is_shared) for receipt in receipts} == {(status, True)}
    assert not alone.is_shared
    assert len(place.bodies) == 2


async def test_a_call_without_an_answer_is_shared_and_one_with_results_is_not() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        return web.json_response({"results": [_result(record, 500) for record in records]})

    async with batches(answer, BY_REFERENCE) as (_, adapter):
        assert {receipt.is_shared for receipt in await sent(adapter, "a", "b")} == {False}
    async with adapter_for("http://127.0.0.1:9", operations=_operations(BY_REFERENCE)) as adapter:
        receipts = await sent(adapter, "a", "b")
    assert {(type(receipt.outcome), receipt.is_shared) for receipt in receipts} == {(TargetDown, True)}


async def test_a_target_may_say_that_a_refused_call_did_nothing() -> None:
    for atomic in (False, True):
        async with adapter_for("http://127.0.0.1:9", operations=_operations(BY_PLACE | {"atomic": atomic})) as adapter:
            assert adapter.capabilities("order.confirmed").is_atomic == atomic


async def test_a_status_of_a_result_that_is_none_is_unknown() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        statuses: list[object] = ["fine", None, 700]
        return web.json_response(
            {
                "results": [
                    _result(record) | {"status": status} for record, status in zip(records, statuses, strict=True)
                ]
            }
        )

    async with batches(answer, BY_REFERENCE) as (_, adapter):
        assert {type(outcome) for outcome in await outcomes(adapter, "a", "b", "c")} == {Unknown}


async def test_a_result_may_ask_to_be_tried_again() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        return web.json_response({"results": [_result(record, 423) for record in records]})

    async with batches(answer, BY_REFERENCE) as (place, adapter):
        assert {type(outcome) for outcome in await outcomes(adapter, "a", "b")} == {Retry}

    assert len(place.bodies) == 1


async def test_a_record_that_is_refused_stops_nobody_else_unless_a_rule_says_so() -> None:
    def answer(records: list[dict[str, object]]) -> web.Response:
        return web.json_response({"results": [_result(record, int(str(record["ref"]))) for record in records]})

    async with batches(answer, BY_REFERENCE) as (_, adapter):
        assert [type(one) for one in await outcomes(adapter, "403", "404", "307")] == [Rejected, Rejected, Unknown]
        (moved,) = await outcomes(adapter, "302")
        assert isinstance(moved, Unknown)
        assert not moved.needs_a_person, "it is one record's"
    rules = [{"status": 403, "outcome": "configuration"}]
    async with batches(answer, BY_REFERENCE | {"rules": rules}) as (_, adapter):
        assert [type(one) for one in await outcomes(adapter, "403", "404")] == [Configuration, Rejected]
