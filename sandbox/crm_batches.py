"""Many deals in one call: each with a key and a result of its own, told in another order than they were sent in.

A call with a record that is no deal is refused as a whole, as by most servers that check a schema first.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from sandbox.crm_deals import DealsApi
from sandbox.crm_faults import Fault
from sandbox.crm_ledger import Granted, LedgerLine, NewDeal, OtherBody, Settled
from sandbox.crm_replies import MAINTENANCE_PAGE, drop, html, problem, read_deal

# What a fault makes of one record; the others are about the call.
_REFUSALS = {
    Fault.ERROR_500: HTTPStatus.INTERNAL_SERVER_ERROR,
    Fault.THROTTLE_429: HTTPStatus.TOO_MANY_REQUESTS,
    Fault.UNAVAILABLE_503: HTTPStatus.SERVICE_UNAVAILABLE,
    Fault.REJECT_422: HTTPStatus.UNPROCESSABLE_ENTITY,
}


@dataclass(frozen=True, slots=True)
class _Record:
    deal: NewDeal
    key: str
    body_sha256: str
    fault: Fault | None


@dataclass(kw_only=True)
class BatchesApi:
    """``POST /batches``: ``{"inputs": [deal with its key, …]}``."""

    deals: DealsApi

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [web.post("/batches", self.deals.authorized(self._create))]

    async def _create(self, request: web.Request) -> web.StreamResponse:
        records = self._read(await request.read())
        if isinstance(records, web.Response):
            self.deals.counts["refused_batches"] += 1
            return records
        self.deals.counts["batches"] += 1
        faults = {record.fault for record in records if record.fault is not None}
        self.deals.faults_met.update(faults)
        if Fault.DROP_BEFORE_EFFECT in faults:
            return drop(request)
        if Fault.HTML_200 in faults:
            return html(MAINTENANCE_PAGE)
        results = [self._result(record) for record in records]
        if Fault.HANG_AFTER_EFFECT in faults:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.deals.plan.faults.hang_seconds):
                    await self.deals.closing.wait()
        if {Fault.DROP_AFTER_EFFECT, Fault.HANG_AFTER_EFFECT} & faults:
            return drop(request)
        if Fault.GARBAGE_200 in faults:
            return web.Response(text='{"results": [{"id": "D-', content_type="application/json")
        # A record whose answer is lost alone: its effect happened, its result is not there.
        kept = [
            result
            for record, result in zip(records, results, strict=True)
            if record.fault is not Fault.ERROR_500_AFTER_EFFECT
        ]
        return web.json_response({"results": kept[::-1]}, status=HTTPStatus.MULTI_STATUS)

    def _read(self, raw: bytes) -> list[_Record] | web.Response:
        try:
            inputs = json.loads(raw)["inputs"]
        except (ValueError, KeyError, TypeError):
            return problem(HTTPStatus.BAD_REQUEST, "inputs is missing")
        records = []
        for document in inputs:
            body = json.dumps(document).encode()
            deal = read_deal(body)
            if isinstance(deal, web.Response) or not isinstance(document, dict) or not document.get("key"):
                return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "a record is no deal with a key")
            fault = self.deals.plan.pick(deal.order_ref)
            records.append(_Record(deal, str(document["key"]), hashlib.sha256(body).hexdigest(), fault))
        return records

    def _result(self, record: _Record) -> Mapping[str, object]:
        if record.fault in _REFUSALS:
            return _told(record, _REFUSALS[record.fault])
        at = self.deals.clock.now()
        match self.deals.keys.claim(record.key, record.body_sha256, at=at):
            case Granted():
                line = self.deals.ledger.append(
                    record.deal, idempotency_key=record.key, body_sha256=record.body_sha256, at=at
                )
                self.deals.keys.settle(line)
                return _told(record, HTTPStatus.CREATED, line)
            case Settled(line):
                self.deals.counts["replayed"] += 1
                return _told(record, HTTPStatus.OK, line)
            case OtherBody():
                return _told(record, HTTPStatus.UNPROCESSABLE_ENTITY)
            case _:
                return _told(record, HTTPStatus.CONFLICT)


def _told(record: _Record, status: HTTPStatus, line: LedgerLine | None = None) -> Mapping[str, object]:
    result: dict[str, object] = {"ref": record.deal.order_ref, "status": int(status)}
    return result | ({} if line is None else {"id": line.deal_id})
