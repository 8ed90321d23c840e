"""One stream's relay: waits for the lead, makes sure that the database is the one it was, and publishes."""

from __future__ import annotations

import asyncio

from outbox.model.cursor import Lead
from outbox.model.errors import Unavailable
from outbox.model.lifecycle import LeadTaken, Report, StandingBy
from outbox.relay.guard import Guard
from outbox.relay.leader import Leader, RelaySettings
from outbox.relay.lease import held
from outbox.relay.memory import Memory
from outbox.relay.ports import Broker, Session, Store
from outbox.supervisor import Pulse, Stop


class Relay:
    """One stream's relay. Several may run; one leads."""

    def __init__(self, store: Store, broker: Broker, settings: RelaySettings, report: Report) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings
        self._report = report
        self._begin_anew = asyncio.Event()
        # Outlives sessions: after a failover it knows what the database may have lost.
        self._memory = Memory()

    def reconnect(self) -> None:
        """Give up what is under way and begin anew; for whoever sees that nothing moves."""
        self._begin_anew.set()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Publish until stopped; with ``is_draining``, until everything committed is confirmed.

        Raises:
            Unavailable: the database or the broker is away.
            LeaseLost: another relay leads.
            Misconfigured: a person must act, for example because the database was restored (CursorUncertain).
        """
        self._begin_anew.clear()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._until_begun_anew())
            await self._stand_by_and_lead(stop, pulse)
            watch.cancel()

    async def _until_begun_anew(self) -> None:
        await self._begin_anew.wait()
        raise Unavailable("the relay", "nothing moved although events wait")

    async def _stand_by_and_lead(self, stop: Stop, pulse: Pulse) -> None:
        async with self._store.session() as holder:
            lead = await self._wait_for_lead(holder, stop, pulse)
            if lead is None:
                return
            self._report(LeadTaken(self._store.stream, lead.epoch, lead.cursor.previous))
            async with held(holder, lead, self._store.lease_seconds):
                await self._lead(lead, stop, pulse)

    async def _lead(self, lead: Lead, stop: Stop, pulse: Pulse) -> None:
        # A session of its own: a statement that takes long must not hold up the renewal of the lease.
        async with self._store.session() as session, self._broker.publisher() as publisher:
            guard = Guard(self._store.stream, lead, session, publisher, self._memory, self._report)
            await guard.verify()
            pulse.establish()
            leader = Leader(self._store.stream, session, publisher, lead, self._settings, self._report, guard)
            await leader.run(stop, pulse)

    async def _wait_for_lead(self, session: Session, stop: Stop, pulse: Pulse) -> Lead | None:
        is_standing_by = False
        while not stop.is_set():
            pulse.beat()
            if lead := await session.try_lead():
                return lead
            pulse.establish()
            if not is_standing_by:
                self._report(StandingBy(self._store.stream))
                is_standing_by = True
            if self._settings.is_draining and (await session.waiting(1))[0] == 0:
                return None
            await stop.pause(self._settings.standby_poll_seconds)
        return None
