"""What Kubernetes and Prometheus see of a process."""

from __future__ import annotations

import aiohttp

from tests.kit.waiting import until


async def answer_of(port: int, path: str) -> tuple[int, str]:
    """Return status and body."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def listens(port: int) -> None:
    """Wait until a process answers on its port."""

    async def answers() -> bool:
        try:
            await answer_of(port, "/livez")
        except aiohttp.ClientConnectionError:
            return False
        return True

    await until(answers, what=f"port {port} answers")


async def metrics_of(port: int) -> dict[str, float]:
    """Return every sample by its name and labels, as they stand in the text."""
    status, text = await answer_of(port, "/metrics")
    assert status == 200
    samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
