"""A delivery as a REST request: address, headers and body, the same for the same delivery. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from adapters import path_template, text_template
from adapters.http_target import overlaid
from adapters.json_text import MISSING, dig, encode
from adapters.rest_settings import Operation, RestSettings
from adapters.rest_shapes import BodyShape
from outbox.model.adapter import Delivery, Request
from outbox.model.errors import MappingError

# Every visible ASCII character but the two that a quoted string escapes, and the one that marks an escape.
_KEY_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\%')


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest(Request):
    """A rendered call that remembers by what its answer is judged: its event's type, and what it tells the target.

    Of an operation with batches it is one record, and its body what stands in the list.
    """

    event_type: str
    document: Mapping[str, object] = field(repr=False)


def rendered(delivery: Delivery, operation: Operation, settings: RestSettings, base_url: str) -> RestRequest:
    """Return the call for a delivery.

    Raises:
        MappingError: the document lacks something that the call needs.
    """
    keys = settings.keys_of(operation)
    document = delivery.document
    headers = {"Accept": "application/json"}
    body = b""
    if operation.has_body:
        headers["Content-Type"] = "application/json"
        key_path = keys.field if keys is not None else None
        body = encode(_body(document, operation.body, key_path, delivery.idempotency_key))
    headers = overlaid(headers, settings.headers)
    version = settings.api_version
    if version is not None and version.header is not None:
        headers[version.header] = version.name
    filled = {name: text_template.fill_header(text, document, name=name) for name, text in operation.headers.items()}
    headers = overlaid(headers, filled)
    if keys is not None and keys.field is None:
        key = quote(delivery.idempotency_key, safe=_KEY_SAFE)
        headers[keys.header] = f'"{key}"' if keys.quoted else key
    path = path_template.fill(operation.path, document)
    return RestRequest(
        method=operation.method,
        url=base_url + path + _query(operation, document),
        body=body,
        headers=headers,
        reference=_reference(operation, path, document),
        event_type=delivery.type,
        document=document,
    )


def put(document: dict[str, object], path: str, value: object) -> None:
    """Put a value at a dotted path, making objects on the way.

    Raises:
        MappingError: something stands there, or in the way.
    """
    *parents, leaf = path.split(".")
    here = document
    for name in parents:
        inner = here.setdefault(name, {})
        if not isinstance(inner, dict):
            raise MappingError(path, "is in the way of what is put there")
        # A copy: the document of the delivery must stay as it is.
        here[name] = here = dict(inner)
    if leaf in here:
        raise MappingError(path, "is in the document already, and the adapter puts something there")
    here[leaf] = value


def _body(document: Mapping[str, object], shape: object, key_path: str | None, key: str) -> object:
    body: object = dict(document)
    if isinstance(shape, BodyShape):
        if shape.select is not None:
            body = dig(document, shape.select)
            if body is MISSING:
                raise MappingError(shape.select, "is missing, and the body is made of it")
        if shape.wrap is not None:
            wrapped: dict[str, object] = {}
            put(wrapped, shape.wrap, body)
            body = wrapped
    if key_path is None:
        return body
    if not isinstance(body, dict):
        raise MappingError(key_path, "cannot hold the idempotency key: the body is no object")
    keyed = dict(body)
    put(keyed, key_path, key)
    return keyed


def _query(operation: Operation, document: Mapping[str, object]) -> str:
    filled = {
        name: text_template.fill(text, document, needed_by=f"the query's {name}")
        for name, text in operation.query.items()
    }
    try:
        return f"?{urlencode(filled, quote_via=quote, safe='')}" if filled else ""
    except UnicodeEncodeError:
        raise MappingError("(query)", "is not valid Unicode text") from None


def _reference(operation: Operation, path: str, document: Mapping[str, object]) -> str | None:
    """Return the name of the record, by which the target can be asked for it.

    Raises:
        MappingError: the document has no text or whole number where it is said to be.
    """
    if operation.reference is None:
        return path if path_template.has_placeholder(operation.path) else None
    value = dig(document, operation.reference)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise MappingError(
            operation.reference, "is no text or whole number, and the target is asked for the record by it"
        )
    return str(value)
