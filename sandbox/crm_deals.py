"""The CRM's API of deals: honest idempotency, and the faults that are planned.

An effect must happen in one method only, under a granted key, and never after a refusal.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from sandbox.crm_faults import AFTER_EFFECT, Fault, FaultPlan
from sandbox.crm_gate import Gate
from sandbox.crm_ledger import (
    Granted,
    InProgress,
    KeyStore,
    Ledger,
    LedgerLine,
    NewDeal,
    OtherBody,
    Settled,
    SimulatedClock,
)
from sandbox.crm_replies import LOGIN_PAGE, MAINTENANCE_PAGE, drop, html, problem, read_deal

_SERVER_ERROR = "Something went wrong"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[LedgerLine], web.Response]


@dataclass(kw_only=True)
class DealsApi:
    """``/deals``, its state, and counts of what it met."""

    token: str
    ledger: Ledger
    keys: KeyStore
    plan: FaultPlan
    gate: Gate = field(default_factory=Gate)
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    counts: Counter[str] = field(default_factory=Counter)
    faults_met: Counter[Fault] = field(default_factory=Counter)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.post("/deals", self.authorized(self._create)),
            web.get("/deals", self.authorized(self._find)),
            web.get("/deals/{deal_id}", self.authorized(self._show)),
        ]

    def authorized(self, handler: Handler) -> Handler:
        """Let a handler answer only those who bring the token."""

        async def authorized(request: web.Request) -> web.StreamResponse:
            self.counts["requests"] += 1
            is_token_right = request.headers.get("Authorization") == f"Bearer {self.token}"
            if is_token_right and not self.plan.faults.refuse_token:
                return await handler(request)
            self.counts["unauthorized"] += 1
            if self.plan.faults.login_page:
                return html(LOGIN_PAGE)
            challenge = {"WWW-Authenticate": "Bearer"}
            return problem(HTTPStatus.UNAUTHORIZED, "The token is wrong or has expired", challenge)

        return authorized

    async def _create(self, request: web.Request) -> web.StreamResponse:
        # The draft standard quotes the key, most vendors do not.
        key = request.headers.get("Idempotency-Key", "").strip('"')
        if not key:
            self.counts["without_key"] += 1
            return problem(HTTPStatus.BAD_REQUEST, "Idempotency-Key is missing")
        raw = await request.read()
        deal = read_deal(raw)
        if isinstance(deal, web.Response):
            self.counts["invalid"] += 1
            return deal
        body_sha256 = hashlib.sha256(raw).hexdigest()
        match self.keys.claim(key, body_sha256, at=self.clock.now()):
            case OtherBody():
                self.counts["other_body"] += 1
                return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Idempotency-Key was used with another body")
            case InProgress():
                self.counts["in_progress"] += 1
                return problem(HTTPStatus.CONFLICT, "A request with this Idempotency-Key is in progress")
            case Settled(line):
                return await self.replay(request, line, _replayed)
            case Granted():
                return await self.take_effect(request, deal, key, body_sha256, _created)

    async def take_effect(
        self, request: web.Request, deal: NewDeal, key: str, body_sha256: str, answer: Answer
    ) -> web.StreamResponse:
        """Have the effect of a granted key, unless a fault is planned; the key is settled or released."""
        fault = self._count(self.plan.pick(deal.order_ref))
        try:
            refusal = await self._before_effect(request, fault)
            if refusal is not None:
                return refusal
            line = self.ledger.append(deal, idempotency_key=key, body_sha256=body_sha256, at=self.clock.now())
            self.keys.settle(line)
        finally:
            self.keys.release(key)
        return await self._after_effect(request, fault, answer(line))

    async def replay(self, request: web.Request, line: LedgerLine, answer: Answer) -> web.StreamResponse:
        """Answer a request that had its effect before; faults meet it as well."""
        self.counts["replayed"] += 1
        fault = self._count(self.plan.pick(line.order_ref))
        refusal = await self._before_effect(request, fault)
        if refusal is not None:
            return refusal
        return await self._after_effect(request, fault, answer(line))

    async def _before_effect(self, request: web.Request, fault: Fault | None) -> web.Response | None:
        faults = self.plan.faults
        await self._pause(faults.latency_ms / 1000)
        match fault:
            case Fault.SLOW:
                await self._pause(faults.slow_ms / 1000)
            case Fault.HOLD_BEFORE_EFFECT:
                await self.gate.hold()
            case Fault.DROP_BEFORE_EFFECT:
                return drop(request)
            case _ if fault is not None and fault not in AFTER_EFFECT:
                return self._refusal(fault)
        return None

    def _refusal(self, fault: Fault) -> web.Response:
        if fault is Fault.HTML_200:
            return html(MAINTENANCE_PAGE)
        retry_after = {"Retry-After": str(self.plan.faults.retry_after_seconds)}
        status, title, headers = {
            Fault.ERROR_500: (HTTPStatus.INTERNAL_SERVER_ERROR, _SERVER_ERROR, None),
            Fault.THROTTLE_429: (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", retry_after),
            Fault.UNAVAILABLE_503: (HTTPStatus.SERVICE_UNAVAILABLE, "Out of service", retry_after),
            Fault.REJECT_422: (HTTPStatus.UNPROCESSABLE_ENTITY, "This deal is not accepted", None),
        }[fault]
        return problem(status, title, headers)

    async def _after_effect(self, request: web.Request, fault: Fault | None, answer: web.Response) -> web.Response:
        match fault:
            case Fault.ERROR_500_AFTER_EFFECT:
                return problem(HTTPStatus.INTERNAL_SERVER_ERROR, _SERVER_ERROR)
            case Fault.GARBAGE_200:
                return web.Response(text='{"deal": {"id": "D-', content_type="application/json")
            case Fault.DROP_AFTER_EFFECT:
                return drop(request)
            case Fault.HANG_AFTER_EFFECT:
                await self._pause(self.plan.faults.hang_seconds)
                return drop(request)
            case Fault.HOLD_AFTER_EFFECT:
                await self.gate.hold()
        return answer

    async def _find(self, request: web.Request) -> web.StreamResponse:
        order_ref = request.query.get("external_ref")
        if order_ref is None:
            return problem(HTTPStatus.BAD_REQUEST, "external_ref is missing")
        refusal = await self.before_lookup(request)
        if refusal is not None:
            return refusal
        return web.json_response({"deals": [line.response["deal"] for line in self.ledger.deals_of(order_ref)]})

    async def _show(self, request: web.Request) -> web.StreamResponse:
        refusal = await self.before_lookup(request)
        if refusal is not None:
            return refusal
        line = self.ledger.deal(request.match_info["deal_id"])
        if line is None:
            return problem(HTTPStatus.NOT_FOUND, "There is no such deal")
        return web.json_response(line.response)

    async def before_lookup(self, request: web.Request) -> web.Response | None:
        """Count a question, and return the refusal that is planned for it."""
        self.counts["lookups"] += 1
        return await self._before_effect(request, self._count(self.plan.pick_for_lookup()))

    def _count(self, fault: Fault | None) -> Fault | None:
        if fault is not None:
            self.faults_met[fault] += 1
        return fault

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.closing.wait()


def _created(line: LedgerLine) -> web.Response:
    return web.json_response(line.response, status=HTTPStatus.CREATED)


def _replayed(line: LedgerLine) -> web.Response:
    return web.json_response(line.response, status=HTTPStatus.CREATED, headers={"Idempotency-Replayed": "true"})
