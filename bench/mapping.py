"""What one mapping of 30 fields and 20 lines costs, beside Python written by hand that does the same."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from bench.bench import Bench, Work
from bench.mapping_work import by_hand, mapping, payload
from bench.plan import MappingWay, Plan, in_turn
from bench.records import Mapped

# Documents of one look at the clock: long enough that the clock costs nothing, short beside a round.
_BATCH = 100
_SECONDS = 1.0


class MappingWork(NamedTuple):
    """One round of one way."""

    round: int
    way: MappingWay

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        return Work(f"mapping {self.round}, {self.way}", _SECONDS)


def planned(plan: Plan) -> list[MappingWork]:
    """Return them in their order."""
    return [MappingWork(number, way) for number in range(1, plan.rounds + 1) for way in in_turn(MappingWay, number)]


async def run(bench: Bench) -> None:
    """Measure all of them."""
    for work in planned(bench.plan):
        await bench.measure(work.work(), partial(_measure, bench, work))


async def _measure(bench: Bench, work: MappingWork) -> str:
    body, apply = payload(), _ways()[work.way]
    if apply(body) != by_hand(body):
        bench.findings.wrong.append(f"{work.way}: makes another document")
    # In a thread: the measurement must not wait for what else this process listens to, nor the other way round.
    microseconds = await asyncio.to_thread(_cost, apply, body)
    bench.findings.mappings.append(
        Mapped(round=work.round, way=work.way, payload_bytes=len(body), microseconds_per_document=microseconds)
    )
    return f"{microseconds:.0f} µs"


def _ways() -> dict[MappingWay, Callable[[bytes], dict[str, object]]]:
    return {MappingWay.RULES: mapping().apply, MappingWay.HAND: by_hand}


def _cost(apply: Callable[[bytes], object], body: bytes) -> float:
    documents, begun = 0, time.thread_time()
    while (seconds := time.thread_time() - begun) < _SECONDS:
        for _ in range(_BATCH):
            apply(body)
        documents += _BATCH
    return seconds / documents * 1e6
