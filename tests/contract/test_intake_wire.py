"""The intake's HTTP against what clients do on the wire: lies about lengths, chunks, silence, floods, and curl."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from outbox.intake.commands import CommandsRules
from outbox.intake.connections import BoundedServer
from outbox.intake.desk import Desk
from outbox.intake.rules import SourceRules
from outbox.intake.scheme_hmac import Hmac
from outbox.intake.server import IntakeServer, ServerSettings
from outbox.intake.values import Constant, TypeRule
from outbox.model.intake import Draft, RefusedNote, Taken, TakenState
from outbox.model.intake_events import RequestFailed
from outbox.model.lifecycle import Lifecycle
from outbox.supervisor import Pulse, Stop
from tests.kit.intake_requests import mac
from tests.kit.waiting import until

KEY = b"0123456789abcdef"
MAX_BODY = 1000
HEADERS = "Host: h\r\nContent-Type: application/json\r\n"


class _Takes:
    """Stands where the database is asked; `is_broken`: as only a bug can break it."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.is_broken = False

    async def take(self, drafts: Sequence[Draft]) -> list[Taken]:
        if self.is_broken:
            raise LookupError("a bug")
        self.drafts += drafts
        return [Taken(TakenState.NEW, f"event-{len(self.drafts)}") for _ in drafts]


