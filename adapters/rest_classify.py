"""What a REST target's answer means. Pure, and pessimistic: what cannot be trusted is unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never
from urllib.parse import urlsplit

from adapters.answers import SEE_ELSEWHERE, THEN_CLOSE, Answer
from adapters.json_text import MISSING, dig, message, one_line, quotable, told
from adapters.rest_rules import Rule, StatusWord, Verdict, verdict
from adapters.retry_after import retry_after_seconds
from outbox.model.outcome import (
    Accepted,
    AlreadyApplied,
    Applied,
    Configuration,
    CredentialsExpired,
    Outcome,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
)

# Room for a long job address or record id, and an end for a target that answers nonsense.
_MAX_URL_CHARACTERS = 2000
_MAX_EXTERNAL_ID_CHARACTERS = 500
_MAX_NAME_CHARACTERS = 80

_CONFLICT = 409
_HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class Call:
    """What must be known of a call to judge its answer.

    ``label`` is the method and the path as it is configured, for reasons: a filled path would hold parts of the
    payload. ``is_repeatable`` says that the target recognises a second request; ``addresses_record`` that the path
    names one record rather than a collection; ``is_job`` that a success is no more than a job's address. ``secrets``
    never appear in a reason, nor does what the target repeats of the ``document`` that was sent.
    """

    label: str
    is_repeatable: bool
    addresses_record: bool
    external_id: str | None = None
    statuses: Mapping[str, StatusWord] = field(default_factory=dict)
    is_job: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    document: object = field(default=None, repr=False)
    rules: Sequence[Rule] = ()


def classify(answer: Answer, call: Call) -> Outcome:
    """Decide what an answer means: by the rules, then the configured statuses, then what HTTP says of them."""
    status = answer.status
    said = verdict(answer, call.rules)
    if said is not None:
        return _configured(said, answer, call)
    word = call.statuses.get(str(status)) or call.statuses.get(f"{status // 100}xx")
    if word is not None:
        return _configured(Verdict(word), answer, call)
    match status // 100:
        case 2:
            return _success(answer, call)
        case 3:
            return _redirect(answer, call)
        case 4:
            return _client_error(answer, call)
        case 5:
            return _server_error(answer, call)
        case _:
            return Unknown(f"{call.label}: answered {status}, which is no final answer")


def _configured(said: Verdict, answer: Answer, call: Call) -> Outcome:
    match said.outcome:
        case "applied":
            return _applied(answer, call)
        case "already_applied":
            # A refusal of a duplicate seldom repeats the record, so its id is welcome and not demanded.
            found = _applied(answer, call)
            return AlreadyApplied(found.external_id if isinstance(found, Applied) else None)
        case "retry" | "throttled" | "target_down" as word:
            after_seconds = said.after_seconds
            if after_seconds is None:
                after_seconds = retry_after_seconds(answer.headers)
            reason = _reason(answer, call, said.message)
            if word == "throttled":
                return Throttled(reason, after_seconds, said.scope, said.kind)
            if word == "target_down":
                return TargetDown(reason, after_seconds)
            return Retry(reason, after_seconds, is_key_in_use=answer.status == _CONFLICT)
        case "rejected" | "configuration" | "credentials_expired" | "unknown" | "stale_conflict" as word:
            return _WITHOUT_DELAY[word](_reason(answer, call, said.message))
        case _:
            assert_never(said.outcome)


_WITHOUT_DELAY: dict[str, Callable[[str], Outcome]] = {
    "rejected": Rejected,
    "configuration": Configuration,
    "credentials_expired": CredentialsExpired,
    "unknown": Unknown,
    "stale_conflict": StaleConflict,
}


def _success(answer: Answer, call: Call) -> Outcome:
    location = answer.headers.get("location")
    match answer.status:
        case 202:
            return Accepted(location and one_line(location, call.secrets, max_characters=_MAX_URL_CHARACTERS))
        case status if call.is_job:
            if location:
                return Accepted(one_line(location, call.secrets, max_characters=_MAX_URL_CHARACTERS))
            return Unknown(f"{call.label}: answered {status} without the job's address")
        case 207:
            return Unknown(f"{call.label}: answered 207, several results in one, which this adapter cannot read")
    if answer.content_type in _HTML or (answer.content_type.endswith("json") and answer.is_garbage):
        # A login page, a maintenance page or a captive portal says 200 as well.
        return _not_json(answer, call)
    return _applied(answer, call)


def _applied(answer: Answer, call: Call) -> Applied | Unknown:
    """Believe a success, provided that the record's id is where it was said to be."""
    if call.external_id is None:
        return Applied()
    if answer.body is None:
        return _without_id(answer, call, "it is longer than max_answer_bytes and was not read")
    if not answer.body:
        return _without_id(answer, call, "it is empty")
    if answer.is_garbage:
        return _not_json(answer, call)
    found = dig(answer.document, call.external_id)
    if found is MISSING:
        return _without_id(answer, call, "is external_id right?")
    # Decoded numbers are text already. Text that is not printable would not survive in a database.
    if isinstance(found, str) and found.isprintable() and 0 < len(found) <= _MAX_EXTERNAL_ID_CHARACTERS:
        return Applied(found)
    return _without_id(answer, call, "what stands there is no id")


