"""What a REST target's answers to questions mean: is the record there, how did the job end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urljoin, urlsplit

from adapters import path_template
from adapters.answers import Answer, NoAnswer, classify_no_answer
from adapters.json_text import MISSING, decode, dig
from adapters.rest_classify import Call, classify
from adapters.rest_rules import StatusWord, verdict
from adapters.rest_same import wanted
from adapters.rest_shapes import REFERENCE, CheckRequest, JobRequest, LookUpRequest
from outbox.model.errors import MappingError
from outbox.model.outcome import (
    Absent,
    Accepted,
    Ambiguous,
    Applied,
    Configuration,
    CredentialsExpired,
    Different,
    Found,
    LookUpAnswer,
    NotTold,
    Outcome,
    Present,
    Reached,
    Receipt,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
    Unknown,
)

_GONE = (404, 410)
# A gateway says so of a target that it does not reach.
_GATEWAY = (502, 504)
_GOES_WELL: frozenset[StatusWord] = frozenset({"applied", "already_applied"})
# What rules may say of "there is no such record".
_SAYS_NOTHING_OF_IT: frozenset[StatusWord] = _GOES_WELL | {"rejected", "stale_conflict"}


def look_up_url(base_url: str, request: LookUpRequest, reference: str) -> str:
    """Return the address of a question for a reference."""
    path = path_template.fill(request.path, {"reference": reference})
    query = urlencode(
        {name: value.replace(REFERENCE, reference) for name, value in request.query.items()}, quote_via=quote
    )
    return f"{base_url}{path}" + (f"?{query}" if query else "")


def check_url(base_url: str, request: CheckRequest) -> str:
    """Return the address of the question that changes nothing."""
    query = urlencode(request.query, quote_via=quote)
    return f"{base_url}{request.path}" + (f"?{query}" if query else "")


def job_url(base_url: str, job: str) -> str | None:
    """Return the address of a job, None when it leads to another host: credentials go to nobody else."""
    url = urljoin(f"{base_url}/", job)
    ours, theirs = urlsplit(base_url), urlsplit(url)
    return url if (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc) else None


def found(
    came: Answer | NoAnswer,
    call: Call,
    request: LookUpRequest,
    reference: str,
    document: Mapping[str, object] | None = None,
) -> Found:
    """Decide what an answer to a look-up means. Only a target that has understood the question is believed.

    ``document``: what the record is compared with, None: it cannot be made any more.
    """
    if isinstance(came, NoAnswer):
        return Found(NotTold(_why_untold(came, call)), came.status)
    return Found(_told(came, call, request, reference, document), came.status)


def _told(
    came: Answer, call: Call, request: LookUpRequest, reference: str, document: Mapping[str, object] | None
) -> LookUpAnswer:
    if any(condition.fits(came) for condition in request.absent) and (came.body == b"" or _is_json(came)):
        return Absent()
    said = verdict(came, call.rules)
    is_gone = came.status in _GONE
    # That there is no such record is an error for many a target, and no other than its rules are about.
    if said is not None and said.outcome not in (_SAYS_NOTHING_OF_IT if is_gone else _GOES_WELL):
        return NotTold(_why_untold(came, call))
    if is_gone:
        return _gone(came, call, request)
    if not came.is_success:
        return NotTold(_why_untold(came, call))
    if came.document is MISSING:
        return NotTold(Retry(f"{call.label}: the answer {came.status} is not JSON"))
    records = [came.document] if request.records is None else dig(came.document, request.records)
    if not isinstance(records, list):
        return NotTold(Configuration(f"{call.label}: the answer has no list at {request.records}"))
    return _judged(records, call, request, reference, document)


def _gone(came: Answer, call: Call, request: LookUpRequest) -> Absent | NotTold:
    reason = f"{call.label}: answered {came.status}"
    if request.records is not None:
        # A list without the record would be an empty one.
        return NotTold(Configuration(f"{reason}, so there is no such list"))
    if request.absent:
        return NotTold(Retry(f"{reason}, which is none of look_up.absent"))
    if _is_json(came):
        return Absent()
    # Whatever stands before the target answers so for every path while the target is away.
    return NotTold(Retry(f"{reason} without JSON; if the target itself says so, tell it in look_up.absent"))


def _judged(
    records: list[object],
    call: Call,
    request: LookUpRequest,
    reference: str,
    document: Mapping[str, object] | None,
) -> LookUpAnswer:
    if not records:
        return Absent()
    if len(records) > 1:
        return Ambiguous(f"{call.label}: {len(records)} records bear this reference")
    try:
        must_be = wanted(request.same, reference, document)
    except MappingError as error:
        return Ambiguous(f"{call.label}: the record under this reference cannot be compared: {error}")
    written = [path for path, value in must_be.items() if value.text is not None]
    demanded = () if request.records is not None else (request.external_id, *written)
    lacking = [path for path in demanded if path is not None and dig(records[0], path) in (MISSING, None)]
    if lacking or not isinstance(records[0], dict):
        return NotTold(Retry(f"{call.label}: the answer is no record: it has no {', '.join(lacking) or 'fields'}"))
    other = [path for path, value in must_be.items() if not value.fits(dig(records[0], path))]
    if other:
        return Different(f"{call.label}: the record under this reference has another {', '.join(other)}")
    if request.external_id is None:
        return Present()
    return Present(_printable(dig(records[0], request.external_id)))


def _is_json(answer: Answer) -> bool:
    """Say whether this is no page: text that happens to be JSON, such as a number, must be called so."""
    document = answer.document
    return isinstance(document, dict | list) or (document is not MISSING and answer.content_type.endswith("json"))


def untold(
    came: Answer | NoAnswer, call: Call
) -> TargetDown | Throttled | CredentialsExpired | Configuration | Retry | None:
    """Say why an answer tells nothing; None when it is JSON that rules and statuses call a success."""
    if isinstance(came, NoAnswer) or not came.is_success:
        return _why_untold(came, call)
    said = verdict(came, call.rules)
    if said is not None and said.outcome not in _GOES_WELL:
        return _why_untold(came, call)
    return Retry(f"{call.label}: the answer {came.status} is not JSON") if came.document is MISSING else None


def checked(came: Answer | NoAnswer, call: Call, request: CheckRequest) -> Reached | NotTold:
    """Decide what an answer to a check means: only an answer that could come from the target itself is believed."""
    why = untold(came, call)
    if why is not None or isinstance(came, NoAnswer):
        return NotTold(why or Retry(f"{call.label}: no answer"))
    if request.version is None:
        return Reached()
    version = _printable(dig(came.document, request.version))
    return NotTold(Retry(f"{call.label}: the answer has no {request.version}")) if version is None else Reached(version)


def ended(came: Answer | NoAnswer, call: Call, request: JobRequest) -> Receipt:
    """Decide what an answer to a question about a job means."""
    if isinstance(came, NoAnswer) or not came.is_success:
        why = _why_untold(came, call)
        # Nothing that is said of the question is said of the job.
        useless = Unknown(why.reason, why.after_seconds, is_failure=True) if isinstance(why, Retry) else why
        return Receipt(useless, came.status)
    try:
        document = decode(came.body or b"")
    except ValueError:
        return Receipt(Unknown(f"{call.label}: the answer {came.status} is not JSON", is_failure=True), came.status)
    return Receipt(_job_outcome(dig(document, request.status), document, call, request), came.status)


def _job_outcome(status: object, document: object, call: Call, request: JobRequest) -> Outcome:
    if status is MISSING:
        return Unknown(f"{call.label}: the answer has no {request.status}", is_failure=True)
    if status in request.applied:
        return Applied(None if request.external_id is None else _printable(dig(document, request.external_id)))
    if status in request.rejected:
        return Rejected(f"{call.label}: the job ended as {status}")
    if status in request.retry:
        return Retry(f"{call.label}: the job ended as {status}")
    return Accepted()


def _printable(external_id: object) -> str | None:
    return external_id if isinstance(external_id, str) and external_id.isprintable() else None


def _why_untold(
    came: Answer | NoAnswer, call: Call
) -> TargetDown | Throttled | CredentialsExpired | Configuration | Retry:
    """Return why a question got no answer. Asking again is always safe; but for an outage it counts as a failure."""
    if isinstance(came, NoAnswer):
        is_outage, outcome = True, classify_no_answer(came, call.label, call.secrets)
    else:
        is_outage, outcome = came.status in _GATEWAY, classify(came, call)
    if isinstance(outcome, TargetDown | Throttled | CredentialsExpired | Configuration | Retry):
        return outcome
    if isinstance(outcome, Unknown) and outcome.needs_a_person:
        return Configuration(outcome.reason)
    reason = str(getattr(outcome, "reason", "no usable answer"))
    return TargetDown(reason) if is_outage else Retry(reason)
