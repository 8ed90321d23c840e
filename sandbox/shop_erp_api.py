"""The small ERP of the worked example over HTTP: orders of the shop come in, clerks confirm, ship and count.

Every change is one SQL function of `examples/shop/erp`, and so one transaction with its events. Never decides itself.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus

import asyncpg
import orjson
from aiohttp import web

from sandbox.crm_replies import problem

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The ERP's own SQLSTATEs, and what they are in HTTP.
_REFUSALS = {
    "ERP22": HTTPStatus.UNPROCESSABLE_ENTITY,
    "ERP09": HTTPStatus.CONFLICT,
    "ERP04": HTTPStatus.NOT_FOUND,
    "23502": HTTPStatus.UNPROCESSABLE_ENTITY,
    "23505": HTTPStatus.CONFLICT,
    "23514": HTTPStatus.UNPROCESSABLE_ENTITY,
}
# Function, schema: what is missing as long as nobody has migrated.
_NOT_MIGRATED = frozenset({"42883", "3F000"})

_TAKE = "select number, is_new from erp.take_web_order($1::jsonb)"
_CONFIRM = "select erp.confirm($1)"
_SHIP = "select erp.ship($1, $2, $3)"
_COUNT = "select erp.count_stock($1, $2)"
_ADD_ARTICLE = "insert into erp.article (number, name, on_hand) values ($1, $2, $3)"
_ADD_CUSTOMER = "insert into erp.customer (number, name) values ($1, $2)"
_WEB_ORDERS = """
    select number, web_order, total::text as total, currency from erp.sales_order
     where web_order is not null and created_at >= $1 and created_at < $2 order by number
"""
_ORDERS = 'select number as "order", reference, customer, total::text as total, state from erp.sales_order order by 1'
_ARTICLES = """
    select number as article, name, on_hand, reserved, on_hand - reserved as available from erp.article order by 1
"""


@dataclass(frozen=True, slots=True)
class ErpApi:
    """``/api`` for other systems, with a token; the rest is the clerks' side, one JSON document a line."""

    pool: asyncpg.Pool
    token: str

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/api/ping", self._authorized(self._ping)),
            web.put("/api/web-orders/{web_order}", self._authorized(_refusing(self._take))),
            web.get("/api/web-orders", self._authorized(_refusing(self._list))),
            web.post("/orders/{order}/confirm", _refusing(self._confirm)),
            web.post("/orders/{order}/ship", _refusing(self._ship)),
            web.post("/customers", _refusing(self._add_customer)),
            web.post("/articles", _refusing(self._add_article)),
            web.post("/articles/{article}/count", _refusing(self._count)),
            web.get("/orders", _refusing(self._show_orders)),
            web.get("/articles", _refusing(self._show_articles)),
        ]

    def _authorized(self, answer: Answer) -> Answer:
        async def authorized(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") == f"Bearer {self.token}":
                return await answer(request)
            challenge = {"WWW-Authenticate": "Bearer"}
            return problem(HTTPStatus.UNAUTHORIZED, "The token is wrong or has expired", challenge)

        return authorized

    async def _ping(self, _: web.Request) -> web.Response:
        return web.json_response({"name": "erp"})

    async def _take(self, request: web.Request) -> web.Response:
        order = json.loads(await request.read(), parse_float=Decimal)
        if order.get("web_order") != request.match_info["web_order"]:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "web_order is not the one of the address")
        row = await self.pool.fetchrow(_TAKE, json.dumps(order, default=str))
        if row is None:
            raise RuntimeError("erp.take_web_order always returns a row")
        status = HTTPStatus.CREATED if row["is_new"] else HTTPStatus.OK
        return web.json_response({"order": {"number": row["number"]}}, status=status)

    async def _list(self, request: web.Request) -> web.Response:
        ends = [datetime.fromisoformat(request.query[name]) for name in ("from", "to")]
        rows = await self.pool.fetch(_WEB_ORDERS, *ends)
        return web.json_response({"orders": [dict(row) for row in rows]})

    async def _confirm(self, request: web.Request) -> web.Response:
        order = request.match_info["order"]
        await self.pool.execute(_CONFIRM, order)
        return _lines([{"order": order, "state": "confirmed"}])

    async def _ship(self, request: web.Request) -> web.Response:
        order, given = request.match_info["order"], json.loads(await request.read() or b"{}")
        shipment = await self.pool.fetchval(
            _SHIP, order, given.get("carrier", "dhl"), given.get("tracking_number", f"JJD-{order}")
        )
        return _lines([{"order": order, "state": "shipped", "shipment": shipment}])

    async def _add_article(self, request: web.Request) -> web.Response:
        given = json.loads(await request.read())
        await self.pool.execute(_ADD_ARTICLE, given["article"], given["name"], given["on_hand"])
        return _lines([given], HTTPStatus.CREATED)

    async def _add_customer(self, request: web.Request) -> web.Response:
        given = json.loads(await request.read())
        await self.pool.execute(_ADD_CUSTOMER, given["customer"], given["name"])
        return _lines([given], HTTPStatus.CREATED)

    async def _count(self, request: web.Request) -> web.Response:
        article, given = request.match_info["article"], json.loads(await request.read())
        await self.pool.execute(_COUNT, article, given["on_hand"])
        return _lines([{"article": article, "on_hand": given["on_hand"]}])

    async def _show_orders(self, _: web.Request) -> web.Response:
        return _lines([dict(row) for row in await self.pool.fetch(_ORDERS)])

    async def _show_articles(self, _: web.Request) -> web.Response:
        return _lines([dict(row) for row in await self.pool.fetch(_ARTICLES)])


def _refusing(answer: Answer) -> Answer:
    """Make a problem of what the database refuses, and of what cannot be read."""

    async def refusing(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        except asyncpg.PostgresError as error:
            if error.sqlstate in _NOT_MIGRATED:
                told = "The ERP's database has no outbox yet: run outbox migrate"
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, told)
            status = _REFUSALS.get(error.sqlstate or "")
            if status is None:
                raise
            return problem(status, str(error))
        except (ValueError, KeyError, TypeError, AttributeError, asyncpg.DataError) as error:
            return problem(HTTPStatus.BAD_REQUEST, f"The request cannot be read: {type(error).__name__}")

    return refusing


def _lines(documents: Sequence[Mapping[str, object]], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    body = b"".join(orjson.dumps(document) + b"\n" for document in documents)
    return web.Response(body=body, status=status, content_type="application/json")