def _without_id(answer: Answer, call: Call, why: str) -> Unknown:
    return Unknown(f"{call.label}: answer {answer.status} has no {call.external_id}: {why}")


def _not_json(answer: Answer, call: Call) -> Unknown:
    content = one_line(answer.content_type, call.secrets, max_characters=_MAX_NAME_CHARACTERS) or "no content type"
    if content.endswith("json"):
        return Unknown(f"{call.label}: target answered {answer.status} with {content} that is not valid JSON")
    return Unknown(
        f"{call.label}: target answered {answer.status} with {content} where JSON was expected; is base_url right?"
    )


def _redirect(answer: Answer, call: Call) -> Outcome:
    reason = f"{call.label}: redirects to {_redirect_target(answer, call)} ({answer.status})"
    if answer.status not in SEE_ELSEWHERE:
        return Configuration(reason)
    reason += ", perhaps after it was done"
    if not call.is_repeatable:
        reason += f"; {THEN_CLOSE}"
    # Where a second call is not safe, a probe would only be one more call that perhaps has been done.
    return Unknown(reason, needs_a_person=True, is_final=not call.is_repeatable)


def _client_error(answer: Answer, call: Call) -> Outcome:
    reason = _reason(answer, call)
    after_seconds = retry_after_seconds(answer.headers)
    match answer.status:
        case 401 if answer.is_login_stale:
            return CredentialsExpired(f"{call.label}: the token was refused (401); it is fetched anew")
        case 401:
            # What is fixed cannot be refreshed: a person must replace it.
            return Configuration(f"{call.label}: credentials refused (401)")
        case 403:
            return Configuration(reason)
        case 404 if not call.addresses_record:
            return Configuration(f"{reason}; are base_url and path right?")
        case 408 | 421 | 423 | 424 | 425:
            return Retry(reason, after_seconds)
        case 409 if call.is_repeatable:
            return Retry(f"{reason}; a request with this key may still be running", after_seconds, is_key_in_use=True)
        case 409 | 412:
            return StaleConflict(reason)
        case 429:
            return Throttled(reason, after_seconds)
        case _:
            return Rejected(reason)


def _server_error(answer: Answer, call: Call) -> Outcome:
    reason = _reason(answer, call)
    after_seconds = retry_after_seconds(answer.headers)
    match answer.status:
        case 500:
            # Many targets fail behind the effect, and say so in the same words.
            return Unknown(reason, after_seconds, is_failure=True)
        case 503 if call.is_repeatable:
            return TargetDown(reason, after_seconds)
        case _:
            # Gateways answer so for requests that they may have delivered.
            return Unknown(reason, after_seconds)


def _reason(answer: Answer, call: Call, said: str | None = None) -> str:
    hidden = {*call.secrets, *told(call.document)}
    quoted = message(answer.body, hidden) if said is None else quotable(said, hidden)
    return f"{call.label}: answered {answer.status}" + (f": {quoted}" if quoted else "")


def _redirect_target(answer: Answer, call: Call) -> str:
    try:
        target = urlsplit(answer.headers.get("location", ""))
        # Not netloc, which may hold a password.
        host = target.hostname
        port = f":{target.port}" if target.port is not None else ""
    except ValueError:
        host = None
    if host is None:
        return "another path of the same host"
    return one_line(f"{target.scheme or 'http'}://{host}{port}", call.secrets, max_characters=_MAX_NAME_CHARACTERS)
