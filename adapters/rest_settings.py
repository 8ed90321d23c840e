"""The settings of the REST adapter, as they stand in a flow's ``adapter:`` block."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from adapters import path_template
from outbox.model.units import Seconds

StatusWord = Literal[
    "applied",
    "already_applied",
    "rejected",
    "retry",
    "throttled",
    "target_down",
    "configuration",
    "credentials_expired",
    "unknown",
    "stale_conflict",
]

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
_SECRET_HEADER = re.compile(r"key|token|secret|cookie|auth|password|signature", re.IGNORECASE)


def _header_name(name: str) -> str:
    if name.lower() in _RESERVED_HEADERS:
        raise ValueError(f"{name} is set by the adapter or the connection")
    return name


def _path(path: str) -> str:
    problem = path_template.problem_of(path)
    if problem is not None:
        raise ValueError(f"{problem}, for example /deals or /deals/{{id}}")
    return path


def _texts(statuses: object) -> object:
    # YAML reads an unquoted 409 as a number.
    if not isinstance(statuses, dict):
        return statuses
    return {str(status) if type(status) is int else status: word for status, word in statuses.items()}


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"), AfterValidator(_header_name)]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
DottedPath = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]
StatusKey = Annotated[str, Field(pattern=r"^[2-5]([0-9][0-9]|xx)$")]


class Idempotency(BaseModel):
    """How the target recognises a repeated request, and for how long it promises to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
    margin: Annotated[Seconds, Field(ge=0, allow_inf_nan=False)] = 60.0
    header: HeaderName = "Idempotency-Key"
    quoted: bool = False

    @model_validator(mode="after")
    def _margin_leaves_time(self) -> Self:
        if self.margin >= self.window:
            raise ValueError(
                f"margin ({self.margin:g} s) must be shorter than window ({self.window:g} s), "
                "or no request could ever be repeated"
            )
        return self


class Operation(BaseModel):
    """The call that one type of event becomes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, AfterValidator(_path)]
    external_id: DottedPath | None = None


class RestSettings(BaseModel):
    """What a target's API looks like. Event types are matched exactly, ``*`` takes the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operations: Annotated[dict[str, Operation], Field(min_length=1)]
    idempotency: Idempotency | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    statuses: Annotated[dict[StatusKey, StatusWord], BeforeValidator(_texts)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _headers_are_set_once(self) -> Self:
        names = [name.lower() for name in self.headers]
        if self.idempotency is not None:
            names.append(self.idempotency.header.lower())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"headers are set twice: {', '.join(twice)}")
        return self

    def secrets(self) -> tuple[str, ...]:
        """Return header values that look like credentials, so that no reason ever repeats them."""
        return tuple(
            value
            for name, value in self.headers.items()
            if _SECRET_HEADER.search(name) and len(value) >= _MIN_SECRET_CHARACTERS
        )
