"""A table's contents as told by its captured events, checked event by event."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg

Row = dict[str, Any]


@dataclass
class Replica:
    """What a consumer that applies every event in sequence would hold, keyed by the rows' identity."""

    rows: dict[str, Row] = field(default_factory=dict)
    applied: int = 0

    def apply(self, event: asyncpg.Record) -> None:
        """Apply one event; it must fit to what is there, to the letter."""
        told = json.loads(event["payload"], parse_float=str, parse_int=str)
        operation = event["type"].rpartition(".")[2]
        assert told["op"] == operation
        self.applied += 1
        if operation == "truncated":
            self.rows.clear()
            return
        identity = json.dumps(told["identity"])
        former = self.rows.pop(identity, None)
        match operation:
            case "created":
                assert former is None, f"created twice: {identity}"
                assert set(told) == {"op", "identity", "new"}
            case "updated":
                assert former is not None, f"updated before it was created: {identity}"
                assert told["old"] == {name: former[name] for name in told["changed"]}, (told, former)
                assert told["changed"] == [name for name, value in told["new"].items() if former[name] != value]
            case "deleted":
                assert former == told["old"], f"deleted as something else: {former} {told}"
                return
        assert all(told["new"][name] == value for name, value in told["identity"].items())
        self.rows[identity] = told["new"]


async def replayed(connection: asyncpg.Connection, event_type: str) -> Replica:
    """Apply every event of a type in the order of its ids."""
    replica = Replica()
    for event in await connection.fetch(
        "select type, payload from outbox.event where type like $1 order by id", f"{event_type}.%"
    ):
        replica.apply(event)
    return replica
