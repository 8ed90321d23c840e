"""The same deals behind APIs of other styles: without keys, upserts, names chosen by the client, and jobs.

Like the one with keys they share its ledger and its faults, and are never kinder than a real one.
"""

import hashlib
import uuid
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from sandbox.crm_deals import DealsApi
from sandbox.crm_ledger import Granted, LedgerLine, NewDeal, OtherBody, Settled
from sandbox.crm_replies import problem, read_deal

# How often a job says that it runs before it says how it ended.
_LOOKS_UNTIL_DONE = 1


@dataclass(kw_only=True)
class StylesApi:
    """``/unkeyed/deals``, ``/upserts/{ref}``, ``/named/deals`` and ``/jobs``."""

    deals: DealsApi
    looks: Counter[str] = field(default_factory=Counter)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        authorized = self.deals.authorized
        return [
            web.post("/unkeyed/deals", authorized(self._unkeyed)),
            web.put("/upserts/{ref}", authorized(self._upsert)),
            web.post("/named/deals", authorized(self._named)),
            web.get("/named/deals/{ref}", authorized(self._show_named)),
            web.post("/jobs", authorized(self._job)),
            web.get("/jobs/{deal_id}", authorized(self._show_job)),
        ]

    async def _unkeyed(self, request: web.Request) -> web.StreamResponse:
        """Create a deal, however often it is asked for."""
        return await self._create(request, f"unkeyed:{uuid.uuid4()}")

    async def _upsert(self, request: web.Request) -> web.StreamResponse:
        """Create or change the record of this name; saying the same again changes nothing."""
        ref = request.match_info["ref"]
        raw = await request.read()
        existing = self.deals.ledger.deals_of(ref)
        if existing and existing[-1].body_sha256 == hashlib.sha256(raw).hexdigest():
            return await self.deals.replay(request, existing[-1], _shown)
        return await self._create(request, f"upsert:{ref}:{len(existing)}", ref=ref)

    async def _named(self, request: web.Request) -> web.StreamResponse:
        """Create a deal under the client's name, once."""
        deal = read_deal(await request.read())
        if isinstance(deal, web.Response):
            return deal
        existing = self.deals.ledger.deals_of(deal.order_ref)
        if existing:
            return await self.deals.replay(request, existing[-1], _exists)
        return await self._create(request, f"named:{deal.order_ref}")

    async def _show_named(self, request: web.Request) -> web.StreamResponse:
        refusal = await self.deals.before_lookup(request)
        if refusal is not None:
            return refusal
        existing = self.deals.ledger.deals_of(request.match_info["ref"])
        if not existing:
            return problem(HTTPStatus.NOT_FOUND, "There is no such deal")
        return _shown(existing[-1])

    async def _job(self, request: web.Request) -> web.StreamResponse:
        """Take a deal for later. A key is remembered for the window, as in ``/deals``."""
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return problem(HTTPStatus.BAD_REQUEST, "Idempotency-Key is missing")
        return await self._create(request, key, answer_is_job=True)

    async def _show_job(self, request: web.Request) -> web.StreamResponse:
        refusal = await self.deals.before_lookup(request)
        if refusal is not None:
            return refusal
        line = self.deals.ledger.deal(request.match_info["deal_id"])
        if line is None:
            return problem(HTTPStatus.NOT_FOUND, "There is no such job")
        self.looks[line.deal_id] += 1
        is_done = self.looks[line.deal_id] > _LOOKS_UNTIL_DONE
        return web.json_response(
            {"state": "done", "result": line.response["deal"]} if is_done else {"state": "running"}
        )

    async def _create(
        self, request: web.Request, key: str, *, ref: str | None = None, answer_is_job: bool = False
    ) -> web.StreamResponse:
        raw = await request.read()
        deal = read_deal(raw)
        if isinstance(deal, web.Response):
            return deal
        if ref is not None and deal.order_ref != ref:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "external_ref is not the record's name")
        return await self._under_key(request, deal, key, hashlib.sha256(raw).hexdigest(), answer_is_job=answer_is_job)

    async def _under_key(
        self, request: web.Request, deal: NewDeal, key: str, body_sha256: str, *, answer_is_job: bool
    ) -> web.StreamResponse:
        answer = _accepted if answer_is_job else _created
        match self.deals.keys.claim(key, body_sha256, at=self.deals.clock.now()):
            case Granted():
                return await self.deals.take_effect(request, deal, key, body_sha256, answer)
            case Settled(line):
                return await self.deals.replay(request, line, answer)
            case OtherBody():
                return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "this key or name was used with another body")
            case _:
                return problem(HTTPStatus.LOCKED, "a request for this record is in progress")


def _created(line: LedgerLine) -> web.Response:
    return web.json_response(line.response, status=HTTPStatus.CREATED)


def _shown(line: LedgerLine) -> web.Response:
    return web.json_response(line.response)


def _exists(line: LedgerLine) -> web.Response:
    return web.json_response({"title": "it already exists", **line.response}, status=HTTPStatus.CONFLICT)


def _accepted(line: LedgerLine) -> web.Response:
    return web.json_response(
        {"state": "queued"}, status=HTTPStatus.ACCEPTED, headers={"Location": f"/jobs/{line.deal_id}"}
    )
