"""Who answers for a flow, and what they promise of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from outbox.config.rules import broken_rule
from outbox.config.strict import Strict
from outbox.model.units import Seconds

_YEAR_SECONDS = 366 * 86400
# More than any ledger has, and few enough to be added up without rounding.
_MAX_DIGITS = 38


def parse_amount(value: object) -> object:
    """Turn ``"0.01"`` into a decimal. A bare number has been through binary floating point, or reads as if it had.

    Raises:
        ValueError: it is not a decimal in quotes.
    """
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not value.replace(".", "", 1).isdecimal() or not value.isascii():
        raise broken_rule('must be a decimal in quotes, for example "0.01"')
    if len(value) > _MAX_DIGITS:
        raise broken_rule(f"must have at most {_MAX_DIGITS} characters")
    return Decimal(value)


Amount = Annotated[Decimal, BeforeValidator(parse_amount)]


class Owner(Strict):
    """Whom to ask about a flow."""

    business: Annotated[str, Field(min_length=1, description="Who decides what is right, for example an address.")]
    technical: Annotated[str, Field(min_length=1, description="Who mends it, for example an address.")]


class Alert(Strict):
    """When the owner is told."""

    late_after: Annotated[
        Seconds,
        Field(gt=0, le=_YEAR_SECONDS, description="A delivery that waits for longer is late; parked ones do not wait."),
    ]
    to: Annotated[
        tuple[str, ...] | None,
        Field(description="Names of alerts.channels, for all that is wrong with the flow; null: those of alerts.to."),
    ] = None


class Tolerance(Strict):
    """By how much totals may differ before that is told."""

    count: Annotated[int, Field(ge=0, le=10**12, description="Events.")] = 0
    amount: Annotated[Amount, Field(ge=0, description='The sum of their amounts, as "0.01".')] = Decimal(0)
