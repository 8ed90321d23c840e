"""Applies a flow's deliveries: fetch, render, write "applying", call, settle. All in groups, one call each.

What a crash leaves: before "applying" nothing has happened; after it the delivery is in doubt, and the recovery
strategy of its operation decides. A result is void when the lane has a new owner.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outbox.inbox.apply_session import ApplySession, ApplyStore
from outbox.inbox.call import answered, not_sent, result_of
from outbox.inbox.circuit import Told, sign_of_call, tell_circuit
from outbox.inbox.decide import Call, decide, goes_alone, groups
from outbox.inbox.lanes import LaneHolder, Ownership
from outbox.inbox.pace import Pace
from outbox.inbox.reach import Reach
from outbox.inbox.references import ReferringMap, resolved
from outbox.inbox.waits import Waits, WaitSettings
from outbox.inbox.watch import FlowWatch
from outbox.model.adapter import Adapter
from outbox.model.alerts import Promise
from outbox.model.awaited import Waiting
from outbox.model.circuit import Sign, sign_of
from outbox.model.delivery import RetryPolicy
from outbox.model.flow_events import LinkRefused, Parked
from outbox.model.inbox import DueDelivery, Parking, Result
from outbox.model.lifecycle import AttemptEnded, Report, SettleRefused
from outbox.model.mapping import Map
from outbox.model.outcome import Receipt
from outbox.model.versions import Cast, unchanged
from outbox.supervisor import Pulse, Stop

# What was looked at longer ago than this part of a lease is not called any more. The process stood still meanwhile:
# others may have its lanes and have found out that nothing was sent, and the call would come on top of theirs.
_LEAVES_WITHIN_LEASES = 1 / 3
_STOOD_STILL = "not sent: this process stood still between looking at the delivery and calling"
# With this much in hand nothing more is begun until a call ends: a bound for memory when many payloads are large.
_IN_HAND_BYTES = 64 * 1024 * 1024
# After rendering this much, others have their turn.
_RENDERED_BYTES = 1024 * 1024
# While more is due than can be called, every so many looks takes the newest: a backlog must not hold up what is new.
_LOOKS_PER_NEWEST = 4


@dataclass(frozen=True, slots=True)
class ApplierSettings:
    """How one flow is applied by one process."""

    lanes: int
    lease_seconds: float
    concurrency: int
    poll_seconds: float
    policy: RetryPolicy
    rate_per_second: float | None = None
    observe_every_seconds: float = 10.0
    promise: Promise = Promise()  # noqa: RUF009 - frozen
    refers: ReferringMap | None = None
    waits: WaitSettings = WaitSettings()  # noqa: RUF009 - frozen
    cast: Cast = unchanged


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that came back and is not settled yet."""

    call: Call
    result: Result
    seconds: float
    attempt: int


