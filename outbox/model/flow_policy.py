"""What the functions of the inbox are told of a flow's settings."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.model.circuit import CircuitPolicy
from outbox.model.delivery import OrderPolicy
from outbox.model.xref import Registry


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """What the database must know of a flow.

    ``order``: of dead and stale deliveries. ``circuit``: when it opens, and for how long. ``connection``: the name of
    the one by which the target is called; flows that share it are throttled together. None: no other flow does.
    ``links``: what the keys of its events name, in which system; its receipts then fill the cross-reference.
    """

    order: OrderPolicy = OrderPolicy()  # noqa: RUF009 - frozen
    circuit: CircuitPolicy = CircuitPolicy()  # noqa: RUF009 - frozen
    connection: str | None = None
    links: Registry | None = None
