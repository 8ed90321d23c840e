"""The simulated shop's API for other systems: fulfillments under an idempotency key, inventory levels by their item.

It must never be kinder than a real one: a request under another key is another fulfillment, and refused.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.crm_replies import problem
from sandbox.shop_catalog import PRODUCTS
from sandbox.shop_ledger import ShopLedger

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sku: Annotated[str, Field(min_length=1)]
    quantity: Annotated[int, Field(strict=True, ge=1)]


class _Fulfillment(BaseModel):
    model_config = ConfigDict(extra="ignore")

    tracking_number: Annotated[str, Field(min_length=1)]
    tracking_company: Annotated[str, Field(min_length=1)]
    shipped_at: str | None = None
    line_items: Annotated[list[_Line], Field(min_length=1)]


class _FulfillmentBody(BaseModel):
    fulfillment: _Fulfillment


class _Level(BaseModel):
    available: Annotated[int, Field(strict=True)]


class _LevelBody(BaseModel):
    inventory_level: _Level


@dataclass(frozen=True, slots=True)
class AdminApi:
    """Everything below ``/admin``, for whoever brings the token."""

    ledger: ShopLedger
    token: str

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/admin/shop", self._authorized(self._tell)),
            web.post("/admin/orders/{order_id}/fulfillments", self._authorized(self._fulfill)),
            web.put("/admin/inventory_levels/{inventory_item_id}", self._authorized(self._set_level)),
        ]

    def _authorized(self, answer: Handler) -> Handler:
        async def authorized(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                challenge = {"WWW-Authenticate": "Bearer"}
                return problem(HTTPStatus.UNAUTHORIZED, "The token is wrong or has expired", challenge)
            try:
                return await answer(request)
            except ValidationError as error:
                faults = error.errors(include_url=False)
                told = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults)
                return problem(HTTPStatus.UNPROCESSABLE_ENTITY, told)

        return authorized

    async def _tell(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"shop": {"name": "corner-shop"}})

    async def _fulfill(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return problem(HTTPStatus.BAD_REQUEST, "Idempotency-Key is missing")
        raw = await request.read()
        body_sha256 = hashlib.sha256(raw).hexdigest()
        known = self.ledger.keys.get(key)
        if known is not None and known["body_sha256"] == body_sha256:
            return web.json_response({"fulfillment": known["fulfillment"]}, status=HTTPStatus.CREATED)
        if known is not None:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Idempotency-Key was used with another body")
        content = _FulfillmentBody.model_validate_json(raw).fulfillment
        name = request.match_info["order_id"]
        order_id = int(name) if name.isascii() and name.isdecimal() else 0
        if order_id not in self.ledger.orders:
            return problem(HTTPStatus.NOT_FOUND, "There is no such order")
        if self.ledger.fulfillment_of(order_id) is not None:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The order is fulfilled already")
        fulfillment = self.ledger.fulfill(order_id, content.model_dump(), key=key, body_sha256=body_sha256)
        return web.json_response({"fulfillment": fulfillment}, status=HTTPStatus.CREATED)

    async def _set_level(self, request: web.Request) -> web.StreamResponse:
        level = _LevelBody.model_validate_json(await request.read()).inventory_level
        name = request.match_info["inventory_item_id"]
        if name not in {product.inventory_item_id for product in PRODUCTS.values()}:
            return problem(HTTPStatus.NOT_FOUND, "There is no such inventory item")
        self.ledger.set_level(name, level.available)
        return web.json_response({"inventory_level": {"inventory_item_id": name, "available": level.available}})
