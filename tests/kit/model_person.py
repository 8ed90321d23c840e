"""A person who decides about deliveries, after a look into the target; and one who moves copies on the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from outbox.model.dead_copies import Copy
from outbox.model.dead_letters import Action, Decision, Verdict
from outbox.model.inbox import Arrival
from outbox.postgres.dead_letters import DeadLetterSession
from tests.kit.model_target import ModelTarget, Nature
from tests.kit.model_wire import Wire

Row = Mapping[str, Any]

_PARKED = ("dead", "in_doubt")


@dataclass(frozen=True)
class Person:
    """Never says of the target what is not so."""

    session: DeadLetterSession
    flow: str
    target: ModelTarget

    async def decide(self, action: Action, rows: Sequence[Row], numbers: Sequence[int], wire: Wire) -> None:
        """Decide about some of what waits for a person, or else of what is not finished."""
        chosen = self._chosen(rows, numbers)
        if action is Action.EDIT:
            for row in chosen:
                await self._edit(row, wire)
            return
        if action is Action.HAPPENED:
            chosen = [row for row in chosen if self._has(row["message_id"])]
        elif action is not Action.RETRY:
            chosen = [row for row in chosen if self._never_has(row["message_id"])]
        await self.session.resolve(self.flow, [row["id"] for row in chosen], Decision(action, "a person", "so it is"))

    async def _edit(self, row: Row, wire: Wire) -> None:
        """Write it so that nothing is wrong with it any more."""
        body = json.dumps({"nature": Nature.FINE}).encode()
        decision = Decision(Action.EDIT, "a person", "so it is right", body=body)
        (done,) = await self.session.resolve(self.flow, [row["id"]], decision)
        if done.verdict is Verdict.DONE:
            wire.natures[row["message_id"]] = Nature.FINE

    def moved_back(self, rows: Sequence[Row], numbers: Sequence[int], wire: Wire) -> list[Arrival]:
        """Return the copies of dead letters as they come back, also of those that are none any more."""
        died = [row for row in rows if row["deaths"]]
        arrivals = {arrival.message_id: arrival for arrival in wire.arrived}
        return [
            replace(
                arrivals[row["message_id"]],
                copy=Copy(row["id"], max(1, row["deaths"] - number % 2), row["message_id"]),
            )
            for number in numbers
            if died
            for row in [died[number % len(died)]]
        ]

    def _chosen(self, rows: Sequence[Row], numbers: Sequence[int]) -> list[Row]:
        waiting = [row for row in rows if row["state"] in _PARKED]
        waiting = waiting or [row for row in rows if row["state"] not in {"applied", "skipped"}]
        return [waiting[index] for index in sorted({number % len(waiting) for number in numbers})] if waiting else []

    def _has(self, message_id: str) -> bool:
        return any(effect.message_id == message_id for effect in self.target.effects)

    def _never_has(self, message_id: str) -> bool:
        return not self._has(message_id) and not self.target.is_busy_with(message_id)
