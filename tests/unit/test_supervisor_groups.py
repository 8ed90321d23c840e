"""Services that are retired and added while others run: nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from outbox import supervisor as module
from outbox.model.backoff import Backoff
from outbox.model.errors import AccessRefused, ExitCode, Misconfigured
from outbox.model.lifecycle import Draining, DrainOverrun, Lifecycle, ServiceStarted, ServiceWaiting
from outbox.supervisor import Pulse, Service, Stop, Supervisor


class House:
    """A supervisor that runs for the length of a block, with its reports."""

    def __init__(self, *services: Service, grace_seconds: float = 10.0) -> None:
        self.reports: list[Lifecycle] = []
        self.supervisor = Supervisor(services, grace_seconds=grace_seconds, report=self.reports.append)
        self.code: ExitCode | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            task = group.create_task(self.supervisor.run())
            await self.reaches(lambda: {ServiceStarted(name) for name in self.supervisor.pulses} <= set(self.started()))
            yield
            self.supervisor.stop.set()
        self.code = task.result()

    async def reaches(self, state: Callable[[], bool]) -> None:
        while not state():
            await Stop().pause(0.001)

    def started(self) -> list[ServiceStarted]:
        return [report for report in self.reports if isinstance(report, ServiceStarted)]


async def until_stopped(stop: Stop, _pulse: Pulse) -> None:
    await stop.wait()


async def for_ever(_stop: Stop, _pulse: Pulse) -> None:
    await asyncio.Event().wait()


async def test_a_service_is_retired_and_another_takes_its_name_while_the_rest_runs_on() -> None:
    house = House(Service("a", until_stopped), Service("b", until_stopped))
    async with house.running():
        assert await house.supervisor.retire(["a"], Pulse())
        assert list(house.supervisor.pulses) == ["b"]
        house.supervisor.add([Service("a", until_stopped), Service("c", until_stopped)])
        await house.reaches(lambda: len(house.started()) == 4)
        assert {pulse.state() for pulse in house.supervisor.pulses.values()} == {"running"}
    assert house.code is ExitCode.OK
    assert [report.service for report in house.started()].count("b") == 1


async def test_what_a_retired_service_has_begun_is_finished_first() -> None:
    finished: list[str] = []

    async def careful(stop: Stop, _pulse: Pulse) -> None:
        await stop.wait()
        await stop.pause(0)
        finished.append("delivery")

    house = House(Service("careful", careful), Service("b", until_stopped))
    async with house.running():
        assert await house.supervisor.retire(["careful"], Pulse())
        assert finished == ["delivery"]
        assert not any(isinstance(report, Draining) for report in house.reports)


async def test_a_service_that_does_not_come_to_its_end_is_cancelled_and_named() -> None:
    house = House(
        Service("stuck", for_ever), Service("done", until_stopped), Service("b", until_stopped), grace_seconds=0.02
    )
    async with house.running():
        assert not await house.supervisor.retire(["stuck", "done"], Pulse())
        assert DrainOverrun(("stuck",)) in house.reports
        assert list(house.supervisor.pulses) == ["b"]
    assert house.code is ExitCode.OK


async def test_whoever_waits_for_a_drain_is_not_taken_for_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(module, "STUCK_AFTER_SECONDS", 0.1)
    house = House(Service("stuck", for_ever), Service("b", until_stopped), grace_seconds=0.3)
    pulse = Pulse(is_running=True)
    async with house.running(), asyncio.TaskGroup() as group:
        retiring = group.create_task(house.supervisor.retire(["stuck"], pulse))
        while not retiring.done():
            await Stop().pause(0.005)
            assert not pulse.is_stuck()


async def test_a_service_that_was_just_added_can_be_retired_at_once() -> None:
    house = House(Service("b", until_stopped))
    async with house.running():
        for _ in range(20):
            house.supervisor.add([Service("a", until_stopped)])
            assert await house.supervisor.retire(["a"], Pulse())
        house.supervisor.add([Service("a", until_stopped)])
    assert house.code is ExitCode.OK


async def test_a_service_that_waits_for_its_next_run_is_retired_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_stop: Stop, pulse: Pulse) -> None:
        pulse.establish()
        raise AccessRefused("no", "check it")

    monkeypatch.setattr(module, "RESTART_BACKOFF", Backoff(first_seconds=3600, max_seconds=3600))
    house = House(Service("a", refused), Service("b", until_stopped))
    async with house.running():
        await house.reaches(lambda: any(isinstance(report, ServiceWaiting) for report in house.reports))
        assert await house.supervisor.retire(["a"], Pulse())


async def test_a_service_that_is_added_and_cannot_begin_waits_and_ends_nobody() -> None:
    async def wrong(_stop: Stop, _pulse: Pulse) -> None:
        raise Misconfigured("the queue is missing", "declare it")

    house = House(Service("b", until_stopped))
    async with house.running():
        house.supervisor.add([Service("a", wrong)])
        await house.reaches(lambda: any(isinstance(report, ServiceWaiting) for report in house.reports))
        assert house.supervisor.pulses["b"].state() == "running"
    assert house.code is ExitCode.OK


async def test_a_stop_of_the_process_reaches_who_was_added() -> None:
    house = House(Service("b", until_stopped))
    async with house.running():
        house.supervisor.add([Service("a", until_stopped)])
        await house.reaches(lambda: len(house.started()) == 2)
    assert house.code is ExitCode.OK


async def test_a_process_that_is_stopped_while_it_retires_keeps_to_its_grace() -> None:
    house = House(Service("stuck", for_ever), Service("b", until_stopped), grace_seconds=0.05)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(house.supervisor.run())
        await house.reaches(lambda: len(house.started()) == 2)
        retiring = group.create_task(house.supervisor.retire(["stuck"], Pulse()))
        await house.reaches(lambda: not retiring.done())
        house.supervisor.stop.set()
    assert running.result() in (ExitCode.OK, ExitCode.DRAIN_TIMEOUT)
    assert DrainOverrun(("stuck",)) in house.reports


async def test_a_part_of_a_stop_is_set_alone_or_with_the_whole() -> None:
    whole = Stop()
    one, other = whole.part(), whole.part()
    one.set()
    assert (one.is_set(), other.is_set(), whole.is_set()) == (True, False, False)
    whole.set()
    assert other.is_set()
    assert whole.part().is_set()
