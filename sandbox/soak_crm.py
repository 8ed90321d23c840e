"""The CRMs of the campaign in one process: one for each flow, with a ledger and faults of its own."""

import argparse
import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from sandbox.crm import CrmServer


async def _serve(folder: Path, windows: dict[str, float]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        urls = {}
        for flow, window_seconds in windows.items():
            crm = CrmServer(ledger_path=folder / f"{flow}.jsonl", window_seconds=window_seconds)
            urls[flow] = (await stack.enter_async_context(crm)).url
        print(json.dumps(urls), flush=True)
        await stop.wait()


def main() -> int:
    """Serve until SIGTERM; the first line of the output is JSON: flow to URL."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.soak_crm", description=main.__doc__)
    parser.add_argument("--folder", required=True, type=Path, help="for FLOW.jsonl, the ledgers")
    parser.add_argument("--windows", required=True, type=json.loads, help="JSON: flow to seconds that keys are known")
    options = parser.parse_args()
    asyncio.run(_serve(options.folder, options.windows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
