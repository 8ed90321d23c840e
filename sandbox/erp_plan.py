"""Decides what the ERP's transactions will do: pure, and the same for the same seed."""

import random
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

_SLOW_MS = (50, 1500)
# Long enough for others to draw a later transaction id and commit before this one locks its customer.
_EARLY_XID_MS = (1, 20)
_SAVEPOINT_SHARE = 0.1
_EARLY_XID_SHARE = 0.1


class Shape(StrEnum):
    """How a transaction goes about its work."""

    PLAIN = "plain"
    SAVEPOINT = "savepoint"
    """One order is undone by a rollback to a savepoint, the next is confirmed inside a released one."""
    EARLY_XID = "early_xid"
    """The transaction id is drawn some time before the customer is locked."""


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line of an order."""

    article: str
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class PlannedTransaction:
    """One transaction, decided before it runs."""

    customer: str
    lines: tuple[OrderLine, ...]
    shape: Shape
    early_ms: int
    hold_ms: int
    is_rolled_back: bool

    @property
    def amount(self) -> Decimal:
        """The order's total."""
        return sum((line.quantity * line.unit_price for line in self.lines), Decimal("0.00"))


def customer_names(keys: int) -> list[str]:
    """Name the customers, from C-001 on."""
    return [f"C-{number:03d}" for number in range(1, keys + 1)]


def plan_transactions(
    *, orders: int, keys: int, seed: int, rolled_back_share: float, slow_share: float
) -> list[PlannedTransaction]:
    """Plan ``orders`` transactions that commit, and more so that ``rolled_back_share`` of all do not."""
    rolled_back = round(orders * rolled_back_share / (1 - rolled_back_share))
    dice = random.Random(seed)
    customers = customer_names(keys)
    fates = [False] * orders + [True] * rolled_back
    dice.shuffle(fates)
    return [
        PlannedTransaction(
            customer=dice.choice(customers),
            lines=_lines(dice),
            shape=_shape(dice.random()),
            early_ms=dice.randint(*_EARLY_XID_MS),
            hold_ms=dice.randint(*_SLOW_MS) if dice.random() < slow_share else 0,
            is_rolled_back=is_rolled_back,
        )
        for is_rolled_back in fates
    ]


def _shape(draw: float) -> Shape:
    if draw < _SAVEPOINT_SHARE:
        return Shape.SAVEPOINT
    return Shape.EARLY_XID if draw < _SAVEPOINT_SHARE + _EARLY_XID_SHARE else Shape.PLAIN


def _lines(dice: random.Random) -> tuple[OrderLine, ...]:
    return tuple(
        OrderLine(
            article=f"A-{dice.randint(1000, 9999)}",
            quantity=dice.randint(1, 5),
            unit_price=Decimal(dice.randint(100, 20_000)).scaleb(-2),
        )
        for _ in range(dice.randint(1, 4))
    )
