"""The CRM's HTTP bodies: what it reads from a request and the answers that it gives."""

from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from sandbox.crm_ledger import NewDeal

MAINTENANCE_PAGE = "<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>"
LOGIN_PAGE = "<!doctype html><title>Sign in</title><form method=post><input name=password></form>"


class _DealBody(BaseModel):
    """The body of ``POST /deals``; other fields are ignored, as most APIs do."""

    # The ERP's own name is taken too, so that a client without a mapping can send what the ERP emitted.
    external_ref: Annotated[str, Field(min_length=1, validation_alias=AliasChoices("external_ref", "order_ref"))]
    customer: Annotated[str, Field(min_length=1)]
    revision: Annotated[int, Field(strict=True)]
    # Text, because a JSON number would have been through a float.
    amount: Annotated[str, Field(pattern=r"^-?\d+(\.\d{1,2})?$")]
    currency: str = "EUR"


def read_deal(raw: bytes) -> NewDeal | web.Response:
    """Read the body of ``POST /deals``, or make the answer that says what is wrong with it."""
    try:
        body = _DealBody.model_validate_json(raw)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        is_json = all(fault["type"] != "json_invalid" for fault in faults)
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY if is_json else HTTPStatus.BAD_REQUEST,
            "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults),
        )
    return NewDeal(body.external_ref, body.customer, body.revision, body.amount, body.currency)


def problem(status: HTTPStatus, title: str, headers: dict[str, str] | None = None) -> web.Response:
    """Make an RFC 9457 problem document."""
    return web.json_response(
        {"type": "about:blank", "title": title, "status": status},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )


def html(page: str) -> web.Response:
    """Answer 200 with a page that no API client can use."""
    return web.Response(text=page, content_type="text/html")


def drop(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    # aiohttp wants a response from every handler; on a closed connection it goes nowhere.
    return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
