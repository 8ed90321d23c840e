"""The private servers as real processes: what they keep, where they listen, that nothing of them stays."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import asyncpg
import pytest

from sandbox import private_postgres
from sandbox.binaries import find_postgres
from sandbox.ports import LOOPBACK, free_ports
from sandbox.private_postgres import PrivatePostgres
from sandbox.private_rabbitmq import PrivateRabbitMQ
from sandbox.processes import Process, identify, is_alive, tree
from sandbox.servers import Servers, private_servers
from sandbox.watchdog import Watchdog

pytestmark = pytest.mark.xdist_group("private servers")

PROJECT = Path(__file__).resolve().parents[2]
GONE_SECONDS = 20.0
POLL_SECONDS = 0.02
NOWHERE = "amqp://nobody@127.0.0.1:9/"
TCP_LISTEN = "0A"
LOOPBACK_ADDRESSES = {"0100007F", "00000000000000000000000001000000"}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OUTBOX_PG_URL", raising=False)
        patch.delenv("OUTBOX_AMQP_URL", raising=False)
        with private_servers() as started:
            yield started


@pytest.fixture
def postgres(servers: Servers) -> PrivatePostgres:
    assert servers.postgres is not None
    return servers.postgres


@pytest.fixture
def rabbitmq(servers: Servers) -> PrivateRabbitMQ:
    assert servers.rabbitmq is not None
    return servers.rabbitmq


async def test_postgres_keeps_data_and_port_when_it_is_killed(postgres: PrivatePostgres) -> None:
    url = postgres.url
    connection = await asyncpg.connect(url)
    await connection.execute("create table kept (id int); insert into kept values (1)")
    await connection.close()

    killed = processes_of(postgres.pid)
    postgres.kill()
    assert not [process for process in killed if is_alive(process)]
    postgres.start()

    assert postgres.url == url
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("select id from kept") == 1
    await connection.close()


async def test_postgres_has_the_settings_that_the_tests_rely_on(postgres: PrivatePostgres) -> None:
    connection = await asyncpg.connect(postgres.url)
    settings = {
        name: await connection.fetchval("select current_setting($1)", name)
        for name in (
            "fsync",
            "max_connections",
            "wal_level",
            "server_encoding",
            "password_encryption",
        )
    }
    collation = await connection.fetchval("select datcollate from pg_database where datname = current_database()")
    assert connection.get_server_version().major == postgres.major
    await connection.close()
    assert collation == "C"
    assert settings == {
        "fsync": "on",
        "max_connections": "300",
        "wal_level": "replica",
        "server_encoding": "UTF8",
        "password_encryption": "scram-sha-256",
    }


async def test_postgres_needs_its_password(postgres: PrivatePostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace("postgres:", "postgres:wrong", 1))


async def test_rabbitmq_keeps_messages_and_ports_when_it_is_killed(rabbitmq: PrivateRabbitMQ) -> None:
    url = rabbitmq.url
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True)
        message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key="kept")

    rabbitmq.flush()
    rabbitmq.kill()
    rabbitmq.start()

    assert rabbitmq.url == url
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", durable=True, passive=True)
        kept = await queue.get(no_ack=True)
        assert kept is not None
        assert kept.body == b"kept"


def test_rabbitmqctl_speaks_to_the_private_node(rabbitmq: PrivateRabbitMQ) -> None:
    assert "/" in rabbitmq.ctl("list_vhosts").splitlines()


def test_every_port_is_on_loopback(postgres: PrivatePostgres, rabbitmq: PrivateRabbitMQ) -> None:
    ports = [postgres.port, *rabbitmq.ports]
    listening = listeners()
    assert set(ports) <= {port for _, port in listening}
    assert {address for address, port in listening if port in ports} <= LOOPBACK_ADDRESSES


def test_servers_do_not_run_as_root(postgres: PrivatePostgres, rabbitmq: PrivateRabbitMQ) -> None:
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in (postgres.pid, rabbitmq.pid)}
    assert 0 not in owners


def test_given_servers_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOX_PG_URL", "postgresql://given/db")
    monkeypatch.setenv("OUTBOX_AMQP_URL", NOWHERE)
    with private_servers() as given:
        assert (given.pg_url, given.amqp_url) == ("postgresql://given/db", NOWHERE)
        assert (given.postgres, given.rabbitmq, given.management_url) == (None, None, None)


def test_a_port_that_is_taken_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = find_postgres()
    assert programs is not None
    with socket.create_server((LOOPBACK, 0)) as taken, Watchdog() as watchdog:
        answers = iter([(taken.getsockname()[1],), free_ports(1)])
        monkeypatch.setattr(private_postgres, "free_ports", lambda _count: next(answers))
        server = PrivatePostgres(programs, watchdog=watchdog, is_durable=False)
        server.start()
        assert server.port != taken.getsockname()[1]


def test_a_killed_watchdog_is_no_reason_to_leave_servers_behind() -> None:
    programs = find_postgres()
    assert programs is not None
    with Watchdog() as watchdog:
        server = PrivatePostgres(programs, watchdog=watchdog, is_durable=False)
        server.start()
        started = processes_of(server.pid)
        os.kill(watchdog.pid, signal.SIGKILL)
    assert not [process for process in started if is_alive(process)]
    assert not watchdog.folder.exists()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_everything_is_gone_after_a_signal(ending: signal.Signals) -> None:
    run = start_run({})
    names = wait_ready(run)
    everything = processes_of(run.pid)
    assert {"postgres", "beam.smp", "epmd"} <= {name_of(process) for process in everything}
    folder = folder_of(everything)

    run.send_signal(ending)

    run.communicate(timeout=GONE_SECONDS)
    assert {"OUTBOX_PG_URL", "OUTBOX_AMQP_URL", "SANDBOX_MANAGEMENT_URL"} == names
    assert_gone(everything, folder)


def test_everything_is_gone_after_ctrl_c() -> None:
    run = start_run({"OUTBOX_AMQP_URL": NOWHERE})
    wait_ready(run)
    everything = processes_of(run.pid)
    folder = folder_of(everything)

    run.send_signal(signal.SIGINT)

    run.communicate(timeout=GONE_SECONDS)
    assert run.returncode == 128 + signal.SIGINT
    assert_gone(everything, folder)


def test_ctrl_c_while_the_servers_start_leaves_nothing() -> None:
    run = start_run({})
    everything = wait_for_process(run.pid, name="beam.smp")
    folder = folder_of(everything)

    run.send_signal(signal.SIGINT)

    run.communicate(timeout=GONE_SECONDS)
    assert run.returncode == 128 + signal.SIGINT
    assert_gone(everything, folder)


def test_a_command_gets_the_urls_and_its_exit_code_is_passed_on() -> None:
    run = start_run(
        {"OUTBOX_PG_URL": "postgresql://given/db", "OUTBOX_AMQP_URL": NOWHERE},
        "--",
        "sh",
        "-c",
        'echo "$OUTBOX_PG_URL $OUTBOX_AMQP_URL"; exit 7',
    )
    output, _ = run.communicate(timeout=GONE_SECONDS)
    assert output == f"postgresql://given/db {NOWHERE}\n"
    assert run.returncode == 7


def start_run(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.servers", *arguments],
        cwd=PROJECT,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_ready(run: subprocess.Popen[str]) -> set[str]:
    assert run.stdout is not None
    names: set[str] = set()
    for line in run.stdout:
        if not line.startswith("export "):
            return names
        names.add(line.removeprefix("export ").partition("=")[0])
    raise AssertionError("the run ended before its servers were ready")


def wait_for_process(pid: int, *, name: str) -> list[Process]:
    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        everything = processes_of(pid)
        if name in map(name_of, everything):
            return everything
        threading.Event().wait(POLL_SECONDS)
    raise AssertionError(f"no process {name} was started")


def processes_of(pid: int | None) -> list[Process]:
    root = identify(pid) if pid is not None else None
    return tree(root) if root is not None else []


def name_of(process: Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def folder_of(everything: list[Process]) -> Path:
    for process in everything:
        command = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
        if "sandbox.watchdog_process" in command:
            return Path(command[-2])
    raise AssertionError("there is no watchdog")


def assert_gone(everything: list[Process], folder: Path) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while folder.exists() or any(map(is_alive, everything)):
        left = [name_of(process) for process in everything if is_alive(process)]
        assert time.monotonic() < deadline, f"{left} still run, {folder} exists: {folder.exists()}"
        threading.Event().wait(POLL_SECONDS)


def listeners() -> set[tuple[str, int]]:
    lines = [line for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    fields = [line.split() for line in lines]
    return {
        (local.rpartition(":")[0], int(local.rpartition(":")[2], 16))
        for _, local, _, state, *_ in fields
        if state == TCP_LISTEN
    }
