"""The supervisor: what it restarts, what ends the process, and how long anybody may take to end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable

import pytest

from outbox import supervisor as module
from outbox.model.backoff import Backoff
from outbox.model.errors import (
    AccessRefused,
    ExitCode,
    LeaseLost,
    MappingError,
    Misconfigured,
    PublishNotConfirmed,
    Unavailable,
)
from outbox.model.lifecycle import Draining, DrainOverrun, Lifecycle, ServiceFailed, ServiceStarted, ServiceWaiting
from outbox.supervisor import Pulse, Service, Stop, Supervisor

AWAY = Unavailable("PostgreSQL at db", "gone")
WRONG = AccessRefused("PostgreSQL at db: no", "check it")


class Bug(Exception):
    pass


Run = Callable[[Stop, Pulse], Awaitable[None]]


class House:
    """A supervisor with its reports."""

    def __init__(self, *services: Service, grace_seconds: float = 10.0) -> None:
        self.reports: list[Lifecycle] = []
        self.supervisor = Supervisor(services, grace_seconds=grace_seconds, report=self.reports.append)

    async def run(self) -> ExitCode:
        async with asyncio.timeout(10):
            return await self.supervisor.run()

    async def reaches(self, state: Callable[[], bool]) -> None:
        """Look after each turn of the loop."""
        async with asyncio.timeout(10):
            while not state():
                await Stop().pause(0.001)

    async def run_and_stop(self, *, when: Callable[[], bool] | None = None) -> ExitCode:
        """Stop once this is so, and every service has begun."""
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.run())
            services = {ServiceStarted(name) for name in self.supervisor.pulses}
            await self.reaches(lambda: services <= {r for r in self.reports if isinstance(r, ServiceStarted)})
            await self.reaches(when or (lambda: True))
            self.supervisor.stop.set()
        return running.result()

    def waits(self) -> list[ServiceWaiting]:
        return [report for report in self.reports if isinstance(report, ServiceWaiting)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_BACKOFF", Backoff(first_seconds=0.001, max_seconds=0.008))


def failing(errors: Iterable[BaseException], *, is_established: bool = False) -> Run:
    """A service that fails with each of these errors in turn, and then returns."""
    left = list(errors)

    async def run(_stop: Stop, pulse: Pulse) -> None:
        if is_established:
            pulse.establish()
        if left:
            raise left.pop(0)

    return run


async def until_stopped(stop: Stop, _pulse: Pulse) -> None:
    await stop.wait()


async def for_ever(_stop: Stop, _pulse: Pulse) -> None:
    await asyncio.Event().wait()


async def test_what_passes_by_itself_is_waited_for_and_run_again() -> None:
    errors = [AWAY, LeaseLost("another leads"), PublishNotConfirmed("nack"), AWAY]
    house = House(Service("relay", failing(errors)))

    assert await house.run() is ExitCode.OK

    assert [(wait.reason, wait.needs_a_person) for wait in house.waits()] == [(str(error), False) for error in errors]
    assert house.reports.count(ServiceStarted("relay")) == 5


async def test_pauses_grow_with_failures_in_a_row() -> None:
    house = House(Service("relay", failing([AWAY] * 6)))

    await house.run()

    wholes = [0.001, 0.002, 0.004, 0.008, 0.008, 0.008]
    assert all(whole / 2 <= wait.pause_seconds <= whole for wait, whole in zip(house.waits(), wholes, strict=True)), (
        house.waits()
    )


async def test_a_run_that_was_healthy_starts_the_pauses_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEALTHY_AFTER_SECONDS", -1.0)
    house = House(Service("relay", failing([AWAY] * 6)))

    await house.run()

    assert all(wait.pause_seconds <= 0.001 for wait in house.waits())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ExceptionGroup("a", [AWAY]), AWAY),
        (ExceptionGroup("a", [ExceptionGroup("b", [AWAY]), LeaseLost("x")]), AWAY),
        (ExceptionGroup("a", [AWAY, ExceptionGroup("b", [LeaseLost("x"), WRONG])]), WRONG),
    ],
)
async def test_what_task_groups_wrap_is_found_and_what_needs_a_person_is_told_first(
    error: Exception, told: Exception
) -> None:
    house = House(Service("apply", failing([error], is_established=True)))

    assert await house.run() is ExitCode.OK

    assert [(wait.reason, wait.needs_a_person) for wait in house.waits()] == [(str(told), told is WRONG)]


@pytest.mark.parametrize(
    "bug", [Bug("oops"), MappingError("a", "b"), ExceptionGroup("a", [AWAY, ExceptionGroup("b", [Bug("oops")])])]
)
async def test_a_bug_lets_the_others_finish_what_they_have_begun_and_then_ends_everything(bug: Exception) -> None:
    finished: list[str] = []

    async def careful(stop: Stop, _pulse: Pulse) -> None:
        await stop.wait()
        await stop.pause(0)
        finished.append("delivery")

    house = House(Service("careful", careful), Service("broken", failing([bug])))
    with pytest.raises(ExceptionGroup, match="services ended by a bug") as caught:
        await house.run()

    assert caught.value.exceptions == (bug,)
    assert finished == ["delivery"]
    assert ServiceFailed("broken", bug) in house.reports
    assert not house.waits()


async def test_every_bug_is_told() -> None:
    async def second(stop: Stop, _pulse: Pulse) -> None:
        await stop.wait()
        raise Bug("second")

    house = House(Service("b", second), Service("a", failing([Bug("first")])))
    with pytest.raises(ExceptionGroup) as caught:
        await house.run()

    assert [str(bug) for bug in caught.value.exceptions] == ["first", "second"]


@pytest.mark.parametrize("error", [WRONG, ExceptionGroup("a", [AWAY, WRONG])])
async def test_what_is_wrong_at_the_start_ends_the_process_with_its_message(error: Exception) -> None:
    house = House(Service("relay", failing([error])), Service("http", until_stopped))

    with pytest.raises(AccessRefused) as caught:
        await house.run()

    assert caught.value is WRONG
    assert not house.waits()


async def test_the_same_after_a_healthy_start_is_waited_for_and_calls_a_person() -> None:
    house = House(Service("relay", failing([AWAY, WRONG, WRONG], is_established=True)))

    assert await house.run() is ExitCode.OK

    assert [wait.needs_a_person for wait in house.waits()] == [False, True, True]


async def test_one_who_was_established_stays_so_over_restarts() -> None:
    runs = 0

    async def rotated(_stop: Stop, pulse: Pulse) -> None:
        nonlocal runs
        runs += 1
        match runs:
            case 1:
                pulse.establish()
                raise AWAY
            case 2:
                raise WRONG

    house = House(Service("relay", rotated))

    assert await house.run() is ExitCode.OK
    assert runs == 3


async def test_the_first_of_two_refusals_is_the_one_that_is_told() -> None:
    async def later(stop: Stop, _pulse: Pulse) -> None:
        await stop.wait()
        raise Misconfigured("the second", "never shown")

    house = House(Service("b", later), Service("a", failing([WRONG])))

    with pytest.raises(AccessRefused):
        await house.run()


async def test_a_stop_ends_a_pause_between_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_BACKOFF", Backoff(first_seconds=60, max_seconds=60))
    house = House(Service("relay", failing([AWAY] * 9)))

    assert await house.run_and_stop(when=lambda: bool(house.waits())) is ExitCode.OK

    assert len(house.waits()) == 1


async def test_the_drain_has_a_bound_and_names_who_was_busy() -> None:
    services = (Service("stuck", for_ever), Service("done", until_stopped), Service("stuck too", for_ever))
    house = House(*services, grace_seconds=0.02)

    assert await house.run_and_stop() is ExitCode.DRAIN_TIMEOUT

    assert Draining(0.02) in house.reports
    assert house.reports[-1] == DrainOverrun(("stuck", "stuck too"))


async def test_a_stop_before_the_start_lets_nobody_begin() -> None:
    house = House(Service("stuck", for_ever))
    house.supervisor.stop.set()

    assert await house.run() is ExitCode.OK


async def test_a_service_that_is_the_whole_job_ends_the_others_when_it_is_done() -> None:
    house = House(Service("relay", failing([AWAY]), ends_process=True), Service("http", until_stopped))

    assert await house.run() is ExitCode.OK


async def test_a_service_that_returns_leaves_the_others_running() -> None:
    house = House(Service("short", failing([])), Service("long", until_stopped))

    assert await house.run_and_stop(when=lambda: house.supervisor.pulses["short"].state() == "ended") is ExitCode.OK


async def test_a_first_signal_drains_and_a_second_one_does_not_wait() -> None:
    house = House(Service("stuck", for_ever), grace_seconds=60)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(house.run())
        await house.reaches(lambda: ServiceStarted("stuck") in house.reports)
        os.kill(os.getpid(), signal.SIGTERM)
        await house.reaches(lambda: Draining(60) in house.reports)
        assert not running.done()
        os.kill(os.getpid(), signal.SIGINT)

    assert running.result() is ExitCode.DRAIN_TIMEOUT


async def test_signals_are_given_back_in_the_end() -> None:
    before = signal.getsignal(signal.SIGTERM)

    await House(Service("short", failing([]))).run()

    assert signal.getsignal(signal.SIGTERM) == before


def test_a_pulse_says_in_one_word_how_its_loop_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse()
    assert pulse.state() == "ended"
    pulse.is_running = True
    assert pulse.state() == "running"
    pulse.is_waiting = True
    assert pulse.state() == "waiting"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + module.STUCK_AFTER_SECONDS + 1)
    assert pulse.state() == "stuck"
    pulse.beat()
    assert pulse.state() == "waiting"
