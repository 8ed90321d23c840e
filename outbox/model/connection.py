"""How a target system is reached over HTTP; the same for every HTTP adapter."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from outbox.model.units import Bytes, Seconds

_ADDRESS = re.compile(r"https?://[^\s?#]+")
_EXAMPLE = "https://crm.example.com/api"


def _broken_rule(sentence: str) -> PydanticCustomError:
    # The kind of error that is told to people word for word; the sentence quotes no value.
    return PydanticCustomError("sentence", "{sentence}", {"sentence": sentence})


def _check_base_url(address: str) -> str:
    if _ADDRESS.fullmatch(address) is None:
        raise _broken_rule(f"must begin with http:// or https:// and have no query or spaces, for example {_EXAMPLE}")
    try:
        parts = urlsplit(address)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        # No `from`: the cause quotes the address.
        is_complete = False
    if not is_complete:
        raise _broken_rule(f"must name a host, and a port only as a number, for example {_EXAMPLE}")
    if "@" in parts.netloc:
        # It would be part of every request's address, which is hashed, stored and quoted.
        raise _broken_rule(f"must not hold user or password; put the token into bearer, for example {_EXAMPLE}")
    return address


def _check_bearer(bearer: SecretStr) -> SecretStr:
    token = bearer.get_secret_value()
    if not token or not all("!" <= character <= "~" for character in token):
        raise _broken_rule("must be the token alone: ASCII, without spaces or line breaks, and without the word Bearer")
    return bearer


class Connection(BaseModel):
    """One target system: address, credentials and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_check_base_url)]
    bearer: Annotated[SecretStr, AfterValidator(_check_bearer)] | None = None
    connect_timeout: Annotated[Seconds, Field(gt=0)] = 5.0
    timeout: Annotated[Seconds, Field(gt=0)] = 30.0
    max_connections: Annotated[int, Field(ge=1, le=1000)] = 20
    max_answer_bytes: Annotated[Bytes, Field(ge=1024)] = 1024 * 1024
