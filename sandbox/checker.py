"""The judge: compares what the ERP committed with what the CRM did.

It must never import the sidecar or read its tables: a judge that asks the accused proves nothing. Its two
witnesses are the ERP's business tables and the CRM's ledger file.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

import asyncpg

EXAMPLES_SHOWN = 10
"""Enough to start an investigation, few enough to read."""

_SELECT_COMMITTED = "SELECT order_ref, customer, revision, amount FROM erp.sales_order ORDER BY order_ref"


@dataclass(frozen=True, slots=True)
class CommittedOrder:
    """An order in the ERP's business table; ``revision`` counts a customer's orders in order of commit."""

    order_ref: str
    customer: str
    revision: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One effect in the CRM; the order of the lines is the order in which the effects happened."""

    order_ref: str
    customer: str
    revision: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of each way to fail, with the first order references of each as examples.

    ``committed``: orders in the ERP. ``effects``: lines in the CRM's ledger.
    ``lost``: committed orders without an effect. ``duplicated``: effects beyond the first of an order.
    ``out_of_order``: effects with a lower revision than an earlier effect of the same customer.
    ``unexpected``: effects of orders that were never committed.
    ``altered``: effects whose customer, revision or amount is not what the ERP committed.
    """

    committed: int
    effects: int
    lost: int
    duplicated: int
    out_of_order: int
    unexpected: int
    altered: int
    lost_examples: tuple[str, ...] = ()
    duplicated_examples: tuple[str, ...] = ()
    out_of_order_examples: tuple[str, ...] = ()
    unexpected_examples: tuple[str, ...] = ()
    altered_examples: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether each committed order had exactly one effect, unaltered and in order, and no other did."""
        return not (self.lost or self.duplicated or self.out_of_order or self.unexpected or self.altered)


def judge(committed: Iterable[CommittedOrder], ledger: Iterable[LedgerLine]) -> Verdict:
    """Compare committed orders with effects, given in the order in which they happened."""
    orders = {order.order_ref: order for order in committed}
    effects: Counter[str] = Counter()
    highest_revision: dict[str, int] = {}
    duplicated: list[str] = []
    out_of_order: list[str] = []
    unexpected: list[str] = []
    altered: list[str] = []
    for line in ledger:
        effects[line.order_ref] += 1
        order = orders.get(line.order_ref)
        if order is None:
            unexpected.append(line.order_ref)
            continue
        if effects[line.order_ref] > 1:
            duplicated.append(line.order_ref)
        if (line.customer, line.revision, line.amount) != (order.customer, order.revision, order.amount):
            altered.append(line.order_ref)
        # The order is judged by the ERP's revision: an altered line must not hide an inversion.
        highest = highest_revision.get(order.customer, 0)
        if order.revision < highest:
            out_of_order.append(line.order_ref)
        highest_revision[order.customer] = max(highest, order.revision)
    lost = [order_ref for order_ref in orders if order_ref not in effects]
    return Verdict(
        committed=len(orders),
        effects=effects.total(),
        lost=len(lost),
        duplicated=len(duplicated),
        out_of_order=len(out_of_order),
        unexpected=len(unexpected),
        altered=len(altered),
        lost_examples=_examples(lost),
        duplicated_examples=_examples(duplicated),
        out_of_order_examples=_examples(out_of_order),
        unexpected_examples=_examples(unexpected),
        altered_examples=_examples(altered),
    )


def _examples(order_refs: list[str]) -> tuple[str, ...]:
    distinct = dict.fromkeys(order_refs)
    return tuple(distinct)[:EXAMPLES_SHOWN]


async def read_committed(pg_url: str) -> list[CommittedOrder]:
    """Read every order from the ERP's business table."""
    connection = await asyncpg.connect(pg_url)
    try:
        rows = await connection.fetch(_SELECT_COMMITTED)
    finally:
        await connection.close()
    return [CommittedOrder(row["order_ref"], row["customer"], row["revision"], row["amount"]) for row in rows]


def read_ledger(path: Path) -> list[LedgerLine]:
    """Read the CRM's ledger, also while it is written: a last line without line feed did not happen yet."""
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    lines = (json.loads(line) for line in complete.splitlines())
    return [
        LedgerLine(line["order_ref"], line["customer"], line["revision"], Decimal(line["amount"])) for line in lines
    ]


async def check(pg_url: str, ledger_path: Path) -> Verdict:
    """Judge the ERP's database against the CRM's ledger file, as they are now."""
    return judge(await read_committed(pg_url), read_ledger(ledger_path))


def main() -> int:
    """Print the verdict as JSON; exit code 0 when clean, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.checker", description=main.__doc__)
    parser.add_argument("--pg-url", required=True, help="the ERP's database")
    parser.add_argument("--ledger", required=True, type=Path, help="the CRM's ledger file")
    arguments = parser.parse_args()
    verdict = asyncio.run(check(arguments.pg_url, arguments.ledger))
    print(json.dumps({**asdict(verdict), "is_clean": verdict.is_clean}, indent=2))
    return 0 if verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
