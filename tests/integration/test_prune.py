"""The inbox forgets what no copy of a message can come for any more, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from outbox.inbox.prune import Pruner
from outbox.model.delivery import State
from outbox.model.flow_events import DeliveriesForgotten
from outbox.model.lifecycle import Lifecycle
from outbox.postgres.prune import PruneStore
from outbox.supervisor import Pulse, Stop
from tests.kit.inbox import Inbox, arrival

DAY = 86_400.0


async def _age(inbox: Inbox, days: int) -> None:
    """Let everything have happened so many days earlier."""
    await inbox.database.rows(
        "update inbox.delivery set accepted_at = accepted_at - make_interval(days => $1),"
        " settled_at = settled_at - make_interval(days => $1)",
        days,
    )


@dataclass
class _Told:
    """Counts what is forgotten, and stops the service after its first round."""

    stop: Stop = field(default_factory=Stop)
    deliveries: int = 0

    def __call__(self, event: Lifecycle) -> None:
        if isinstance(event, DeliveriesForgotten):
            self.deliveries += event.deliveries
            self.stop.set()


async def test_only_what_ended_long_enough_ago_is_forgotten_with_its_bytes_and_attempts(inbox: Inbox) -> None:
    await inbox.accept(*(arrival(n, f"old{n}") for n in range(1, 6)), arrival(90, "waits"), arrival(91, "waits"))
    parked = next(due for due in await inbox.due() if due.key == "waits")
    await inbox.park(parked, State.DEAD)
    await inbox.apply_all()
    await _age(inbox, 61)
    await inbox.accept(*(arrival(n, f"new{n}") for n in range(101, 104)))
    await inbox.apply_all()

    told = _Told()
    await Pruner(PruneStore(inbox.database.server), keep_seconds=60 * DAY, report=told).run(told.stop, Pulse())

    assert told.deliveries == 5
    left = {"m90": "dead", "m91": "blocked", "m101": "applied", "m102": "applied", "m103": "applied"}
    assert await inbox.states() == left
    for table in ("message", "attempt"):
        orphans = await inbox.database.value(
            f"select count(*) from inbox.{table} where delivery_id not in (select id from inbox.delivery)"
        )
        assert orphans == 0


async def test_what_is_remembered_is_still_a_duplicate(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    await inbox.apply_all()
    await _age(inbox, 59)
    async with PruneStore(inbox.database.server).session() as session:
        assert await session.prune(60 * DAY, 0, 1000) == (0, None)
    assert (await inbox.accept(arrival(1))).duplicates == 1


async def test_a_round_goes_on_in_steps_and_ends_at_what_is_young(inbox: Inbox) -> None:
    await inbox.accept(*(arrival(n, f"k{n}") for n in range(1, 8)))
    await inbox.apply_all()
    await _age(inbox, 61)
    await inbox.accept(*(arrival(n, f"k{n}") for n in range(11, 18)))
    async with PruneStore(inbox.database.server).session() as session:
        after: int | None = 0
        steps = []
        while after is not None:
            forgotten, after = await session.prune(60 * DAY, after, 3)
            steps.append(forgotten)
    assert steps == [3, 3, 1]
