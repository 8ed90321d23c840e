"""The settings of the REST adapter, as they stand in a flow's ``adapter:`` block."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from adapters import path_template
from adapters.settings_parts import DottedPath, HeaderName, HeaderValue, names_twice, secret_values
from outbox.model.recovery import (
    AsyncJob,
    ClientNamedCreate,
    IdempotencyKey,
    LookupThenCreate,
    NoRecovery,
    RecoveryStrategy,
    UpsertByReference,
)
from outbox.model.units import Seconds

RecoveryWord = Literal["idempotency_key", "upsert", "named_create", "look_up", "job", "none"]
REFERENCE = "{reference}"

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


StatusKey = Annotated[str, Field(pattern=r"^[2-5]([0-9][0-9]|xx)$")]


class Idempotency(BaseModel):
    """How the target recognises a repeated request, and for how long it promises to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
    margin: Annotated[Seconds, Field(ge=0, allow_inf_nan=False)] = 60.0
    header: HeaderName = "Idempotency-Key"
    quoted: bool = False
    caches_errors: bool = False

    @model_validator(mode="after")
    def _margin_leaves_time(self) -> Self:
        if self.margin >= self.window:
            raise ValueError(
                f"margin ({self.margin:g} s) must be shorter than window ({self.window:g} s), "
                "or no request could ever be repeated"
            )
        return self


class LookUpRequest(BaseModel):
    """How the target is asked for a record by its reference; ``{reference}`` stands for it in path and query.

    The path must see what is committed: a search index that lags behind makes "absent" a lie. ``records``: where the
    list of what was found is; without it the answer is the record. ``same``: fields of the record and what they must
    be, for ``{reference}`` again; a record in which they differ is somebody else's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_path)]
    query: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    records: DottedPath | None = None
    external_id: DottedPath | None = None
    same: dict[DottedPath, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _asks_for_the_reference(self) -> Self:
        if REFERENCE not in self.path and not any(REFERENCE in value for value in self.query.values()):
            raise ValueError(
                f"{REFERENCE} must stand in path or query, or the answer would be the same for every record"
            )
        return self


class JobRequest(BaseModel):
    """How a job that the target has accepted is asked about, at the address that it gave.

    ``status``: the field that says how it stands, and which of its values mean what; every other means "not over".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: DottedPath
    applied: Annotated[frozenset[str], Field(min_length=1)]
    rejected: frozenset[str] = frozenset()
    retry: frozenset[str] = frozenset()
    external_id: DottedPath | None = None
    poll: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = 5.0


class Operation(BaseModel):
    """The call that one type of event becomes, and what makes it safe when nobody knows how it ended.

    ``recovery`` is by default ``idempotency_key`` where the adapter has one, else ``none``. ``reference``: the field of
    the document by which the target can be asked for the record; by default the filled path, if it names one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, AfterValidator(_path)]
    external_id: DottedPath | None = None
    recovery: RecoveryWord | None = None
    reference: DottedPath | None = None
    settle: Annotated[Seconds, Field(ge=0, allow_inf_nan=False)] = 60.0
    look_up: LookUpRequest | None = None
    job: JobRequest | None = None

    @model_validator(mode="after")
    def _can_do_what_it_says(self) -> Self:
        names_a_record = self.reference is not None or path_template.has_placeholder(self.path)
        if self.recovery in ("upsert", "named_create", "look_up") and not names_a_record:
            raise ValueError(f"recovery {self.recovery} needs a reference, or a path that names the record")
        if self.look_up is not None and not names_a_record:
            raise ValueError("look_up needs a reference, or a path that names the record")
        if self.recovery == "look_up" and self.look_up is None:
            raise ValueError("recovery look_up needs look_up: how the target is asked")
        if (self.recovery == "job") != (self.job is not None):
            raise ValueError("recovery job and job: go together")
        return self


class RestSettings(BaseModel):
    """What a target's API looks like. Event types are matched exactly, ``*`` takes the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operations: Annotated[dict[str, Operation], Field(min_length=1)]
    idempotency: Idempotency | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    statuses: Annotated[dict[StatusKey, StatusWord], BeforeValidator(_texts)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _headers_are_set_once(self) -> Self:
        twice = names_twice([*self.headers, *([] if self.idempotency is None else [self.idempotency.header])])
        if twice:
            raise ValueError(f"headers are set twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _keys_are_there(self) -> Self:
        for name, operation in self.operations.items():
            if operation.recovery in ("idempotency_key", "job") and self.idempotency is None:
                raise ValueError(f"operations.{name}: recovery {operation.recovery} needs idempotency: with its window")
        return self

    def recovery_of(self, operation: Operation) -> RecoveryStrategy:
        """Return the strategy that an operation declares."""
        keys = self.idempotency
        match operation.recovery:
            case "upsert":
                return UpsertByReference()
            case "named_create":
                return ClientNamedCreate()
            case "look_up":
                return LookupThenCreate()
            case "job" if keys is not None and operation.job is not None:
                return AsyncJob(keys.window, keys.margin, operation.job.poll)
            case "none":
                return NoRecovery()
            case _:
                return NoRecovery() if keys is None else IdempotencyKey(keys.window, keys.margin, keys.caches_errors)

    def secrets(self) -> tuple[str, ...]:
        """Return header values that look like credentials, so that no reason ever repeats them."""
        return secret_values(self.headers)
