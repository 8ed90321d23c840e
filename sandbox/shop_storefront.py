"""The side of the simulated shop that people see: they buy, and look at what has come of it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.crm_replies import problem
from sandbox.shop_catalog import CUSTOMERS, PRODUCTS
from sandbox.shop_ledger import Cart, Document, ShopLedger
from sandbox.shop_webhooks import Webhook, Webhooks

TOPIC = "orders/create"


class _Checkout(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer: str
    cart: Annotated[dict[str, Annotated[int, Field(strict=True, ge=1)]], Field(min_length=1)]
    pay: str = "shopify_payments"


@dataclass(kw_only=True)
class Storefront:
    """``/checkout``, and a page for each kind of thing, one JSON document a line."""

    ledger: ShopLedger
    webhooks: Webhooks
    deliveries: asyncio.TaskGroup
    webhook_of: dict[int, Webhook] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.post("/checkout", self._check_out),
            web.post("/orders/{order_id}/webhook", self._repeat),
            web.get("/orders", self._show_orders),
            web.get("/inventory", self._show_inventory),
        ]

    async def _check_out(self, request: web.Request) -> web.Response:
        try:
            asked = _Checkout.model_validate_json(await request.read())
        except ValidationError as error:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error.errors(include_url=False)[0]["msg"]))
        if asked.customer not in CUSTOMERS or asked.cart.keys() - PRODUCTS.keys():
            customers, articles = ", ".join(CUSTOMERS), ", ".join(PRODUCTS)
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"customers are {customers}; articles are {articles}")
        order = self.ledger.place(Cart(CUSTOMERS[asked.customer], asked.cart, asked.pay))
        webhook = self.webhooks.prepare(TOPIC, order)
        self.webhook_of[_id_of(order)] = webhook
        self.deliveries.create_task(self.webhooks.deliver(webhook))
        return _line({"order": order["name"], "id": order["id"], "total": order["total_price"]}, HTTPStatus.CREATED)

    async def _repeat(self, request: web.Request) -> web.Response:
        """Send an order's webhook once more, as Shopify does when it is not sure."""
        name = request.match_info["order_id"]
        webhook = self.webhook_of.get(int(name)) if name.isascii() and name.isdecimal() else None
        if webhook is None:
            return problem(HTTPStatus.NOT_FOUND, "There is no such order since this shop was started")
        again = Webhook(webhook.id, webhook.topic, webhook.body)
        await self.webhooks.deliver(again)
        return _line({"webhook": again.id, "state": again.state(), "status": again.status})

    async def _show_orders(self, _: web.Request) -> web.Response:
        return _lines(self._told(order) for order in self.ledger.orders.values())

    async def _show_inventory(self, _: web.Request) -> web.Response:
        return _lines(
            {
                "article": product.sku,
                "title": product.title,
                "available": self.ledger.levels.get(product.inventory_item_id),
            }
            for product in PRODUCTS.values()
        )

    def _told(self, order: Mapping[str, object]) -> Document:
        fulfillment = self.ledger.fulfillment_of(_id_of(order))
        webhook = self.webhook_of.get(_id_of(order))
        return {
            "order": order["name"],
            "id": order["id"],
            "total": order["total_price"],
            "webhook": None if webhook is None else webhook.state(),
            "tracking_number": None if fulfillment is None else fulfillment["tracking_number"],
        }


def _id_of(order: Mapping[str, object]) -> int:
    order_id = order["id"]
    if not isinstance(order_id, int):
        raise TypeError("an order's id is a number")
    return order_id


def _line(document: Document, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return _answer(orjson.dumps(document) + b"\n", status)


def _lines(documents: Iterable[Document]) -> web.Response:
    return _answer(b"".join(orjson.dumps(document) + b"\n" for document in documents), HTTPStatus.OK)


def _answer(body: bytes, status: HTTPStatus) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
