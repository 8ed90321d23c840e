"""What the simulated shop remembers: orders, fulfillments and inventory levels, each an effect in its ledger.

The ledger must be written in the moment of the effect and never be changed: it is the evidence.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from sandbox.ledger_file import append_line, complete_lines, open_ledger
from sandbox.shop_catalog import PRODUCTS, Customer

_FIRST_ORDER_ID, _FIRST_FULFILLMENT_ID = 5_000_000_001_001, 6_000_000_000_001
_FIRST_NUMBER = 1001

# A document of the shop's API, as JSON has it.
Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Cart:
    """What a customer is about to buy, and how it is paid."""

    customer: Customer
    quantities: Mapping[str, int]
    gateway: str


class ShopLedger:
    """An append-only file of effects, and what they come to."""

    def __init__(self, path: Path) -> None:
        self.orders: dict[int, Document] = {}
        self.fulfillments: dict[int, Document] = {}
        self.levels: dict[str, int] = {}
        self.keys: dict[str, Document] = {}
        self._file = open_ledger(path)
        for line in complete_lines(self._file):
            self._remember(line)

    def place(self, cart: Cart) -> Document:
        """Sell a cart: the order, in the form in which Shopify tells it."""
        place = len(self.orders)
        bought = [(PRODUCTS[sku], quantity) for sku, quantity in cart.quantities.items()]
        customer = cart.customer
        order: Document = {
            "id": _FIRST_ORDER_ID + place,
            "name": f"#W{_FIRST_NUMBER + place}",
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "currency": "EUR",
            "total_price": str(sum((product.price * quantity for product, quantity in bought), Decimal("0.00"))),
            "customer": {"id": customer.id, "first_name": customer.first_name, "last_name": customer.last_name},
            "payment_gateway_names": [cart.gateway],
            "line_items": [
                {"sku": product.sku, "title": product.title, "quantity": quantity, "price": str(product.price)}
                for product, quantity in bought
            ],
            "shipping_address": {
                "first_name": customer.first_name,
                "last_name": customer.last_name,
                "address1": customer.address1,
                "zip": customer.zip,
                "city": customer.city,
                "country_code": customer.country_code,
            },
        }
        self._write({"kind": "order", "order": order})
        return order

    def fulfill(self, order_id: int, content: Mapping[str, object], *, key: str, body_sha256: str) -> Document:
        """Fulfil an order, and remember the key of the request."""
        fulfillment: Document = {
            "id": _FIRST_FULFILLMENT_ID + len(self.fulfillments),
            "order_id": order_id,
            "status": "success",
            **content,
        }
        self._write({"kind": "fulfillment", "key": key, "body_sha256": body_sha256, "fulfillment": fulfillment})
        return fulfillment

    def set_level(self, inventory_item_id: str, available: int) -> None:
        """Set what can be sold of an article."""
        self._write({"kind": "level", "inventory_item_id": inventory_item_id, "available": available})

    def fulfillment_of(self, order_id: int) -> Document | None:
        """Find what was sent of an order."""
        return next((one for one in self.fulfillments.values() if one["order_id"] == order_id), None)

    def _write(self, line: Document) -> None:
        append_line(self._file, json.dumps(line).encode() + b"\n")
        self._remember(line)

    def _remember(self, line: Document) -> None:
        match line:
            case {"kind": "order", "order": {"id": int(order_id), **rest}}:
                self.orders[order_id] = {"id": order_id, **_named(rest)}
            case {"kind": "fulfillment", "key": str(key), "fulfillment": {"id": int(number), **rest}}:
                self.fulfillments[number] = {"id": number, **_named(rest)}
                self.keys[key] = line
            case {"kind": "level", "inventory_item_id": str(name), "available": int(available)}:
                self.levels[name] = available
            case _:
                raise ValueError(f"a line of another ledger: {line.get('kind')}")


def _named(content: Mapping[object, object]) -> Document:
    return {str(name): value for name, value in content.items()}
