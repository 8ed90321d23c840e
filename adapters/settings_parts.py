"""What the settings of HTTP adapters have in common: header names and values, and which of them are secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

# Set by the adapter or by HTTP itself; Authorization comes from the connection, which keeps it out of flows.
_RESERVED_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# What carries a secret in practice: X-Api-Key, Private-Token, X-Client-Secret, Cookie, X-Auth. Shorter values
# are modes and flags, and blotting them out would only make messages unreadable.
_MIN_SECRET_CHARACTERS = 8
_SECRET_NAME = re.compile(r"key|token|secret|cookie|auth|password|signature", re.IGNORECASE)


def _header_name(name: str) -> str:
    if name.lower() in _RESERVED_HEADERS:
        raise ValueError(f"{name} is set by the adapter or the connection")
    return name


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"), AfterValidator(_header_name)]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
DottedPath = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]


def secret_values(named: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values whose names say that they are credentials, so that no reason ever repeats them."""
    return tuple(
        value for name, value in named.items() if _SECRET_NAME.search(name) and len(value) >= _MIN_SECRET_CHARACTERS
    )


def names_twice(names: list[str]) -> list[str]:
    """Return the names that stand there more than once; HTTP does not tell upper from lower case."""
    lowered = [name.lower() for name in names]
    return sorted({name for name in lowered if lowered.count(name) > 1})
