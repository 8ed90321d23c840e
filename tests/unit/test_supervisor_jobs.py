"""A service that is the whole job: what the exit code says about its end."""

from __future__ import annotations

from outbox.model.errors import ExitCode
from outbox.supervisor import Pulse, Service, Stop, Supervisor


async def _finished(_stop: Stop, _pulse: Pulse) -> None:
    """The job was done before anybody asked for a stop."""


async def _until_stopped(stop: Stop, _pulse: Pulse) -> None:
    await stop.wait()


async def test_a_job_that_came_to_its_end_is_ok() -> None:
    services = [Service("relay", _finished, ends_process=True), Service("http", _until_stopped)]
    assert await Supervisor(services, grace_seconds=5, report=lambda _: None).run() is ExitCode.OK


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
