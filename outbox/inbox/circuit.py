"""Tells a flow's circuit what calls have shown of the target, when that may change it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from outbox.model.circuit import CircuitChange, Sign, Signal
from outbox.model.flow_events import CircuitChanged, TargetThrottles
from outbox.model.lifecycle import Report


@dataclass(frozen=True, slots=True)
class Told:
    """What one call has shown, named by its first delivery. ``is_watched``: the circuit wants to know in any case."""

    delivery_id: int
    sign: Sign
    is_watched: bool


# The loudest first: one record that took effect shows that the target works, whatever became of its neighbours.
_LOUDNESS = {Signal.STOP: 0, Signal.THROTTLE: 1, Signal.WORKS: 2, Signal.TROUBLE: 3, Signal.NONE: 4}


def sign_of_call(signs: Iterable[Sign]) -> Sign:
    """Return what a call has shown, of what each of its deliveries shows."""
    return min(signs, key=lambda sign: (_LOUDNESS[sign.signal], not sign.is_final, -(sign.pause_seconds or 0.0)))


class CircuitSession(Protocol):
    """The inbox as the circuit needs it."""

    async def circuit_changed_at(self) -> datetime | None:
        """Return when it was last opened or closed."""
        ...

    async def tell_circuit(self, told: Sequence[tuple[int, Sign]]) -> Sequence[CircuitChange]:
        """Move the circuit; return what changed."""
        ...


async def tell_circuit(session: CircuitSession, told: Sequence[Told], report: Report) -> None:
    """Tell the circuit, unless everything went well and it does not listen: that is no write in the usual case.

    A crash before this loses no more than a sign of which there will be others; a probe is given up after a minute, as
    one is that has not left.

    Raises:
        Unavailable: the database is away.
    """
    told = [one for one in told if one.sign.signal is not Signal.NONE]
    if all(one.sign.signal is Signal.WORKS and not one.is_watched for one in told):
        return
    for change in await session.tell_circuit([(one.delivery_id, one.sign) for one in told]):
        if change.is_throttled:
            report(TargetThrottles(change.flow, change.seconds or 0.0, change.reason))
        else:
            report(CircuitChanged(change.flow, change.state, change.seconds, change.needs_a_person, change.reason))
