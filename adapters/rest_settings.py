"""The settings of the REST adapter, as they stand in a flow's ``adapter:`` block."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from adapters import path_template, text_template
from adapters.rest_rules import Rule, StatusKey, StatusWord
from adapters.rest_shapes import (
    ApiVersion,
    Batch,
    BodyShape,
    CheckRequest,
    Idempotency,
    JobRequest,
    LookUpRequest,
    checked_path,
)
from adapters.rest_totals import TotalsRequest
from adapters.settings_parts import DottedPath, HeaderName, HeaderValue, names_twice, secret_values
from outbox.model.connection import broken_rule
from outbox.model.recovery import (
    AsyncJob,
    ClientNamedCreate,
    IdempotencyKey,
    LookupThenCreate,
    NoRecovery,
    RecoveryStrategy,
    UpsertByReference,
)
from outbox.model.totals import Ability
from outbox.model.units import Seconds

# The operation of every event type that has none of its own.
ANY_TYPE = "*"

RecoveryWord = Literal["idempotency_key", "upsert", "named_create", "look_up", "job", "none"]


def _texts(statuses: object) -> object:
    # YAML reads an unquoted 409 as a number.
    if not isinstance(statuses, dict):
        return statuses
    return {str(status) if type(status) is int else status: word for status, word in statuses.items()}


def _check_template(template: str) -> str:
    problem = text_template.problem_of(template)
    if problem is not None:
        raise broken_rule(problem)
    return template


Template = Annotated[str, AfterValidator(_check_template)]


def _trusts(look_up: LookUpRequest | None) -> str | None:
    if look_up is None:
        return "a look_up would read it back"
    return None if look_up.same else "look_up.same would compare it"


class Operation(BaseModel):
    """The call that one type of event becomes, and what makes it safe when nobody knows how it ended.

    ``recovery`` is by default ``idempotency_key`` where the adapter has one, else ``none``. ``reference``: the field of
    the document by which the target can be asked for the record; by default the filled path, if it names one.
    ``settle``: how long after its end, as we saw it, a call may still take effect.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, AfterValidator(checked_path)]
    query: dict[Annotated[str, Field(min_length=1)], Template] = Field(default_factory=dict)
    headers: dict[HeaderName, Annotated[HeaderValue, AfterValidator(_check_template)]] = Field(default_factory=dict)
    body: Literal["none"] | BodyShape | None = None
    rules: tuple[Rule, ...] = ()
    external_id: DottedPath | None = None
    recovery: RecoveryWord | None = None
    reference: DottedPath | None = None
    settle: Annotated[Seconds, Field(ge=0, allow_inf_nan=False)] = 60.0
    look_up: LookUpRequest | None = None
    job: JobRequest | None = None
    batch: Batch | None = None

    @property
    def has_body(self) -> bool:
        """Say whether the request has a body. It has no meaning for DELETE, and some servers refuse it."""
        return self.body != "none" and not (self.method == "DELETE" and self.body is None)

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

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.batch is None:
            return self
        templates = [self.path, *self.query.values(), *self.headers.values()]
        if any("{" in template for template in templates):
            raise broken_rule("must not stand beside placeholders: all records share the address", field="batch")
        if self.job is not None:
            raise broken_rule("must not stand beside job, which is one for all records", field="batch")
        if self.external_id is not None:
            raise broken_rule("belongs into batch, which has a result for each record", field="external_id")
        if not self.has_body:
            raise broken_rule("needs a body, in which the records are", field="batch")
        return self


class RestSettings(BaseModel):
    """What a target's API looks like. Event types are matched exactly, ``*`` takes the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operations: Annotated[dict[str, Operation], Field(min_length=1)]
    idempotency: Idempotency | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    api_version: ApiVersion | None = None
    check: CheckRequest | None = None
    totals: TotalsRequest | None = None
    rules: tuple[Rule, ...] = ()
    statuses: Annotated[dict[StatusKey, StatusWord], BeforeValidator(_texts)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _headers_are_set_once(self) -> Self:
        keys, version = self.idempotency, self.api_version
        ours = [*self.headers]
        ours += [keys.header] if keys is not None and keys.field is None else []
        ours += [version.header] if version is not None and version.header is not None else []
        for names in (ours, *[ours + list(operation.headers) for operation in self.operations.values()]):
            twice = names_twice(names)
            if twice:
                raise ValueError(f"headers are set twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _keys_are_there(self) -> Self:
        for name, operation in self.operations.items():
            if operation.recovery not in ("idempotency_key", "job"):
                continue
            if self.idempotency is None:
                raise ValueError(f"operations.{name}: recovery {operation.recovery} needs idempotency: with its window")
            if operation.batch is not None and self.idempotency.field is None:
                raise ValueError(f"operations.{name}: each record of a batch needs its key: set idempotency.field")
        return self

    def supports(self, event_type: str) -> bool:
        """Say whether an operation is configured for this event type, or one for any."""
        return bool({event_type, ANY_TYPE} & self.operations.keys())

    def notes(self) -> tuple[str, ...]:
        """Say what these settings take on trust."""
        named = [(name, one.look_up) for name, one in self.operations.items() if one.recovery == "named_create"]
        return tuple(
            f"operations.{name}: whatever bears our name there is taken for ours; {missing}"
            for name, look_up in named
            for missing in [_trusts(look_up)]
            if missing is not None
        )

    def tells_totals(self) -> Ability | None:
        """Return what the target can tell of a window; None: it is not asked."""
        asked = self.totals
        return None if asked is None else Ability(asked.amount is not None, asked.currency is not None)

    def recovery_of(self, operation: Operation) -> RecoveryStrategy:
        """Return the strategy that an operation declares."""
        keys = self.keys_of(operation)
        match operation.recovery:
            case "upsert":
                return UpsertByReference(operation.settle)
            case "named_create":
                return ClientNamedCreate(operation.settle)
            case "look_up":
                return LookupThenCreate()
            case "job" if keys is not None and operation.job is not None:
                return AsyncJob(keys.window, keys.margin, operation.job.poll, operation.job.longest)
            case "none":
                return NoRecovery()
            case _:
                return NoRecovery() if keys is None else IdempotencyKey(keys.window, keys.margin, keys.caches_errors)

    def keys_of(self, operation: Operation) -> Idempotency | None:
        """Return how this operation's requests carry their key; one header cannot name the records of a batch."""
        keys = self.idempotency
        return None if keys is None or (operation.batch is not None and keys.field is None) else keys

    def secrets(self) -> tuple[str, ...]:
        """Return header and query values that look like credentials, so that no reason ever repeats them."""
        named = [self.headers, *[part for one in self.operations.values() for part in (one.headers, one.query)]]
        return tuple(value for values in named for value in secret_values(values))