class _Wire:
    def __init__(self, server: IntakeServer, takes: _Takes, notes: list[RefusedNote], events: list[Lifecycle]) -> None:
        self.server = server
        self.takes = takes
        self.notes = notes
        self.events = events
        self.stop = Stop()

    async def says(self, *pieces: bytes, is_half_closed: bool = False) -> bytes:
        """Send pieces, and return all that is answered until the other side has closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.bound_port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if is_half_closed:
                writer.write_eof()
            async with asyncio.timeout(20):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def wire(
    *, body_within_seconds: float = 20.0, max_connections: int = 100, memory: int = 10**6
) -> AsyncIterator[_Wire]:
    takes, notes, events = _Takes(), [], []
    rules = SourceRules(
        "git", Hmac([KEY], "X-Sig"), TypeRule(Constant("code.pushed")), None, None, is_list=False, version=1,
        max_body_bytes=MAX_BODY, content_types={"application/json"}, window_seconds=300, remember_seconds=60,
    )  # fmt: skip
    desk = Desk(
        {"git": rules},
        CommandsRules({}, [], MAX_BODY, ["application/json"], 60),
        takes,
        lambda *_: None,
        lambda _: None,
    )
    settings = ServerSettings("127.0.0.1", 0, None, body_within_seconds, max_connections, memory)
    server = IntakeServer(
        settings, desk, {}, note=notes.append, on_closed=lambda: None, report=events.append
    )  # fmt: skip
    ready = _Wire(server, takes, notes, events)

    async def is_open() -> bool:
        return server.bound_port is not None

    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(ready.stop, Pulse()))
        await until(is_open, what="the server listens")
        try:
            yield ready
        finally:
            ready.stop.set()


def head(body: bytes, *, length: int | None = None, more: str = "") -> bytes:
    size = f"Content-Length: {len(body) if length is None else length}\r\n" if length != -1 else ""
    return f"POST /intake/git HTTP/1.1\r\n{HEADERS}X-Sig: {mac(KEY, body).hex()}\r\n{size}{more}\r\n".encode()


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CLOSE = "Connection: close\r\n"
CHUNKED = CLOSE + "Transfer-Encoding: chunked\r\n"


async def test_a_body_in_pieces_and_chunks_of_any_size_is_read_whole() -> None:
    body = json.dumps({"text": "x" * 900}).encode()
    async with wire() as at:
        sent = head(body, more=CLOSE) + body
        assert b" 202 " in await at.says(*(sent[place : place + 7] for place in range(0, len(sent), 7)))
        for size in (1, 10, 2000):
            assert b" 202 " in await at.says(head(body, length=-1, more=CHUNKED), chunked(body, size))
        assert {draft.payload for draft in at.takes.drafts} == {body.decode()}


async def test_a_body_larger_than_allowed_is_refused_before_it_is_read() -> None:
    body = b'"' + b"x" * MAX_BODY + b'"'
    async with wire() as at:
        # The rest never comes: the answer does not wait for it.
        assert b" 413 " in await at.says(head(b"", length=10**12), b"x")
        assert b" 413 " in await at.says(head(body, length=-1, more=CHUNKED), chunked(body, 100))
        assert b" 413 " in await at.says(head(body, length=-1, more=CHUNKED), b"fffffffffff\r\n", b"x" * 2000)
        assert at.takes.drafts == []
        assert {note.reason for note in at.notes} == {"body-too-large"}


async def test_a_length_that_lies_takes_nothing() -> None:
    async with wire() as at:
        # Less comes than was said, and the client is gone.
        await at.says(head(b"{}", length=50, more=CLOSE), b"{}", is_half_closed=True)
        # More comes: what was said is verified, and the rest is no request.
        answer = await at.says(head(b'{"a": 1}', length=2), b'{"a": 1}')
        assert b" 400 " in answer
        for broken in (b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n"):
            answer = await at.says(head(b"{}", length=-1, more=CHUNKED), broken, is_half_closed=True)
            assert b" 202 " not in answer
            assert b" 500 " not in answer
        assert at.takes.drafts == []
        assert not [event for event in at.events if isinstance(event, RequestFailed)]


async def test_requests_that_two_readers_would_take_apart_differently_are_no_requests() -> None:
    both = f"POST /intake/git HTTP/1.1\r\n{HEADERS}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    twice = f"POST /intake/git HTTP/1.1\r\n{HEADERS}Content-Length: 2\r\nContent-Length: 3\r\n\r\n".encode()
    async with wire() as at:
        for odd in (
            both + b"0\r\n\r\n",
            twice + b"{}",
            b"GARBAGE\r\n\r\n",
            b"POST /intake/git HTTP/1.1\r\nA B: c\r\n\r\n",
        ):
            answer = await at.says(odd)
            assert b" 400 " in answer.split(b"\r\n")[0]
            assert b"request-malformed" in answer
            assert b"GARBAGE" not in answer
        huge = f"POST /intake/git HTTP/1.1\r\n{HEADERS}X: {'x' * 20_000}\r\n\r\n".encode()
        assert b" 400 " in (await at.says(huge)).split(b"\r\n")[0]
        assert at.takes.drafts == []


async def test_a_body_that_does_not_come_in_time_is_answered_and_cut_off() -> None:
    async with wire(body_within_seconds=0.1) as at:
        answer = await at.says(head(b"{}"), b"{")
        assert b" 408 " in answer
        assert b"body-too-slow" in answer


async def test_a_connection_that_asks_nothing_is_cut_off_and_one_too_many_is_closed_at_once() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="ok")

    server = BoundedServer(
        answer, lambda status: web.Response(status=status), max_connections=2, first_request_seconds=0.2
    )
    runner = web.ServerRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        silent, heard, third = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        async with asyncio.timeout(10):
            assert await third[0].read() == b""
            silent[1].write(b"POST / HTTP/1.1\r\nHost:")
            heard[1].write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b" 200 " in await heard[0].readuntil(b"ok")
            with suppress(ConnectionResetError):
                assert await silent[0].read() == b""
            # Whoever has asked may stay, and ask again.
            heard[1].write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b" 200 " in await heard[0].readuntil(b"ok")
        for _, writer in (silent, heard, third):
            writer.close()
    finally:
        await runner.cleanup()


async def test_bodies_for_which_there_is_no_room_are_told_to_come_again() -> None:
    async with wire(memory=100) as at:
        answer = await at.says(head(b"x" * 200, more=CLOSE), b"x" * 200)
        assert b" 503 " in answer
        assert b"Retry-After: 1" in answer
        # Nothing is held any more.
        assert b" 202 " in await at.says(head(b"{}", more=CLOSE), b"{}")


async def test_a_client_that_asks_whether_it_may_go_on_is_told() -> None:
    async with wire() as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.server.bound_port)
        writer.write(head(b"{}", more=CLOSE + "Expect: 100-continue\r\n"))
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"{}")
            assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        writer.close()
        refused = await at.says(head(b"", length=10**9, more=CLOSE + "Expect: 100-continue\r\n"))
        assert refused.startswith(b"HTTP/1.1 413 ")


async def test_a_bug_is_told_in_the_log_and_is_no_202() -> None:
    async with wire() as at:
        at.takes.is_broken = True
        answer = await at.says(head(b"{}", more=CLOSE), b"{}")
        assert b" 500 " in answer
        assert b"/problems/bug" in answer
        (failed,) = [event for event in at.events if isinstance(event, RequestFailed)]
        assert (failed.source, str(failed.error)) == ("git", "a bug")
