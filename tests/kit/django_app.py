"""Django's connections to a database of a test, without a project around them."""

from __future__ import annotations

import django
import sqlalchemy
from django.conf import settings
from django.db.utils import ConnectionHandler


def django_connections(url: str) -> ConnectionHandler:
    """Return what ``django.db.connections`` is, for one database. Its connections belong to the thread that asks."""
    if not settings.configured:
        settings.configure(USE_TZ=True, LOGGING_CONFIG=None)
        django.setup()
    parts = sqlalchemy.make_url(url)
    login = {"NAME": parts.database, "USER": parts.username, "PASSWORD": parts.password}
    place = {"ENGINE": "django.db.backends.postgresql", "HOST": parts.host, "PORT": parts.port}
    return ConnectionHandler({"default": login | place})
