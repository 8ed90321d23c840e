"""The sidecar's own relay, which also notes when each event was confirmed. For latencies only.

Everything but the notes is what ``outbox relay`` runs. A note costs about a microsecond an event.
"""

import argparse
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from bench.stamps import Stamps
from outbox.app import App, Roles
from outbox.app_relay import RelayPart
from outbox.cli.common import run, settings_of
from outbox.config.settings import Settings
from outbox.model.envelope import Envelope, RefusedEvent
from outbox.model.errors import ExitCode
from outbox.model.lanes import Lane
from outbox.model.lifecycle import Report
from outbox.model.witness import Witness
from outbox.relay.loop import Relay


class _Publisher(Protocol):
    async def publish(self, events: Sequence[Envelope]) -> Sequence[RefusedEvent]: ...
    async def publish_rejected(self, event: RefusedEvent) -> None: ...
    async def recall(self, origin: str) -> Witness | None: ...
    async def remember(self, origin: str, witness: Witness) -> None: ...
    async def look_at_unrouted(self) -> None: ...


class _Broker(Protocol):
    def publisher(self) -> AbstractAsyncContextManager[_Publisher]: ...


class _NotingPublisher:
    """Passes everything on; notes the events of a page when the broker has confirmed all of them."""

    def __init__(self, publisher: _Publisher, confirms: Stamps) -> None:
        self._publisher = publisher
        self._confirms = confirms

    async def publish(self, events: Sequence[Envelope]) -> Sequence[RefusedEvent]:
        refused = await self._publisher.publish(events)
        self._confirms.add((event.sequence for event in events), time.monotonic_ns())
        return refused

    async def publish_rejected(self, event: RefusedEvent) -> None:
        await self._publisher.publish_rejected(event)

    async def recall(self, origin: str) -> Witness | None:
        return await self._publisher.recall(origin)

    async def remember(self, origin: str, witness: Witness) -> None:
        await self._publisher.remember(origin, witness)

    async def look_at_unrouted(self) -> None:
        await self._publisher.look_at_unrouted()


class _NotingBroker:
    def __init__(self, broker: _Broker, confirms: Stamps) -> None:
        self._broker = broker
        self._confirms = confirms

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[_NotingPublisher]:
        async with self._broker.publisher() as publisher:
            yield _NotingPublisher(publisher, self._confirms)


class _NotingPart(RelayPart):
    """The relay's part, with the broker wrapped: the sidecar shall not have a seam for the sake of a benchmark."""

    def __init__(self, settings: Settings, confirms: Stamps, report: Report) -> None:
        self._confirms = confirms
        super().__init__(settings, is_draining=False, report=report)

    def _relay(self, lane: Lane) -> Relay:
        relay = super()._relay(lane)
        relay._broker = _NotingBroker(relay._broker, self._confirms)  # noqa: SLF001 - see the class
        return relay


class _NotingApp(App):
    """The relay's process with that part."""

    def __init__(self, confirms: Stamps) -> None:
        self._confirms = confirms
        super().__init__(settings_of(None), Roles(is_relay=True))

    def _relay_part(self) -> RelayPart:
        return _NotingPart(self._settings, self._confirms, self._report)


def main() -> int:
    """Run it until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay_process", description=__doc__)
    parser.add_argument("confirms", type=Path, help="file that gets the moments of the confirms")
    with Stamps(parser.parse_args().confirms) as confirms:

        async def work() -> ExitCode:
            return await _NotingApp(confirms).run()

        return int(run(work))


if __name__ == "__main__":
    sys.exit(main())
