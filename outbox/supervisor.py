"""The one place that starts loops, restarts them, and drains them.

A service is a name and a coroutine. It raises `Unavailable`, `LeaseLost` or `Misconfigured` when it cannot work now:
the supervisor waits, with jittered backoff, and runs it again. It returns when its work is done or when ``stop`` is
set and what it had begun is settled. Any other exception is a bug: the other services drain, then the process ends.

`Misconfigured` before a service was ever established ends the process too: a wrong password at the start is told at
once, while the same error after a healthy night (a rotated password, a failover) is waited for. `SettingsOutdated`
ends it at any time. Services that are added later never end it by `Misconfigured`: the others are well.

A cancel is never worse than ``kill -9``, and ``kill -9`` is safe anywhere: nothing is shielded.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
import weakref
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from outbox.model.backoff import Backoff
from outbox.model.errors import ExitCode, Misconfigured, OutboxError, SettingsOutdated, obstacle
from outbox.model.lifecycle import (
    Draining,
    DrainOverrun,
    Report,
    ServiceFailed,
    ServiceStarted,
    ServiceWaiting,
)

# 0.25, 0.5, 1, 2, 4, 5, 5, …: quick after a restart of the other side, never hammering a dead one.
RESTART_BACKOFF = Backoff(first_seconds=0.25, max_seconds=5.0)
# A service that ran this long was healthy: its next failure starts the backoff anew.
HEALTHY_AFTER_SECONDS = 30.0
# Longer than any bound on an await in a loop; a loop that has not turned for this long hangs.
STUCK_AFTER_SECONDS = 180.0
# How often a service that waits for others says that it does.
BEAT_SECONDS = 30.0


class Stop:
    """The request to stop: set once, waited for by everybody."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._pausing: set[asyncio.Future[None]] = set()
        self._parts: weakref.WeakSet[Stop] = weakref.WeakSet()

    def set(self) -> None:
        """Ask every service to finish what it has begun and return."""
        self._event.set()
        for pausing in self._pausing:
            _resume(pausing)
        for part in self._parts:
            part.set()

    def part(self) -> Stop:
        """Return a request to stop that can be set alone, and is set with this one."""
        part = Stop()
        if self.is_set():
            part.set()
        self._parts.add(part)
        return part

    def is_set(self) -> bool:
        """Say whether stopping was asked for."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Wait until stopping is asked for."""
        await self._event.wait()

    async def pause(self, seconds: float, *, wake: asyncio.Event | None = None) -> None:
        """Wait this long, or until stopping is asked for; with ``wake``, until that is set instead."""
        if wake is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await wake.wait()
        elif not self.is_set():
            await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        # What an idle process does most: a time-out, which ends in a cancellation, costs it three times as much.
        loop = asyncio.get_running_loop()
        pausing = loop.create_future()
        timer = loop.call_later(seconds, _resume, pausing)
        self._pausing.add(pausing)
        try:
            await pausing
        finally:
            timer.cancel()
            self._pausing.discard(pausing)


def _resume(pausing: asyncio.Future[None]) -> None:
    if not pausing.done():
        pausing.set_result(None)


@dataclass(slots=True)
class Pulse:
    """Whether a service's loop turns. Read by liveness."""

    is_running: bool = False
    is_waiting: bool = False
    is_established: bool = False
    beaten_at: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """Note that the loop has turned."""
        self.beaten_at = time.monotonic()

    def establish(self) -> None:
        """Note that everything the service needs has worked once: what fails from now on may pass by itself."""
        self.is_established = True
        self.beat()

    def state(self) -> str:
        """Return one word for people: running, waiting, stuck or ended."""
        if self.is_stuck():
            return "stuck"
        if self.is_waiting:
            return "waiting"
        return "running" if self.is_running else "ended"

    def is_stuck(self) -> bool:
        """Say whether the loop should have turned by now."""
        return self.is_running and time.monotonic() - self.beaten_at > STUCK_AFTER_SECONDS


@dataclass(frozen=True, slots=True)
class Service:
    """One supervised loop. ``ends_process``: when all of these have returned by themselves, the whole job is done."""

    name: str
    run: Callable[[Stop, Pulse], Awaitable[None]]
    ends_process: bool = False


class ServicesFailed(ExceptionGroup[Exception]):
    """The bugs that ended services; each of them was reported when it happened."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A service that was begun; ``stop`` is its own."""

    task: asyncio.Task[None]
    stop: Stop


