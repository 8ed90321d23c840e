"""Judges what is seen of flows, streams, totals and settings, and keeps in the database what stands.

It listens to what this process tells anyway, and asks the database for what is stored there. What it writes is how
things stand, never that they have changed: whatever was lost by a killed process is written by the next look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from outbox.model.addresses import Addressees
from outbox.model.alert_events import AlertsSeen
from outbox.model.alert_rules import (
    AlertRule,
    Grounds,
    Judgement,
    calm_flow,
    flow_subject,
    judge_flow,
    judge_settings,
    judge_stream,
    judge_totals,
    stands,
)
from outbox.model.alerts import Promise
from outbox.model.flow_events import FlowObserved, FlowUnobserved
from outbox.model.lifecycle import Lifecycle, Report, ServiceWaiting, StreamObserved
from outbox.model.settings_events import FlowStarted, FlowStopped
from outbox.supervisor import Pulse, Stop

# What is stored changes by the minute: windows of totals, settings that were refused, alerts of other processes.
_LOOKS_FOR_GROUNDS = 2
_PRUNE_SECONDS = 3600.0


class AlertSession(Protocol):
    """The alerts in the database."""

    async def judge(self, judgement: Judgement, addressees: Addressees, over_after_seconds: float) -> int:
        """Note how a subject stands; return how many alerts of its rules have not ended."""
        ...

    async def grounds(self) -> Grounds:
        """Return what is stored and judged by."""
        ...

    async def prune(self, keep_seconds: float) -> int:
        """Forget what has been over for so long."""
        ...


class AlertStore(Protocol):
    """Opens sessions."""

    def session(self) -> AbstractAsyncContextManager[AlertSession]:
        """Open one for the length of the block."""
        ...


@dataclass(frozen=True, slots=True)
class Ward:
    """A flow, as it is judged."""

    promise: Promise
    is_reconciled: bool
    addressees: Addressees


@dataclass(frozen=True, slots=True)
class Bounds:
    """See `outbox.config.alerts`."""

    circuit_open_after_seconds: float
    unpublished_after_seconds: float
    over_after_seconds: float
    keep_seconds: float
    check_every_seconds: float


_Key = tuple[str, tuple[AlertRule, ...]]


class Judge:
    """A supervised service, and a listener. Several processes may run it: they see the same.

    Args:
        store: opens its sessions.
        bounds: when it speaks.
        wards: the flows of the settings; replaced when those are taken up anew.
        everybody: who is told of what belongs to no flow.
        report: takes how many alerts stand.
    """

    def __init__(
        self, store: AlertStore, bounds: Bounds, wards: Mapping[str, Ward], everybody: Addressees, report: Report
    ) -> None:
        self._store = store
        self._bounds = bounds
        self._everybody = everybody
        self._report = report
        self.wards = wards
        self._fresh: dict[_Key, Judgement] = {}
        self._removed: set[str] = set()
        # By subject and rule, whoever has raised it; read again and again.
        self._standing: set[tuple[str, str]] = set()
        self._grounds_at = 0.0
        self._prune_at = 0.0

    def hear(self, event: Lifecycle) -> None:
        """Judge one event; it is written at the next look."""
        match event:
            case FlowObserved(flow) if flow in self.wards:
                bound = self._bounds.circuit_open_after_seconds
                self._note(judge_flow(self.wards[flow].promise, bound, event))
            case FlowUnobserved(flow):
                self._forget(flow)
            case ServiceWaiting() if event.service.startswith("apply "):
                # Whoever applies a flow is the one that looks at it.
                self._forget(event.service.removeprefix("apply "))
            case FlowStopped(flow, is_removed):
                self._forget(flow)
                if is_removed:
                    self._removed.add(flow)
            case FlowStarted(flow):
                self._removed.discard(flow)
            case StreamObserved():
                bound = self._bounds.unpublished_after_seconds
                self._note(judge_stream(event.stream, event.oldest_age_seconds, bound))
            case _:
                pass

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Write what is new until stopped.

        Raises:
            Unavailable: the database is away.
        """
        # A process does its work also where nobody can be told of it: nothing that is wrong here ends it.
        pulse.establish()
        while not stop.is_set():
            pulse.beat()
            if time.monotonic() >= self._grounds_at or any(map(self._is_due, self._fresh.values())):
                async with self._store.session() as session:
                    await self._look(session)
                    await self._write(session, pulse)
            await stop.pause(self._bounds.check_every_seconds)

    def _note(self, judgement: Judgement) -> None:
        self._fresh[judgement.subject, judgement.rules] = judgement

    def _forget(self, flow: str) -> None:
        """Another process looks from now on, or nobody can: what was seen here says nothing any more."""
        for key in [key for key in self._fresh if key[0] == flow_subject(flow)]:
            del self._fresh[key]

    def _is_due(self, judgement: Judgement) -> bool:
        """Say whether there is something to write: it is broken, or was."""
        return bool(judgement.broken) or stands(judgement, self._standing)

    async def _look(self, session: AlertSession) -> None:
        """Judge what is stored, when it is time to."""
        if time.monotonic() < self._grounds_at:
            return
        grounds = await session.grounds()
        self._standing = set(grounds.standing)
        self._report(AlertsSeen(grounds.raised))
        self._note(judge_settings(grounds.refused, grounds.processes, grounds.refusal))
        for ground in grounds.totals:
            if ground.flow in self.wards:
                is_asked = self.wards[ground.flow].is_reconciled
                # What nobody reconciles any more disagrees no more.
                self._note(judge_totals(ground) if is_asked else calm_flow(ground.flow)[1])
        for flow in self._removed:
            for judgement in calm_flow(flow):
                self._note(judgement)
        self._grounds_at = time.monotonic() + _LOOKS_FOR_GROUNDS * self._bounds.check_every_seconds
        if time.monotonic() >= self._prune_at:
            await session.prune(self._bounds.keep_seconds)
            self._prune_at = time.monotonic() + _PRUNE_SECONDS

    async def _write(self, session: AlertSession, pulse: Pulse) -> None:
        for key in list(self._fresh):
            judgement = self._fresh.get(key)
            if judgement is None:
                continue
            if self._is_due(judgement):
                pulse.beat()
                ward = None if judgement.flow is None else self.wards.get(judgement.flow)
                addressees = self._everybody if ward is None else ward.addressees
                left = await session.judge(judgement, addressees, self._bounds.over_after_seconds)
                pairs = {(judgement.subject, rule.value) for rule in judgement.rules}
                self._standing = self._standing | pairs if left else self._standing - pairs
            # What came meanwhile stays, and so does what could not be written.
            if self._fresh.get(key) is judgement:
                del self._fresh[key]
