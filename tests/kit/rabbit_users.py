"""Users of the broker with exactly the permissions that a test gives them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.kit.broker import Broker, manage
from tests.kit.urls import with_user

PASSWORD = "pw"
NOTHING = "^$"


@asynccontextmanager
async def rabbit_user(
    broker: Broker, *, configure: str = NOTHING, write: str = NOTHING, read: str = NOTHING, tags: str = ""
) -> AsyncIterator[str]:
    """Make a user and return the broker's URL with it."""
    url = management_of(broker)
    name = f"user-{uuid.uuid4().hex[:12]}"
    permissions: Mapping[str, str] = {"configure": configure, "write": write, "read": read}
    await manage(url, "PUT", f"/api/users/{name}", {"password": PASSWORD, "tags": tags})
    try:
        await manage(url, "PUT", f"/api/permissions/{broker.vhost}/{name}", permissions)
        yield with_user(broker.url, name, PASSWORD)
    finally:
        await manage(url, "DELETE", f"/api/users/{name}")


def management_of(broker: Broker) -> str:
    """Return the management API's URL with the administrator's credentials, or skip the test."""
    if broker.management_url is None:
        pytest.skip("needs the management plugin")
    return broker.management_url
