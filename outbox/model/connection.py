"""How a target system is reached over HTTP; the same for every HTTP adapter."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from outbox.model.units import Bytes, Seconds

_ADDRESS = re.compile(r"https?://[!-~]+")
_EXAMPLE = "https://crm.example.com/api"
_TOKEN_EXAMPLE = "https://login.example.com/oauth2/token"  # noqa: S105 - an address
_PROXY_EXAMPLE = "http://proxy.example.com:3128"
_NETWORK_EXAMPLE = "10.20.0.0/16"


def broken_rule(sentence: str, *, field: str | None = None) -> PydanticCustomError:
    """Return the kind of error that is told to people word for word; the sentence quotes no value.

    ``field``: the field to blame, if the rule is a model's.
    """
    context: dict[str, object] = {"sentence": sentence}
    return PydanticCustomError("sentence", "{sentence}", context if field is None else {**context, "field": field})


def _check_url(address: str, example: str) -> str:
    if _ADDRESS.fullmatch(address) is None or set("?#") & set(address):
        raise broken_rule(
            "must begin with http:// or https:// and have no query, no spaces and ASCII characters only, "
            f"for example {example}"
        )
    try:
        parts = urlsplit(address)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        # No `from`: the cause quotes the address.
        is_complete = False
    if not is_complete:
        raise broken_rule(f"must name a host, and a port only as a number, for example {example}")
    return address


def _check_base_url(address: str) -> str:
    checked = _check_url(address, _EXAMPLE)
    if "@" in urlsplit(checked).netloc:
        # It would be part of every request's address, which is hashed, stored and quoted.
        raise broken_rule(
            f"must not hold user or password; put the token into bearer, or use basic or oauth2, for example {_EXAMPLE}"
        )
    return checked


def _check_token_url(address: str) -> str:
    checked = _check_url(address, _TOKEN_EXAMPLE)
    if "@" in urlsplit(checked).netloc:
        raise broken_rule(f"must not hold user or password, for example {_TOKEN_EXAMPLE}")
    return checked


def _check_bearer(bearer: SecretStr) -> SecretStr:
    token = bearer.get_secret_value()
    if not token or not all("!" <= character <= "~" for character in token):
        raise broken_rule("must be the token alone: ASCII, without spaces or line breaks, and without the word Bearer")
    return bearer


def _check_proxy(proxy: SecretStr) -> SecretStr:
    address = proxy.get_secret_value()
    _check_url(address, _PROXY_EXAMPLE)
    if not address.startswith("http://") or urlsplit(address).path not in ("", "/"):
        # HTTPS targets are reached through a tunnel, which is encrypted to its end.
        raise broken_rule(f"must be the http:// address of the proxy without a path, for example {_PROXY_EXAMPLE}")
    return proxy


def _check_network(network: str) -> str:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        raise broken_rule(f"must be a network with the bits of its hosts 0, for example {_NETWORK_EXAMPLE}") from None
    return network


class TlsFiles(BaseModel):
    """PEM files for https:// targets; a file that has changed is read again for the next connection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: Annotated[str, Field(min_length=1)] | None = None
    cert_file: Annotated[str, Field(min_length=1)] | None = None
    key_file: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise broken_rule("needs the certificate that it belongs to, in cert_file", field="key_file")
        return self


class Basic(BaseModel):
    """A user and a password."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # HTTP takes the first colon for the end of the user's name.
    user: Annotated[str, Field(min_length=1, pattern=r"^[^:\x00-\x1f\x7f]+$")]
    password: SecretStr


class ClientCredentials(BaseModel):
    """A client that gets its tokens from an authorization server (RFC 6749, section 4.4).

    ``login``: where the server wants id and secret, in the Authorization header or in the form. ``parameters``: what it
    wants besides, such as ``audience``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token_url: Annotated[str, AfterValidator(_check_token_url)]
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr
    scope: Annotated[str, Field(min_length=1)] | None = None
    login: Literal["header", "form"] = "header"
    parameters: dict[str, SecretStr] = Field(default_factory=dict)


class Connection(BaseModel):
    """One target system: address, credentials and limits.

    ``connect_timeout`` holds name look-up, TCP, a proxy's tunnel and TLS; ``send_timeout`` until the last byte of the
    request was taken, ``answer_timeout`` from then to the first of the answer, ``timeout`` all of it to the last one.
    ``allowed_networks``: addresses besides public ones that a host name may lead to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_check_base_url)]
    bearer: Annotated[SecretStr, AfterValidator(_check_bearer)] | None = None
    basic: Basic | None = None
    oauth2: ClientCredentials | None = None
    connect_timeout: Annotated[Seconds, Field(gt=0)] = 5.0
    send_timeout: Annotated[Seconds, Field(gt=0)] | None = None
    answer_timeout: Annotated[Seconds, Field(gt=0)] | None = None
    timeout: Annotated[Seconds, Field(gt=0)] = 30.0
    max_connections: Annotated[int, Field(ge=1, le=1000)] = 20
    max_answer_bytes: Annotated[Bytes, Field(ge=1024)] = 1024 * 1024
    proxy: Annotated[SecretStr, AfterValidator(_check_proxy)] | None = None
    tls: TlsFiles | None = None
    allowed_networks: tuple[Annotated[str, AfterValidator(_check_network)], ...] = ()

    @model_validator(mode="after")
    def _check_one_login(self) -> Self:
        given = [name for name in ("bearer", "basic", "oauth2") if getattr(self, name) is not None]
        if len(given) > 1:
            raise broken_rule(f"must not be set beside {given[0]}: a request carries one login", field=given[-1])
        return self

    @model_validator(mode="after")
    def _check_encrypted(self) -> Self:
        if self.tls is not None and not self.base_url.startswith("https://"):
            raise broken_rule("is not used by an http:// address; write base_url as https://", field="tls")
        return self