class Applier:
    """One flow's applier in one process."""

    def __init__(
        self,
        flow: str,
        store: ApplyStore,
        adapter: Adapter,
        mapping: Map,
        ownership: Ownership,
        settings: ApplierSettings,
        report: Report,
    ) -> None:
        self._flow = flow
        self._store = store
        self._adapter = adapter
        self._mapping = mapping
        self._ownership = ownership
        self._settings = settings
        self._report = report
        self._pace = Pace(settings.concurrency, settings.rate_per_second, time.monotonic)
        self._holder = LaneHolder(flow, ownership, settings.lease_seconds, report)
        self._watch = FlowWatch(flow, settings.promise, report, settings.observe_every_seconds, time.monotonic)
        self._waits = self._new_waits()
        self._lanes = settings.lanes
        self._looks = 0
        self._is_behind = False
        self._reach = Reach(time.monotonic)
        self._in_hand: dict[int, DueDelivery] = {}
        self._calls = 0
        self._ended: list[_Ended] = []
        self._told: list[Told] = []
        self._wake = asyncio.Event()

    def _new_waits(self) -> Waits:
        return Waits(self._flow, self._report, time.monotonic, self._settings.waits)

    def wake(self) -> None:
        """Look for work now: something was accepted."""
        self._wake.set()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Apply until stopped and everything begun is settled.

        Raises:
            Unavailable: the database is away.
        """
        self._in_hand.clear()
        self._calls = 0
        self._ended.clear()
        self._told.clear()
        self._waits = self._new_waits()
        holder = self._holder = LaneHolder(self._flow, self._ownership, self._settings.lease_seconds, self._report)
        done = Stop()
        async with (
            self._store.session(self._flow) as lane_session,
            self._store.session(self._flow) as session,
        ):
            self._lanes = await session.register(self._settings.lanes)
            self._pace.know_circuit(await session.circuit_changed_at())
            await holder.start(lane_session)
            pulse.establish()
            async with asyncio.TaskGroup() as group:
                group.create_task(holder.keep(lane_session, done, self._busy_lanes))
                group.create_task(self._wake_on(stop, done))
                await self._work(session, group, stop, pulse)
                done.set()

    async def _wake_on(self, stop: Stop, done: Stop) -> None:
        """A stop must not wait for the next poll."""
        await stop.wait()
        self._wake.set()
        await done.wait()

    def _busy_lanes(self) -> set[int]:
        return {due.lane for due in self._in_hand.values()}

    async def _work(self, session: ApplySession, group: asyncio.TaskGroup, stop: Stop, pulse: Pulse) -> None:
        while not (stop.is_set() and not self._in_hand):
            pulse.beat()
            self._wake.clear()
            await self._watch.look(session, self._ownership.owner)
            has_settled = await self._settle(session)
            has_begun = False if stop.is_set() else await self._begin(session, group, stop)
            if not (has_settled or has_begun):
                await stop.pause(min(self._settings.poll_seconds, self._watch.seconds_left()), wake=self._wake)

    async def _begin(self, session: ApplySession, group: asyncio.TaskGroup, stop: Stop) -> bool:
        has_looked = await self._waits.look(session, self._ownership.owner, self._holder.epochs())
        share = self._holder.held() / self._lanes
        free = self._pace.free_calls(self._calls, share)
        if free <= 0 or sum([len(due.body) for due in self._in_hand.values()]) >= _IN_HAND_BYTES:
            return has_looked
        leave_by = time.monotonic() + self._settings.lease_seconds * _LEAVES_WITHIN_LEASES
        due = await self._fetch(session, free * self._adapter.max_batch())
        # By now it may be known that the target was left alone.
        free = min(free, self._pace.free_calls(self._calls, share))
        decisions = await self._decide(session, due, free, stop)
        parkings = [decision for decision in decisions if isinstance(decision, Parking)]
        waitings = [decision for decision in decisions if isinstance(decision, Waiting)]
        # What is left over stays due.
        calls = groups([decision for decision in decisions if not isinstance(decision, Parking | Waiting)])[:free]
        waiting = await self._waits.begin(session, self._ownership.owner, waitings) if waitings else 0
        parked = await self._park(session, parkings, due) if parkings else 0
        begun = await self._call_all(session, group, calls, leave_by) if calls else 0
        # Neither: somebody else changed them since the fetch. Asking again at once would only spin.
        return has_looked or waiting + parked + begun > 0

    async def _decide(
        self, session: ApplySession, due: Sequence[DueDelivery], free: int, stop: Stop
    ) -> list[Call | Parking | Waiting]:
        """Decide about what is due, except what goes alone and finds no free call: rendering it would be in vain."""
        decisions: list[Call | Parking | Waiting] = []
        mapping, cast = self._mapping, self._settings.cast
        if self._settings.refers is not None:
            mapping = await resolved(self._settings.refers, cast, session, due)
        alone = rendered_bytes = 0
        for one in due:
            if goes_alone(one):
                alone += 1
                if alone > free:
                    continue
            if rendered_bytes >= _RENDERED_BYTES:
                # Leases, heartbeats and answers must not wait for large payloads.
                await stop.pause(0)
                rendered_bytes = 0
            rendered_bytes += len(one.body)
            decisions.append(decide(self._flow, one, mapping, self._adapter, cast))
        return decisions

    async def _fetch(self, session: ApplySession, wanted: int) -> list[DueDelivery]:
        self._looks += 1
        newest_first = self._is_behind and self._looks % _LOOKS_PER_NEWEST == 0
        due = await session.fetch(
            self._ownership.owner,
            self._in_hand,
            wanted,
            leaving=self._holder.leaving,
            newest_first=newest_first,
            reach_seconds=self._reach.begin(self._holder.epochs()),
        )
        if not newest_first:
            self._is_behind = len(due) == wanted
            self._reach.end(max([one.due_seconds for one in due], default=None))
        if due:
            self._pace.see_circuit(due[0].circuit_changed_at, is_probe=due[0].is_probe)
        return due

    async def _call_all(
        self, session: ApplySession, group: asyncio.TaskGroup, grouped: Sequence[Sequence[Call]], leave_by: float
    ) -> int:
        beginnings = [call.beginning() for calls in grouped for call in calls]
        attempts = await session.begin(self._ownership.owner, beginnings)
        for calls in grouped:
            begun = [call for call in calls if call.due.id in attempts]
            if begun:
                self._in_hand.update({call.due.id: call.due for call in begun})
                self._calls += 1
                self._pace.began(1)
                group.create_task(self._call(begun, attempts, leave_by))
        return len(attempts)

    async def _park(self, session: ApplySession, parkings: Sequence[Parking], due: Sequence[DueDelivery]) -> int:
        by_id = {one.id: one for one in due}
        parked = await session.park(self._ownership.owner, parkings)
        for parking in parkings:
            if parking.id in parked and parking.delay_seconds is None:
                one = by_id[parking.id]
                self._report(Parked(self._flow, one.message_id, one.sequence, None, parking.state, parking.reason))
        return len(parked)

    async def _call(self, calls: Sequence[Call], attempts: Mapping[int, int], leave_by: float) -> None:
        started_at = time.monotonic()
        is_too_late = started_at > leave_by
        answers = not_sent(calls, _STOOD_STILL) if is_too_late else await answered(self._adapter, calls, leave_by)
        seconds = time.monotonic() - started_at
        signs: list[Sign] = []
        for call, answer in zip(calls, answers, strict=True):
            attempt = attempts[call.due.id]
            jitter = random.random()  # noqa: S311 - jitter, not a secret
            result = result_of(call, answer, attempt=attempt, policy=self._settings.policy, jitter=jitter)
            signs.append(sign_of(answer.outcome if isinstance(answer, Receipt) else answer.answer))
            self._ended.append(_Ended(call, result, seconds, attempt))
        first, sign = calls[0].due, sign_of_call(signs)
        self._pace.note(sign.signal)
        self._told.append(Told(first.id, sign, first.is_watched))
        self._calls -= 1
        self._wake.set()

    async def _settle(self, session: ApplySession) -> bool:
        ended, self._ended = self._ended, []
        told, self._told = self._told, []
        if not ended:
            return False
        settled = await session.settle(self._ownership.owner, [one.result for one in ended])
        await tell_circuit(session, told, self._report)
        for one in ended:
            due, settlement = one.call.due, one.result.settlement
            del self._in_hand[due.id]
            if due.id in settled:
                about = (self._flow, due.message_id, due.sequence, one.attempt)
                outcome, state, reason = one.result.outcome, settlement.state, settlement.reason
                self._report(AttemptEnded(*about, outcome, state, one.seconds, due.traceparent, reason))
                if settlement.is_parked:
                    self._report(Parked(*about, state, reason))
                verdict = settled[due.id]
                if verdict is not None and verdict.is_conflict():
                    self._report(LinkRefused(self._flow, due.message_id, due.sequence, verdict))
        if len(settled) < len(ended):
            self._report(SettleRefused(self._flow, len(ended) - len(settled)))
        return True
