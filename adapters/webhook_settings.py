"""The settings of the webhook adapter, as they stand in a flow's ``adapter:`` block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from adapters import path_template
from adapters.settings_parts import DottedPath, HeaderName, HeaderValue, names_twice
from outbox.model.connection import broken_rule
from outbox.model.standard_webhooks import ID, SIGNATURE, TIMESTAMP, key_of
from outbox.model.units import Seconds

# Of the secret in use and the one that it replaces.
_MAX_SECRETS = 2


def _check_secret(secret: SecretStr) -> SecretStr:
    try:
        key_of(secret.get_secret_value())
    except ValueError as error:
        raise broken_rule(str(error)) from None
    return secret


def _check_path(path: str) -> str:
    problem = "a path has no placeholders" if "{" in path else path_template.problem_of(path)
    if problem is not None:
        raise ValueError(f"{problem}, for example /webhooks/orders")
    return path


class WebhookSettings(BaseModel):
    """Where events are told, and how it is proven that it was us.

    ``secrets``: the one in use first; during a rotation also the one that it replaces. ``body``: the mapped document,
    the payload's exact bytes, or an envelope of ``type``, ``timestamp`` and ``data`` around the document.
    ``remembers``: how long the receiver promises to recognise a ``webhook-id`` that it has seen; without that promise
    a call with an unknown end is parked for a person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # What Standard Webhooks suggests: the first try at once, the last after 75 hours.
    DEFAULT_RETRY: ClassVar[Mapping[str, object]] = {
        "schedule": ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"]
    }

    secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_check_secret)], ...],
        Field(min_length=1, max_length=_MAX_SECRETS),
    ]
    path: Annotated[str, AfterValidator(_check_path)] | None = None
    query: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    body: Literal["document", "payload", "envelope"] = "document"
    timestamp: DottedPath | None = None
    remembers: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] | None = None
    margin: Annotated[Seconds, Field(ge=0, allow_inf_nan=False)] = 60.0

    @model_validator(mode="after")
    def _check_headers(self) -> Self:
        ours = {ID, TIMESTAMP, SIGNATURE} & {name.lower() for name in self.headers}
        if ours:
            raise broken_rule(f"must not hold {', '.join(sorted(ours))}, which the adapter sets", field="headers")
        twice = names_twice(list(self.headers))
        if twice:
            raise broken_rule(f"must not hold a header twice: {', '.join(twice)}", field="headers")
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.timestamp is not None and self.body != "envelope":
            raise broken_rule("is a field of the envelope; set body: envelope", field="timestamp")
        if self.remembers is not None and self.margin >= self.remembers:
            raise broken_rule("must be shorter than remembers, or nothing could ever be repeated", field="margin")
        return self

    def supports(self, _event_type: str) -> bool:
        """Any event can be told."""
        return True

    def tells_totals(self) -> None:
        """Say that a receiver cannot be asked what it has."""

    def notes(self) -> tuple[str, ...]:
        """Say what these settings take on trust: nothing."""
        return ()

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys to sign with."""
        return tuple(key_of(secret.get_secret_value()) for secret in self.secrets)
