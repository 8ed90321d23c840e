"""What the contract tests share."""

from __future__ import annotations

import aio_pika
import pytest

from tests.kit.broker import Broker


@pytest.fixture
async def version(broker: Broker) -> tuple[int, ...]:
    """The broker's, as it says itself."""
    async with await aio_pika.connect(broker.url) as connection:
        assert connection.transport is not None
        text = connection.transport.connection.server_properties["version"]
    return tuple(int(part) for part in str(text).split("."))
