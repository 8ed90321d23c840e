"""What of a flow is counted and summed, to be compared from place to place."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from outbox.config.rules import broken_rule, matching
from outbox.config.strict import Strict
from outbox.model.units import Seconds

_DAY_SECONDS = 86400
_YEAR_SECONDS = 366 * _DAY_SECONDS

Path = Annotated[
    str,
    matching(
        r"[^.\s]{1,200}(?:\.[^.\s]{1,200}){0,20}",
        "must be the path of a field in the payload, with dots between its parts, for example order.total",
    ),
]


class CommittedQuery(Strict):
    """What the ERP's own tables say of a window; runs in a transaction that can write nothing."""

    query: Annotated[
        str,
        Field(
            min_length=1,
            max_length=20_000,
            description="A SELECT with the columns count, amount (if there is one) and currency (if there is one); "
            "$1 is the window's begin, $2 its end, as timestamptz.",
        ),
    ]
    role: Annotated[
        str | None,
        Field(min_length=1, max_length=63, description="The role that it runs as; null: that of postgres.url."),
    ] = None


class Reconcile(Strict):
    """What is counted and summed at every place, and when that is done by itself."""

    every: Annotated[
        Seconds, Field(ge=1, le=_YEAR_SECONDS, description="How often, counted in UTC; a window ends then.")
    ] = float(_DAY_SECONDS)
    window: Annotated[Seconds, Field(ge=1, le=_YEAR_SECONDS, description="How long a window is.")] = float(_DAY_SECONDS)
    lag: Annotated[
        Seconds,
        Field(
            ge=0,
            le=7 * _DAY_SECONDS,
            description="How long after its end a window is looked at, so that what was written last has arrived.",
        ),
    ] = 900.0
    events: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] | None,
        Field(min_length=1, description="The event types that count, of those of the flow; null: all of them."),
    ] = None
    amount: Annotated[
        Path | None, Field(description="Where the payload has the decimal that is summed; null: only counted.")
    ] = None
    currency: Annotated[
        Path | None, Field(description="Where the payload has its currency: each is summed by itself; null: one sum.")
    ] = None
    committed: Annotated[
        CommittedQuery | None, Field(description="What the ERP's own tables say; null: they are not asked.")
    ] = None

    @model_validator(mode="after")
    def _check_currency(self) -> Self:
        if self.currency is not None and self.amount is None:
            raise broken_rule("needs amount: without sums there is nothing to keep apart", field="currency")
        return self
