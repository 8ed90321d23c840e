"""Everything that the worked example needs around the sidecar: PostgreSQL, RabbitMQ, a shop, an ERP and a CRM.

`python -m sandbox.shop_stage` starts them, says in `shop.env` where they are, and stays until Ctrl-C. It never starts
the sidecar and never installs the outbox: that is the reader's part.
"""

import argparse
import asyncio
import json
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.binaries import VENV
from sandbox.crm import DEFAULT_TOKEN as CRM_TOKEN
from sandbox.demo_programs import Leash, Program, ProgramFailedError
from sandbox.demo_stage import own_database
from sandbox.errors import SandboxError
from sandbox.ports import LOOPBACK, free_ports
from sandbox.servers import Servers, private_servers
from sandbox.shop import DEFAULT_SECRET as WEBHOOK_SECRET
from sandbox.shop import DEFAULT_TOKEN as SHOP_TOKEN
from sandbox.shop_erp import DEFAULT_TOKEN as ERP_TOKEN

ENV_FILE = Path("shop.env")
SHOP_LEDGER, CRM_LEDGER = "shop-ledger.jsonl", "crm-ledger.jsonl"
_START_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ShopStage:
    """What runs. ``variables`` is what the settings of the example, and whoever plays, have to know."""

    variables: Mapping[str, str]
    programs: tuple[Program, ...]

    async def watch(self, stop: asyncio.Event) -> None:
        """Return when told to stop.

        Raises:
            ProgramFailedError: one of the systems has ended by itself.
        """
        while not stop.is_set():
            for program in self.programs:
                program.require_running()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                    await stop.wait()


@asynccontextmanager
async def open_shop_stage(servers: Servers) -> AsyncIterator[ShopStage]:
    """Start the three systems, and leave nothing of them behind.

    Raises:
        SandboxError: PostgreSQL cannot be used.
        ProgramFailedError: a system did not start.
    """
    async with AsyncExitStack() as stack:
        leash = stack.enter_context(Leash())
        pg_url = await stack.enter_async_context(own_database(servers.pg_url))
        (intake_port,) = free_ports(1)
        webhook_url = f"http://{LOOPBACK}:{intake_port}/intake/shop"
        programs, urls = [], []
        for name, module, options in (
            ("erp", "sandbox.shop_erp", ["--pg-url", pg_url]),
            ("crm", "sandbox.crm", ["--ledger", str(leash.folder / CRM_LEDGER)]),
            ("shop", "sandbox.shop", ["--ledger", str(leash.folder / SHOP_LEDGER), "--webhook-url", webhook_url]),
        ):
            command = [sys.executable, "-m", module, *options]
            program = Program(name, command, variables={}, folder=leash.folder, leash=leash)
            stack.push_async_callback(program.end)
            line = await program.start_and_read_line(within_seconds=_START_SECONDS)
            programs.append(program)
            urls.append(str(json.loads(line)["url"]))
        erp_url, crm_url, shop_url = urls
        variables = {
            "OUTBOX_PG_URL": pg_url,
            "OUTBOX_AMQP_URL": servers.amqp_url,
            "ERP_URL": erp_url,
            "ERP_TOKEN": ERP_TOKEN,
            "CRM_URL": crm_url,
            "CRM_TOKEN": CRM_TOKEN,
            "SHOP_URL": shop_url,
            "SHOP_TOKEN": SHOP_TOKEN,
            "SHOP_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "SHOP_INTAKE_PORT": str(intake_port),
            "CHAT_URL": f"{erp_url}/chat",
            "SHOP_LEDGERS": str(leash.folder),
        }
        yield ShopStage(variables, tuple(programs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Start servers and systems, and stay until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.shop_stage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", type=Path, default=ENV_FILE, help="the file that tells where everything is (shop.env)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    print("starting PostgreSQL, RabbitMQ, the shop, the ERP and the CRM", flush=True)
    try:
        with private_servers() as servers:
            asyncio.run(_stay(servers, options.env))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (ProgramFailedError, SandboxError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        options.env.unlink(missing_ok=True)
    print("all of it is gone")
    return 0


async def _stay(servers: Servers, env: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_shop_stage(servers) as stage:
        _write(env, stage.variables)
        print(
            f"They run. In another terminal, in this folder:\n\n    source {env}\n\nCtrl-C ends all of it.", flush=True
        )
        await stage.watch(stop)


def _write(env: Path, variables: Mapping[str, str]) -> None:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    path = f'export PATH={shlex.quote(str(VENV / "bin"))}:"$PATH"\n'
    draft = env.with_suffix(".draft")
    # It has the password of the database.
    draft.touch(mode=0o600)
    draft.write_text("".join([*lines, path]), encoding="utf-8")
    # Whoever waits for the file finds all of it.
    draft.replace(env)


if __name__ == "__main__":
    sys.exit(main())
