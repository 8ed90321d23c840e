"""The intake's own description: an OpenAPI document. It names commands, and no source: those are nobody's business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from outbox.intake.commands import IDEMPOTENCY_KEY, CommandsRules
from outbox.intake.problems import KINDS, PROBLEMS_PATH, Problem

_WEBHOOK = frozenset(Problem) - {
    *(Problem.UNKNOWN_COMMAND, Problem.TOKEN_INVALID, Problem.COMMAND_NOT_ALLOWED, Problem.IDEMPOTENCY_KEY_MISSING),
    *(Problem.IDEMPOTENCY_KEY_MALFORMED, Problem.IDEMPOTENCY_KEY_REUSED, Problem.IDEMPOTENCY_KEY_IN_PROGRESS),
}
_COMMAND = frozenset(Problem) - {Problem.UNKNOWN_SOURCE, Problem.TIMESTAMP_STALE}
_UNLISTED = frozenset({Problem.BUG})
_UUID = {"type": "string", "format": "uuid"}
_ANY_JSON: Mapping[str, object] = {"application/json": {"schema": {}}}
_MEANING: object = {"description": "What it means", "content": {"application/json": {"schema": {"type": "object"}}}}


def openapi(commands: CommandsRules, public_url: str | None) -> dict[str, object]:
    """Return the document.

    Args:
        commands: those that are listed, each with its path.
        public_url: what senders call, if it is known.
    """
    paths: dict[str, object] = {
        "/intake/{source}": {
            "post": {
                "operationId": "webhook",
                "summary": "A webhook of a partner, signed as its scheme says",
                "parameters": [_parameter("source", "path", {"type": "string"})],
                "requestBody": {"required": True, "content": _ANY_JSON},
                "responses": _responses(
                    _WEBHOOK,
                    {
                        "oneOf": [
                            _object({"event_id": _UUID}),
                            _object({"event_ids": {"type": "array", "items": _UUID}}),
                        ]
                    },
                ),
            }
        },
        PROBLEMS_PATH + "{problem}": {
            "get": {
                "operationId": "problem",
                "summary": "What a problem means",
                "parameters": [_parameter("problem", "path", {"type": "string", "enum": [*Problem]})],
                "responses": {"200": _MEANING} | _problems({Problem.NOT_FOUND}),
            }
        },
    }
    for name in commands.commands:
        paths[f"/commands/{name}"] = {
            "post": {
                "operationId": name,
                "summary": f"The command {name}, taken once for its Idempotency-Key",
                "security": [{"token": []}],
                "parameters": [
                    _parameter(
                        IDEMPOTENCY_KEY,
                        "header",
                        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]+$"},
                    )
                ],
                "requestBody": {"required": True, "content": _ANY_JSON},
                "responses": _responses(_COMMAND, _object({"event_id": _UUID})),
            }
        }
    document: dict[str, object] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Intake",
            "version": "1",
            "description": "What is taken becomes an event, once. What is not is answered with a problem (RFC 9457).",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "problem": _object(
                    {
                        "type": {"type": "string", "enum": [PROBLEMS_PATH + problem for problem in Problem]},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    }
                )
            },
        },
    }
    return document | ({} if public_url is None else {"servers": [{"url": public_url}]})


def _responses(problems: Iterable[Problem], answer: Mapping[str, object]) -> dict[str, object]:
    taken = {"description": "It is committed", "content": {"application/json": {"schema": answer}}}
    return {"202": taken, **_problems(problems)}


def _problems(problems: Iterable[Problem]) -> dict[str, object]:
    by_status: dict[int, list[Problem]] = {}
    for problem in sorted(set(problems) - _UNLISTED):
        by_status.setdefault(KINDS[problem].status, []).append(problem)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    return {
        str(status): {"description": ", ".join(listed), "content": content}
        for status, listed in sorted(by_status.items())
    }


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _parameter(name: str, place: str, schema: Mapping[str, object]) -> dict[str, object]:
    return {"name": name, "in": place, "required": True, "schema": schema}
