"""A URL with several hosts, for example a primary and its standbys: each is tried, the primary is taken. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from outbox.model.errors import Misconfigured, OutboxError, Unavailable


class NotPrimary(Misconfigured):
    """A server that takes no writes; among several hosts, one of the others may."""


@dataclass(frozen=True, slots=True)
class Host:
    """One server of a URL. ``url`` holds a password: it is never logged."""

    name: str
    url: str


def describe(url: str) -> str:
    """Return how people call the server of this URL, without its password."""
    try:
        parts = urlsplit(url)
        host = re.sub(r"^.*@", "", parts.netloc) or "the local socket"
    except ValueError:
        return "PostgreSQL"
    return f"PostgreSQL at {host}{parts.path}"


def hosts_of(url: str) -> tuple[Host, ...]:
    """Return the servers of a URL in their order, each with a URL of its own.

    Raises:
        ValueError: this is no URL.
    """
    parts = urlsplit(url)
    credentials, at, places = parts.netloc.rpartition("@")
    if "," not in places:
        return (Host(describe(url), url),)
    return tuple(
        Host(place, urlunsplit(parts._replace(netloc=f"{credentials}{at}{place}"))) for place in places.split(",")
    )


def none_of(server: str, failures: Sequence[OutboxError]) -> OutboxError:
    """Return the one error for a URL none of whose servers could be used, with the reason of each.

    What waiting cannot heal is told first (all hosts share one user and database). A host that cannot be reached may
    be the primary, also while a failover is under way; only when every one is there and a standby is the URL wrong.
    """
    if len(failures) == 1:
        return failures[0]
    reasons = "; ".join(_reason(failure) for failure in failures)
    for failure in failures:
        if isinstance(failure, Misconfigured) and not isinstance(failure, NotPrimary):
            return type(failure)(f"{server}: {reasons}", failure.next_step)
    for failure in failures:
        if isinstance(failure, NotPrimary):
            next_step = failure.next_step
            break
    else:
        return Unavailable(server, reasons)
    if any(isinstance(failure, Unavailable) for failure in failures):
        return Unavailable(server, f"no primary: {reasons}")
    return NotPrimary(f"{server}: no primary: {reasons}", next_step)


def _reason(failure: OutboxError) -> str:
    if isinstance(failure, Unavailable):
        return f"{failure.thing}: {failure.reason}"
    return failure.problem if isinstance(failure, Misconfigured) else str(failure)
