"""What a request proves itself with: nothing, something fixed, or a token that is fetched and fetched anew."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol, assert_never
from urllib.parse import quote_plus, urlencode

from adapters.answers import Answer, Fault, NoAnswer
from adapters.http_client import HttpClient, basic, user_agent
from adapters.json_text import decode
from adapters.retry_after import retry_after_seconds
from outbox.model.adapter import Request
from outbox.model.connection import ClientCredentials, Connection

# A token must still be good when the request arrives: this much earlier it is fetched anew.
_MARGIN_SECONDS = 30.0
_MARGIN_SHARE = 0.1
_MAX_EXPIRES_DIGITS = 9
# Only these words of RFC 6749 are quoted; whatever else the server says may repeat what it was sent.
_ERRORS = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "invalid_scope"),
        *("unauthorized_client", "unsupported_grant_type"),
    }
)
_TOO_MANY = 429
_REMEMBERED_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Login:
    """What one request carries, None: nothing."""

    authorization: str | None


class Credentials(Protocol):
    """Where logins come from."""

    async def login(self) -> Login | NoAnswer:
        """Return what the next request carries, or why there is nothing to carry."""
        ...

    def accepted(self, login: Login) -> None:
        """Learn that a target let somebody in with this."""
        ...

    def refused(self, login: Login) -> bool:
        """Learn that a target let nobody in with this, and say whether a fresh one may help."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be in a reason."""
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...


def credentials_of(connection: Connection) -> Credentials:
    """Return the credentials that a connection names."""
    if connection.oauth2 is not None:
        return FetchedToken(connection, connection.oauth2)
    if connection.basic is not None:
        password = connection.basic.password.get_secret_value()
        header = basic(connection.basic.user, password)
        return Fixed(Login(header), (password, header.removeprefix("Basic ")))
    if connection.bearer is not None:
        token = connection.bearer.get_secret_value()
        return Fixed(Login(f"Bearer {token}"), (token,))
    return Fixed(Login(None), ())


class Fixed:
    """Credentials that only a person can change."""

    def __init__(self, login: Login, secrets: tuple[str, ...]) -> None:
        self._login = login
        self._secrets = secrets

    async def login(self) -> Login:
        """Return always the same."""
        return self._login

    def accepted(self, _login: Login) -> None:
        """Nothing is learnt from it."""

    def refused(self, _login: Login) -> bool:
        """Say that there is no other."""
        return False

    def secrets(self) -> tuple[str, ...]:
        """Return the token, or the password in both its forms."""
        return self._secrets

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class _Token:
    login: Login
    expires_at: float | None
    has_worked: bool = False


class FetchedToken:
    """Tokens of an authorization server; however many requests need a new one, one asks for it."""

    def __init__(self, connection: Connection, settings: ClientCredentials) -> None:
        self._settings = settings
        self._http = HttpClient(connection, keeps_connections=False, url=settings.token_url)
        self._lock = asyncio.Lock()
        self._rounds = 0
        self._last: _Token | NoAnswer | None = None
        # Also those that are over: an answer that repeats one may come late.
        self._issued: deque[str] = deque(maxlen=_REMEMBERED_TOKENS)

    async def login(self) -> Login | NoAnswer:
        """Return a token that is good for a while."""
        token = self._good()
        if token is not None:
            return token.login
        seen = self._rounds
        async with self._lock:
            # Who waited here shares what was fetched meanwhile, a failure too: asking a server that is away once for
            # each waiting request would hold them up one after the other.
            if self._rounds == seen or self._last is None:
                self._last = await self._fetch()
                self._rounds += 1
                if isinstance(self._last, _Token):
                    self._issued.append(str(self._last.login.authorization).removeprefix("Bearer "))
            last = self._last
        return last if isinstance(last, NoAnswer) else last.login

    def accepted(self, login: Login) -> None:
        """Remember that the token was good once."""
        last = self._last
        if isinstance(last, _Token) and last.login == login and not last.has_worked:
            self._last = replace(last, has_worked=True)

    def refused(self, login: Login) -> bool:
        """Forget the token; a fresh one helps if this one has worked, or if there is another already."""
        last = self._last
        if not isinstance(last, _Token) or last.login != login:
            return True
        self._last = None
        return last.has_worked

    def secrets(self) -> tuple[str, ...]:
        """Return the client's secret and the latest tokens."""
        return (self._settings.client_secret.get_secret_value(), *self._issued)

    async def close(self) -> None:
        """Release the connections."""
        await self._http.close()

    def _good(self) -> _Token | None:
        last = self._last
        if not isinstance(last, _Token):
            return None
        is_over = last.expires_at is not None and asyncio.get_running_loop().time() >= last.expires_at
        return None if is_over else last

    async def _fetch(self) -> _Token | NoAnswer:
        asked_at = asyncio.get_running_loop().time()
        headers, body = self._request()
        came = await self._http.exchange(Request("POST", self._settings.token_url, body), headers)
        match came:
            case NoAnswer(reason=reason, fault=fault):
                # Whether that request left does not matter: the one that needed the token did not.
                return NoAnswer(was_sent=False, reason=f"no token: {reason}", fault=fault)
            case Answer() if came.is_success:
                return _token(came, asked_at)
            case Answer():
                return _no_token(came)
            case _:
                assert_never(came)

    def _request(self) -> tuple[dict[str, str], bytes]:
        settings = self._settings
        secret = settings.client_secret.get_secret_value()
        form = {"grant_type": "client_credentials"}
        if settings.scope is not None:
            form["scope"] = settings.scope
        form |= {name: value.get_secret_value() for name, value in settings.parameters.items()}
        headers = {
            "User-Agent": user_agent(),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if settings.login == "header":
            # RFC 6749, section 2.3.1: both are encoded as in a form before they are joined.
            headers["Authorization"] = basic(quote_plus(settings.client_id), quote_plus(secret))
        else:
            form |= {"client_id": settings.client_id, "client_secret": secret}
        return headers, urlencode(form).encode()


def _token(answer: Answer, asked_at: float) -> _Token | NoAnswer:
    document = _document(answer)
    token, kind = document.get("access_token"), document.get("token_type", "Bearer")
    is_token = isinstance(token, str) and token != "" and all("!" <= character <= "~" for character in token)
    if not is_token or not isinstance(kind, str) or kind.lower() != "bearer":
        return _misconfigured(f"token_url answered {answer.status} without a bearer token; is it right?")
    expires_in = document.get("expires_in")
    expires_at = None
    if isinstance(expires_in, str) and expires_in.isascii() and expires_in.isdecimal():
        seconds = float(expires_in[:_MAX_EXPIRES_DIGITS])
        expires_at = asked_at + seconds - min(_MARGIN_SECONDS, seconds * _MARGIN_SHARE)
    return _Token(Login(f"Bearer {token}"), expires_at)


def _no_token(answer: Answer) -> NoAnswer:
    after_seconds = retry_after_seconds(answer.headers)
    error = _document(answer).get("error")
    said = f": {error}" if isinstance(error, str) and error in _ERRORS else ""
    reason = f"no token: token_url answered {answer.status}{said}"
    if answer.status == _TOO_MANY or answer.status // 100 == 5:  # noqa: PLR2004 - server errors
        return NoAnswer(was_sent=False, reason=reason, after_seconds=after_seconds)
    return _misconfigured(f"{reason}; are token_url, client_id, client_secret and scope right?")


def _misconfigured(reason: str) -> NoAnswer:
    return NoAnswer(was_sent=False, reason=reason, fault=Fault.CONFIGURATION)


def _document(answer: Answer) -> dict[str, object]:
    try:
        document = decode(answer.body or b"")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
