"""What people get who are written to, from a real mail server and a real chat, and why they do not."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from outbox.alerts.mail import MailChannel, MailServer
from outbox.alerts.post import PostChannel
from outbox.alerts.undelivered import Undelivered
from outbox.config.alerts import Channel
from outbox.model.notices import Message
from outbox.wiring_alerts import sender_of
from sandbox.ports import free_ports
from tests.kit.certificates import Authority
from tests.kit.chat import chat, mailbox
from tests.kit.waiting import rest

MESSAGE = Message("[outbox] 1 alert: flow ünö late", "ALERT <flow> & more\n  text", {"alerts": []})
TO = ("it@example.com", "ops@example.com")
QUICK_SECONDS = 0.3


def mail(port: int, **chosen: Any) -> MailChannel:  # noqa: ANN401
    values: dict[str, Any] = {"user": None, "password": None, "is_tls": False, "is_upgraded": False} | chosen
    timeout_seconds = values.pop("timeout_seconds", 5.0)
    return MailChannel(
        MailServer("localhost", port, **values), sender="outbox@example.com", timeout_seconds=timeout_seconds
    )


def post(url: str, **chosen: Any) -> PostChannel:  # noqa: ANN401
    return PostChannel(url, **({"form": "slack", "token": None, "timeout_seconds": 5.0} | chosen))


async def reason(channel: MailChannel | PostChannel) -> str:
    with pytest.raises(Undelivered) as refused:
        await channel.send(MESSAGE, TO)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None
    return refused.value.reason


def server_side(authority: Authority) -> ssl.SSLContext:
    pair = authority.issue("localhost", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    return context


async def test_mail_goes_to_all_recipients_at_once_and_no_machine_answers_it() -> None:
    async with mailbox() as place:
        assert await mail(place.port).send(MESSAGE, TO) == 0
        received = await place.has_mail()
        assert place.recipients == [list(TO)]
        assert (received["Subject"], received["To"]) == (MESSAGE.subject, ", ".join(TO))
        assert received["Auto-Submitted"] == "auto-generated"
        assert received.get_content().split() == MESSAGE.text.split()


async def test_a_recipient_that_is_refused_keeps_it_from_no_other_and_all_of_them_are_a_failure() -> None:
    async with mailbox() as place:
        place.refuses = {TO[0]}
        assert await mail(place.port).send(MESSAGE, TO) == 1
        assert place.recipients == [[TO[1]]]
        place.refuses = set(TO)
        assert await reason(mail(place.port)) == "the mail server took none of the recipients (550)"


@pytest.mark.parametrize("way", ["tls", "starttls"])
async def test_mail_travels_over_tls_with_a_login_to_a_server_whose_authority_is_known(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "ca")
    async with mailbox(**{way: server_side(authority)}) as place:
        chosen = {"user": "relay", "password": "pass word", "is_tls": way == "tls", "is_upgraded": way == "starttls"}
        assert await reason(mail(place.port, **chosen)) == (
            "its certificate is not accepted: unable to get local issuer certificate"
        )
        monkeypatch.setenv("SSL_CERT_FILE", authority.ca)
        assert await mail(place.port, **chosen).send(MESSAGE, TO) == 0
        assert place.logins == [("relay", "pass word")]
        wrong = await reason(mail(place.port, **(chosen | {"password": "s3cret"})))
        assert wrong == "the mail server answered 535 (SMTPAuthenticationError)"


async def test_a_server_without_tls_gets_nothing_where_tls_is_asked_for() -> None:
    async with mailbox() as place:
        assert "STARTTLS" in await reason(mail(place.port, is_upgraded=True))
        assert place.mails == []


async def test_a_mail_server_that_hangs_or_is_not_there_is_given_up_in_time() -> None:
    async with mailbox() as place:
        place.is_hanging = True
        assert await reason(mail(place.port, timeout_seconds=QUICK_SECONDS)) == "no answer in time"
    (port,) = free_ports(1)
    assert "connect" in (await reason(mail(port))).lower()


async def test_a_mail_server_that_answers_each_command_late_is_given_up_in_time_all_the_same() -> None:
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 slow\r\n")
        while line := await reader.readline():
            await rest(2 * QUICK_SECONDS / 3)
            writer.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 well\r\n")
        writer.close()
        left.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await reason(mail(port, timeout_seconds=QUICK_SECONDS)) == "no answer in time"
        async with asyncio.timeout(10):
            await left.wait()


async def test_a_chat_gets_text_without_markup_and_a_program_gets_values() -> None:
    async with chat() as place:
        assert await post(place.url).send(MESSAGE, ()) == 0
        assert await post(place.url, form="json", token="t0ken").send(MESSAGE, ()) == 0
        text, values = place.posts
        assert text == {"text": "[outbox] 1 alert: flow ünö late\n\nALERT &lt;flow&gt; &amp; more\n  text"}
        assert values == {"subject": MESSAGE.subject, "text": MESSAGE.text, "alerts": []}
        assert "Authorization" not in place.calls[0]
        assert place.calls[1]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_any_other_answer_than_success_is_a_failure_and_its_text_is_not_quoted(status: int) -> None:
    async with chat() as place:
        place.status = status
        assert await reason(post(place.url)) == f"it answered {status}"


@pytest.mark.parametrize("said", [b"220 mail.example.com ready\r\n", b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"])
async def test_what_does_not_answer_in_http_is_a_failure_and_neither_its_address_nor_its_answer_is_quoted(
    said: bytes,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await reason(post(f"http://127.0.0.1:{port}/s3cret")) == "its answer is not HTTP"


@pytest.mark.parametrize(
    ("where", "token"),
    [
        ("{host}", "s3cret\n"),
        ("user:s3cret@{host}", "t0ken"),
        ("us%3Aer:s3cret@{host}", None),
        ("user:s3cret%E2%82%AC@{host}", None),
        ("s3cret..example.com", None),
    ],
)
async def test_what_no_request_can_carry_is_a_failure_and_ends_no_process(where: str, token: str | None) -> None:
    async with chat() as place:
        host = place.url.removeprefix("http://")
        told = await reason(post(f"http://{where.format(host=host)}", token=token))
    assert told == "its host, user, password or token cannot be sent as it is written"


async def test_a_mail_server_whose_name_no_resolver_takes_is_a_failure_and_ends_no_process() -> None:
    server = MailServer("mail..example.com", None, user=None, password=None, is_tls=False, is_upgraded=False)
    told = await reason(MailChannel(server, sender="outbox@example.com", timeout_seconds=5))
    assert told == "its host, user or password cannot be sent as it is written"


async def test_a_chat_that_hangs_or_is_not_there_is_given_up_in_time() -> None:
    async with chat() as place:
        place.status = None
        assert await reason(post(place.url, timeout_seconds=QUICK_SECONDS)) == "no answer in time"
    (port,) = free_ports(1)
    assert "connect" in (await reason(post(f"http://127.0.0.1:{port}/s3cret"))).lower()


async def test_the_address_of_a_channel_says_what_writes_and_how() -> None:
    async with mailbox() as place:
        channel = Channel.model_validate(
            {
                "url": f"smtp://localhost:{place.port}",
                "sender": "outbox@example.com",
                "recipients": ["it@example.com"],
                "starttls": False,
            }
        )
        await sender_of(channel).send(MESSAGE, TO)
        assert len(place.mails) == 1
    async with chat() as room:
        await sender_of(Channel.model_validate({"url": room.url})).send(MESSAGE, ())
        assert list(room.posts[0]) == ["text"]
