"""A whole site for each test; its processes are gone when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.site import Site, site_for
from tests.kit.tap import Tap, tapped


@pytest.fixture
async def site(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Site]:
    async with site_for(database, broker, tmp_path) as ready:
        yield ready


@pytest.fixture
async def tap(broker: Broker) -> AsyncIterator[Tap]:
    """What is on the wire, from the first message on."""
    async with tapped(broker) as ready:
        yield ready
