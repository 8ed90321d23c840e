"""The judge of the worked example: compares what shop, ERP and CRM have, record by record.

It must never import the sidecar, read its tables or use its mappings: it knows customers by their names and
from the example's own lists, and asks the three systems for the rest.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

_TIMEOUT_SECONDS = 10.0
_ORDERS = """
    select o.number, o.web_order, o.customer, c.name, o.total, o.customer_order
      from erp.sales_order o join erp.customer c on c.number = o.customer
"""
_LINES = "select order_number, article, quantity, unit_price from erp.order_line"
_SHIPMENTS = "select order_number, tracking_number from erp.shipment"
_LEVELS = """
    select a.number, a.on_hand - a.reserved as available from erp.article a
     where exists (select from erp.order_line l join erp.sales_order o on o.number = l.order_number
                    where l.article = a.number and o.confirmed_at is not null)
"""

Line = tuple[str, int, Decimal]


@dataclass(frozen=True, slots=True)
class WebOrder:
    """What the shop has sold; ``customer`` is a person's name."""

    id: str
    customer: str
    total: Decimal
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class SalesOrder:
    """What the ERP has of it; ``customer_order`` is None as long as nobody has confirmed it."""

    number: str
    web_order: str
    customer: str
    customer_name: str
    total: Decimal
    customer_order: int | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Deal:
    """What the CRM has of it."""

    order: str
    customer: str
    amount: Decimal
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the three systems say. Shipments and fulfillments are pairs of an order and a tracking number."""

    web_orders: tuple[WebOrder, ...]
    sales_orders: tuple[SalesOrder, ...]
    deals: tuple[Deal, ...]
    shipments: tuple[tuple[str, str], ...]
    fulfillments: tuple[tuple[str, str], ...]
    available: Mapping[str, int]
    levels: Mapping[str, int]
    crm_customer_of: Mapping[str, str]
    shop_product_of: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way of the data: how many there must be, how many there are, and what is wrong."""

    way: str
    wanted: int
    found: int
    faults: tuple[str, ...]


def judge(evidence: Evidence) -> list[Comparison]:
    """Compare each way of the data."""
    shop_order_of = {order.number: order.web_order for order in evidence.sales_orders}
    sold = {order.id: (order.customer, order.total, order.lines) for order in evidence.web_orders}
    taken = [(order.web_order, (order.customer_name, order.total, order.lines)) for order in evidence.sales_orders]
    confirmed = {
        order.number: (evidence.crm_customer_of.get(order.customer), order.total, order.customer_order)
        for order in evidence.sales_orders
        if order.customer_order is not None
    }
    deals = [(deal.order, (deal.customer, deal.amount, deal.revision)) for deal in evidence.deals]
    sent = {shop_order_of.get(order, order): tracking for order, tracking in evidence.shipments}
    stock = {evidence.shop_product_of.get(article, article): count for article, count in evidence.available.items()}
    return [
        _compared("shop order → sales order", sold, taken),
        _compared("sales order → deal", confirmed, deals),
        _compared("shipment → fulfillment", sent, evidence.fulfillments),
        _compared("stock → inventory level", stock, evidence.levels.items()),
    ]


def _compared(way: str, wanted: Mapping[str, object], found: Iterable[tuple[str, object]]) -> Comparison:
    records = list(found)
    return Comparison(way, len(wanted), len(records), tuple(_faults(wanted, records)))


def _faults(wanted: Mapping[str, object], found: list[tuple[str, object]]) -> Iterator[str]:
    counts = Counter(name for name, _ in found)
    yield from (f"{name} is missing" for name in wanted if not counts[name])
    yield from (f"{name} is there {count} times" for name, count in counts.items() if count > 1)
    yield from (f"{name} should not be there" for name in counts if name not in wanted)
    for name, content in found:
        if name in wanted and content != wanted[name]:
            yield f"{name} differs: {wanted[name]!r} became {content!r}"


async def gather_evidence(pg_url: str, crm_url: str, shop_ledger: Path, links: Path) -> Evidence:
    """Ask the systems. ``links``: the folder with the example's lists of ids."""
    connection = await asyncpg.connect(pg_url)
    try:
        lines: dict[str, list[Line]] = {}
        for row in await connection.fetch(_LINES):
            lines.setdefault(row["order_number"], []).append((row["article"], row["quantity"], row["unit_price"]))
        orders = tuple(
            SalesOrder(
                row["number"],
                row["web_order"],
                row["customer"],
                row["name"],
                row["total"],
                row["customer_order"],
                tuple(sorted(lines.get(row["number"], ()))),
            )
            for row in await connection.fetch(_ORDERS)
        )
        shipments = tuple((row["order_number"], row["tracking_number"]) for row in await connection.fetch(_SHIPMENTS))
        available = {row["number"]: row["available"] for row in await connection.fetch(_LEVELS)}
    finally:
        await connection.close()
    sold = _told_by(shop_ledger)
    return Evidence(
        web_orders=tuple(_web_order(line["order"]) for line in sold if line["kind"] == "order"),
        sales_orders=orders,
        deals=await _deals(crm_url),
        shipments=shipments,
        fulfillments=tuple(
            (str(line["fulfillment"]["order_id"]), line["fulfillment"]["tracking_number"])
            for line in sold
            if line["kind"] == "fulfillment"
        ),
        available=available,
        levels={line["inventory_item_id"]: line["available"] for line in sold if line["kind"] == "level"},
        crm_customer_of=_pairs(links / "customers_crm.csv"),
        shop_product_of=_pairs(links / "products_shop.csv"),
    )


def _told_by(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]


def _web_order(order: Mapping[str, object]) -> WebOrder:
    match order:
        case {
            "id": int(order_id),
            "customer": {"first_name": str(first_name), "last_name": str(last_name)},
            "total_price": str(total),
            "line_items": list(lines),
        }:
            bought = sorted((line["sku"], line["quantity"], Decimal(line["price"])) for line in lines)
            return WebOrder(str(order_id), f"{first_name} {last_name}", Decimal(total), tuple(bought))
        case _:
            raise ValueError("the shop's ledger has an order in another form")


async def _deals(crm_url: str) -> tuple[Deal, ...]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(f"{crm_url}/_deals") as answer,
    ):
        told = [json.loads(line) for line in (await answer.text()).splitlines()]
    return tuple(Deal(one["external_ref"], one["customer"], Decimal(one["amount"]), one["revision"]) for one in told)


def _pairs(file: Path) -> Mapping[str, str]:
    with file.open(encoding="utf-8", newline="") as lines:
        _, *rows = csv.reader(lines)
    return {row[0]: row[1] for row in rows}
