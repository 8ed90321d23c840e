"""Many records in one call: the body that holds them, and the outcome of each. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.answers import Answer
from adapters.json_text import MISSING, dig
from adapters.rest_classify import Call, classify
from adapters.rest_rules import verdict
from adapters.rest_shapes import Batch, ByReference
from outbox.model.outcome import (
    AlreadyApplied,
    Applied,
    Configuration,
    Outcome,
    Rejected,
    Unknown,
)

_STATUS = re.compile(r"[1-5][0-9]{2}")
_OK = 200
_REFUSAL = 4
_SEVERAL = 207


@dataclass(frozen=True, slots=True)
class _Untold:
    """The answer has no result for a record, or none that is surely its own."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Told:
    """The result of a record."""

    result: object


def body_of(records: Sequence[bytes], path: str | None) -> bytes:
    """Return the body that holds these records, each byte for byte as it was rendered."""
    body = b"[" + b",".join(records) + b"]"
    for name in reversed(path.split(".") if path is not None else []):
        body = b"{" + json.dumps(name).encode() + b":" + body + b"}"
    return body


def whole_outcome(answer: Answer, call: Call) -> Outcome | None:
    """Return how the call ended for all records alike; None when each has a result of its own."""
    outcome = classify(_plain(answer), call)
    return None if isinstance(outcome, Applied | AlreadyApplied) else outcome


def outcomes(answer: Answer, call: Call, batch: Batch, documents: Sequence[Mapping[str, object]]) -> list[Outcome]:
    """Return how each record ended.

    What is not told of a record is unknown: that others succeeded says nothing of it.
    """
    answer = _plain(answer)
    alone = replace(answer, headers={**answer.headers, "content-type": "application/json"})
    # Its own status alone is the record's; the call's has been judged.
    statuses = call.statuses if batch.status is not None else {}
    judged = replace(call, rules=batch.rules, statuses=statuses, external_id=batch.external_id, addresses_record=True)
    return [
        Unknown(f"{call.label}: {one.reason}")
        if isinstance(one, _Untold)
        else _outcome(one.result, alone, replace(judged, document=document), batch)
        for one, document in zip(_results(answer, batch, documents), documents, strict=True)
    ]


def _plain(answer: Answer) -> Answer:
    """Return an answer with several results as one whose results are to be read."""
    return replace(answer, status=_OK) if answer.status == _SEVERAL else answer


def _results(answer: Answer, batch: Batch, documents: Sequence[Mapping[str, object]]) -> Sequence[_Told | _Untold]:
    count = len(documents)
    if answer.body is None:
        return [_Untold("the answer is longer than max_answer_bytes, and was not read")] * count
    answered = answer.document
    if answered is MISSING:
        return [_Untold(f"answered {answer.status} without results that can be read")] * count
    results = answered if batch.results is None else dig(answered, batch.results)
    if not isinstance(results, list):
        where = "" if batch.results is None else f" at {batch.results}"
        return [_Untold(f"answered {answer.status} without a list of results{where}")] * count
    if batch.match is not None:
        return _by_reference(results, documents, batch.match)
    if len(results) != count:
        # Which of them is missing, nobody knows.
        return [_Untold(f"answered {len(results)} results for {count} records, so that none is surely its own")] * count
    return [_Told(result) for result in results]


def _by_reference(
    results: list[object], documents: Sequence[Mapping[str, object]], match: ByReference
) -> Sequence[_Told | _Untold]:
    by_name: dict[str, list[object]] = {}
    for result in results:
        name = dig(result, match.result)
        if isinstance(name, str):
            by_name.setdefault(name, []).append(result)
    names = [_name(document, match.record) for document in documents]
    found: list[_Told | _Untold] = []
    for name in names:
        mine = by_name.get(name, []) if name is not None else []
        if len(mine) == 1 and names.count(name) == 1:
            found.append(_Told(mine[0]))
        else:
            several = "no result" if not mine else "several results or records of one name"
            found.append(_Untold(f"the answer has {several} at {match.result} for this record"))
    return found


def _name(document: Mapping[str, object], path: str) -> str | None:
    value = dig(document, path)
    # As the answer's numbers are read: text.
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _outcome(result: object, answer: Answer, call: Call, batch: Batch) -> Outcome:
    status = answer.status
    if batch.status is not None:
        text = dig(result, batch.status)
        if text is MISSING or not isinstance(text, str) or _STATUS.fullmatch(text) is None:
            return Unknown(f"{call.label}: a result has no status at {batch.status}")
        status = int(text)
    alone = Answer(status, answer.headers, json.dumps(result).encode())
    outcome = classify(alone, call)
    if isinstance(outcome, Configuration) and not _is_told(alone, call):
        # The call was let in, so it is this record that is refused: it must not stop the flow for all others.
        is_refusal = status // 100 == _REFUSAL
        return Rejected(outcome.reason) if is_refusal else Unknown(outcome.reason)
    return Unknown(outcome.reason) if isinstance(outcome, Unknown) and outcome.needs_a_person else outcome


def _is_told(answer: Answer, call: Call) -> bool:
    """Say whether the settings speak of such an answer."""
    status = answer.status
    words = {str(status), f"{status // 100}xx"}
    return verdict(answer, call.rules) is not None or not words.isdisjoint(call.statuses)
