"""Those who are written to: a chat that takes posts and a mail server, real ones that refuse, hang and come back."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.changes import Changes


@dataclass
class Chat:
    """Keeps what was posted. ``status``: what it answers from now on; None: nothing, until it is told otherwise."""

    url: str = ""
    status: int | None = 200
    posts: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append(dict(request.headers))
        body = await request.json()
        self.changes.notify()
        if self.status is None:
            await self.closing.wait()
        if self.status == 200:
            self.posts.append(body)
            self.changes.notify()
        return web.Response(status=self.status or 500, text="the-answer-of-the-chat")

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [alert for post in self.posts for alert in post["alerts"]]

    def told(self, rule: str, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.alerts if (one["rule"], one["kind"]) == (rule, kind)]

    async def has_told(self, rule: str, kind: str = "raised", *, within_seconds: float = 30.0) -> dict[str, Any]:
        try:
            await self.changes.until(lambda: bool(self.told(rule, kind)), within_seconds=within_seconds)
        except TimeoutError:
            raise AssertionError(f"nobody was told {kind} of {rule}: {json.dumps(self.posts)}") from None
        return self.told(rule, kind)[0]

    async def was_called(self, times: int) -> None:
        await self.changes.until(lambda: len(self.calls) >= times, within_seconds=30.0)


@asynccontextmanager
async def chat() -> AsyncIterator[Chat]:
    one = Chat()
    application = web.Application()
    application.router.add_post("/hook/{secret}", one.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        one.url = f"http://127.0.0.1:{port}/hook/s3cret-hook"
        yield one
    finally:
        one.closing.set()
        await runner.cleanup()


@dataclass
class Mailbox:
    """Keeps what was handed in. ``refuses``: whom it takes no mail for; ``is_hanging``: it says nothing to data."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    is_hanging: bool = False
    changes: Changes = field(default_factory=Changes)

    # The names are the library's.
    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 no such user s3cret-text"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.is_hanging:
            await asyncio.Event().wait()
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        self.changes.notify()
        return "250 taken"

    def login(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, auth: Any) -> AuthResult:  # noqa: ANN401
        assert isinstance(auth, LoginPassword)
        self.logins.append((auth.login.decode(), auth.password.decode()))
        return AuthResult(success=auth.password == b"pass word", handled=False)

    async def has_mail(self, count: int = 1) -> EmailMessage:
        await self.changes.until(lambda: len(self.mails) >= count, within_seconds=30.0)
        return self.mails[count - 1]


@asynccontextmanager
async def mailbox(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None
) -> AsyncIterator[Mailbox]:
    """Run a mail server: over TLS from the first byte, with STARTTLS, or plain."""
    one = Mailbox()
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []
    with_login = tls is not None or starttls is not None

    def session() -> SMTP:
        made = SMTP(
            one,
            hostname="localhost",
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=starttls is not None,
            auth_require_tls=starttls is not None,
            authenticator=one.login if with_login else None,
            loop=loop,
        )
        sessions.append(made)
        return made

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls)
    try:
        one.port = server.sockets[0].getsockname()[1]
        yield one
    finally:
        server.close()
        await server.wait_closed()
        if left := [task for made in sessions if (task := made._handler_coroutine) is not None and not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
