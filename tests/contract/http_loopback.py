"""The shared HTTP layer without an adapter around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.answers import Answer, NoAnswer
from adapters.http_client import HttpClient
from outbox.model.adapter import Request
from outbox.model.connection import Connection


@asynccontextmanager
async def client_for(url: str, *, keeps_connections: bool = True, **connection: object) -> AsyncIterator[HttpClient]:
    settings = Connection.model_validate({"base_url": url, "timeout": "5s"} | connection)
    client = HttpClient(settings, keeps_connections=keeps_connections)
    try:
        yield client
    finally:
        await client.close()


async def called(client: HttpClient, url: str, *, method: str = "POST", body: bytes = b"{}") -> Answer | NoAnswer:
    return await client.exchange(Request(method, url, b"" if method == "GET" else body), {})


async def answered(client: HttpClient, url: str, *, method: str = "POST", body: bytes = b"{}") -> Answer:
    came = await called(client, url, method=method, body=body)
    assert isinstance(came, Answer), came
    return came


async def failed(client: HttpClient, url: str, *, method: str = "POST", body: bytes = b"{}") -> NoAnswer:
    came = await called(client, url, method=method, body=body)
    assert isinstance(came, NoAnswer), came
    return came
