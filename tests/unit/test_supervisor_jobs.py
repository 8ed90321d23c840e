"""A service that is the whole job: what the exit code says about its end."""

from __future__ import annotations

import pytest

from outbox.model.errors import ExitCode, SettingsOutdated
from outbox.supervisor import Pulse, Service, Stop, Supervisor


async def _finished(_stop: Stop, _pulse: Pulse) -> None:
    """The job was done before anybody asked for a stop."""


async def _until_stopped(stop: Stop, _pulse: Pulse) -> None:
    await stop.wait()


async def test_a_job_that_came_to_its_end_is_ok() -> None:
    services = [Service("relay", _finished, ends_process=True), Service("http", _until_stopped)]
    assert await Supervisor(services, grace_seconds=5, report=lambda _: None).run() is ExitCode.OK


async def test_several_jobs_are_done_when_the_last_of_them_is() -> None:
    has_ended = False

    async def _later(stop: Stop, _pulse: Pulse) -> None:
        nonlocal has_ended
        await stop.pause(0.05)
        has_ended = not stop.is_set()

    services = [Service("one", _finished, ends_process=True), Service("two", _later, ends_process=True)]
    assert await Supervisor(services, grace_seconds=5, report=lambda _: None).run() is ExitCode.OK
    assert has_ended, "the end of one job has stopped another"


async def test_settings_that_hold_no_longer_end_a_process_that_was_well() -> None:
    async def _outdated(_stop: Stop, pulse: Pulse) -> None:
        pulse.establish()
        raise SettingsOutdated("the outbox has 4 lanes", "set the number")

    services = [Service("relay", _outdated), Service("http", _until_stopped)]
    with pytest.raises(SettingsOutdated, match="set the number"):
        await Supervisor(services, grace_seconds=5, report=lambda _: None).run()


async def test_a_job_that_was_stopped_before_its_end_is_not_called_done() -> None:
    """Whoever waits for "everything is confirmed" must not read it from a SIGTERM."""
    supervisor = Supervisor(
        [Service("relay", _until_stopped, ends_process=True)], grace_seconds=5, report=lambda _: None
    )
    supervisor.stop.set()
    assert await supervisor.run() is ExitCode.DRAIN_TIMEOUT


async def test_a_service_that_runs_until_it_is_stopped_is_ok() -> None:
    supervisor = Supervisor([Service("http", _until_stopped)], grace_seconds=5, report=lambda _: None)
    supervisor.stop.set()
    assert await supervisor.run() is ExitCode.OK