class Supervisor:
    """Runs services until stopped; bounds the drain. While it runs, some can be retired and others added."""

    def __init__(self, services: Iterable[Service], *, grace_seconds: float, report: Report) -> None:
        self._services = tuple(services)
        self._grace_seconds = grace_seconds
        self._report = report
        self._failures: list[Exception] = []
        self._refusal: Misconfigured | None = None
        self._unfinished_jobs = {service.name for service in self._services if service.ends_process}
        self._deadline: asyncio.Timeout | None = None
        self._group: asyncio.TaskGroup | None = None
        self._members: dict[str, _Member] = {}
        self.stop = Stop()
        self.pulses = {service.name: Pulse() for service in self._services}

    async def run(self) -> ExitCode:
        """Run until every service has returned.

        Returns:
            OK, or DRAIN_TIMEOUT when the grace was not enough, or a service that is the whole job was stopped before
            its end.

        Raises:
            Misconfigured: a service could not even start, and a person must act.
            ServicesFailed: the bugs that ended services.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            is_drained = await self._run_all()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        if self._refusal is not None:
            raise self._refusal
        if self._failures:
            raise ServicesFailed("services ended by a bug", self._failures)
        return ExitCode.OK if is_drained and not self._unfinished_jobs else ExitCode.DRAIN_TIMEOUT

    def _on_signal(self) -> None:
        if self.stop.is_set() and self._deadline is not None:
            # Asked twice: whoever asks does not want to wait.
            self._deadline.reschedule(asyncio.get_running_loop().time())
        self.stop.set()

    async def _run_all(self) -> bool:
        try:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:
                self._deadline, self._group = deadline, group
                for service in self._services:
                    self._begin(service)
                watch = group.create_task(self._bound_the_drain(deadline))
                while running := [member.task for member in self._members.values() if not member.task.done()]:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                watch.cancel()
        except TimeoutError:
            self._report(DrainOverrun(tuple(name for name, pulse in self.pulses.items() if pulse.is_running)))
            return False
        return True

    def add(self, services: Iterable[Service]) -> None:
        """Start more services, of names that nobody has; only while it runs."""
        for service in services:
            # A process that is well does not end because one part of it cannot begin.
            self.pulses[service.name] = Pulse(is_established=True)
            self._begin(service)

    async def retire(self, names: Collection[str], pulse: Pulse) -> bool:
        """Drain services and forget them; those that take longer than the grace are cancelled, and named.

        ``pulse``: of the service that waits for this; the grace may be longer than a loop should take.

        Returns:
            whether all of them came to their end by themselves.
        """
        members = [self._members[name] for name in names]
        for member in members:
            member.stop.set()
        busy, ends_at = {member.task for member in members}, time.monotonic() + self._grace_seconds
        while busy and (seconds_left := ends_at - time.monotonic()) > 0:
            pulse.beat()
            _, busy = await asyncio.wait(busy, timeout=min(seconds_left, BEAT_SECONDS))
        if busy:
            self._report(DrainOverrun(tuple(name for name in names if self._members[name].task in busy)))
            for task in busy:
                task.cancel()
            await asyncio.wait(busy)
        for name in names:
            del self._members[name], self.pulses[name]
        return not busy

    def _begin(self, service: Service) -> None:
        if self._group is None:
            raise LookupError("services are added to a supervisor that runs")
        stop = self.stop.part()
        self._members[service.name] = _Member(
            self._group.create_task(self._keep(stop, service), name=service.name), stop
        )

    async def _bound_the_drain(self, deadline: asyncio.Timeout) -> None:
        await self.stop.wait()
        self._report(Draining(self._grace_seconds))
        deadline.reschedule(asyncio.get_running_loop().time() + self._grace_seconds)

    async def _keep(self, stop: Stop, service: Service) -> None:
        pulse = self.pulses[service.name]
        failures = 0
        while not stop.is_set():
            started_at = time.monotonic()
            pulse.is_running, pulse.is_waiting = True, False
            pulse.beat()
            self._report(ServiceStarted(service.name))
            try:
                await service.run(stop, pulse)
            except Exception as error:  # noqa: BLE001 - a bug in one service must not cut the others off mid-delivery
                found = obstacle(error)
                if found is None:
                    self._failures.append(error)
                    self._report(ServiceFailed(service.name, error))
                    self.stop.set()
                    break
                if isinstance(found, Misconfigured) and (
                    not pulse.is_established or isinstance(found, SettingsOutdated)
                ):
                    self._refusal = self._refusal or found
                    self.stop.set()
                    break
                failures = 1 if time.monotonic() - started_at > HEALTHY_AFTER_SECONDS else failures + 1
                pulse.is_waiting = True
                await self._wait(stop, service, found, failures)
            else:
                if service.ends_process and not stop.is_set():
                    self._unfinished_jobs.discard(service.name)
                    if not self._unfinished_jobs:
                        self.stop.set()
                break
        pulse.is_running, pulse.is_waiting = False, False

    async def _wait(self, stop: Stop, service: Service, error: OutboxError, failures: int) -> None:
        pause_seconds = RESTART_BACKOFF.delay_seconds(failures, random.random())  # noqa: S311 - jitter, not a secret
        self._report(ServiceWaiting(service.name, str(error), pause_seconds, isinstance(error, Misconfigured)))
        await stop.pause(pause_seconds)
