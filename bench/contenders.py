"""Who competes, how each is started, and how each is set up: the text that goes into the report."""

import sys
from dataclasses import dataclass
from pathlib import Path

from bench.plan import WARM_UP_SECONDS, Contender, Plan
from bench.queue import ROUTING_KEY
from bench.skip_locked import BATCH_EVENTS, POLL_SECONDS
from bench.stand import POSTGRES_SETTINGS, Database, Stand
from bench.yardstick import WINDOW
from outbox.config.settings import RelaySettings
from outbox.rabbitmq.topology import EVENTS
from sandbox.demo_programs import Program, outbox_command

OUTBOX_TABLE = "outbox.event"
RIVAL_TABLE = "rival.event"
TABLES = {Contender.RELAY: OUTBOX_TABLE, Contender.PLAIN: OUTBOX_TABLE, Contender.SKIP_LOCKED: RIVAL_TABLE}

# How this version's settings name the publisher, if they let people choose.
_PUBLISHER_SETTING = "publisher"
_PLAIN_PUBLISHER = "plain"


@dataclass(frozen=True, slots=True)
class Contenders:
    """Starts them."""

    stand: Stand
    plan: Plan

    def draining(self, contender: Contender, database: Database, events: int) -> Program:
        """Prepare a process that publishes what waits, and ends."""
        match contender:
            case Contender.LIMIT:
                if self.stand.limit is None:
                    raise RuntimeError("the yardstick was not built")
                command: list[str | Path] = [
                    self.stand.limit,
                    *map(str, (events, WINDOW, self.plan.payload_bytes)),
                    EVENTS,
                    ROUTING_KEY,
                ]
                return self.stand.program("limit", command, None, {"BENCH_AMQP_URL": self.stand.servers.amqp_url})
            case Contender.RELAY:
                return self.stand.program("relay", outbox_command("relay", "--drain"), database)
            case Contender.PLAIN:
                settings = plain_settings(self.stand.folder)
                return self.stand.program(
                    "relay plain", outbox_command("relay", "--drain", "--config", str(settings)), database
                )
            case Contender.SKIP_LOCKED:
                return self.stand.program("skip locked", _module("bench.skip_locked", "--drain"), database)

    def relay(self, database: Database) -> Program:
        """Prepare the relay as it runs in production."""
        return self.stand.program("relay", outbox_command("relay"), database)

    def measured(self, contender: Contender, database: Database, confirms: Path) -> Program:
        """Prepare a process that publishes for ever, for latencies; the relay notes when it got its confirms."""
        if contender is Contender.SKIP_LOCKED:
            return self.stand.program("skip locked", _module("bench.skip_locked"), database)
        return self.stand.program("measured relay", _module("bench.relay_process", confirms), database)

    def committer(self, database: Database, contender: Contender, commits: Path, rate: int, seconds: float) -> Program:
        """Prepare the application that commits at a fixed rate."""
        arguments = ("--table", TABLES[contender], "--rate", rate, "--seconds", seconds)
        sizes = ("--payload-bytes", self.plan.payload_bytes)
        return self.stand.program("committer", _module("bench.committer", commits, *arguments, *sizes), database)

    def consumer(self, deliveries: Path) -> Program:
        """Prepare the downstream service that notes when it has each message."""
        return self.stand.program("consumer", _module("bench.consumer", deliveries), None)


def absent(limit_problem: str | None) -> dict[Contender, str]:
    """Say who cannot compete here, and why."""
    reasons: dict[Contender, str] = {}
    if limit_problem is not None:
        reasons[Contender.LIMIT] = limit_problem
    if _PUBLISHER_SETTING not in RelaySettings.model_fields:
        reasons[Contender.PLAIN] = f"this version has no setting relay.{_PUBLISHER_SETTING}"
    return reasons


def plain_settings(folder: Path) -> Path:
    """Write the settings file of the relay with the plain publisher."""
    path = folder / "plain.yaml"
    path.write_text(f"relay:\n  {_PUBLISHER_SETTING}: {_PLAIN_PUBLISHER}\n", encoding="utf-8")
    return path


def how(plan: Plan, *, is_tuned: bool) -> tuple[str, ...]:
    """Say how everything is set up, for those who doubt the figures."""
    settings = ", ".join(f"{name} {value}" for name, value in POSTGRES_SETTINGS.items())
    tuning = (
        f"{settings}; the log's first files are laid in"
        if is_tuned
        else "a server that was given, and not tuned by this run"
    )
    message = (
        f"{plan.payload_bytes:,} bytes of payload, the same properties and headers, persistent, mandatory, confirmed,"
        f" through the topic exchange {EVENTS} to one quorum queue that is made anew each time"
    )
    rival = (
        f"one process on uvloop; batches of {BATCH_EVENTS} by a partial index on what waits, FOR UPDATE SKIP LOCKED,"
        " all confirms of a batch awaited together, one UPDATE for a batch, prepared statements,"
        f" {POLL_SECONDS * 1000:g} ms between looks when idle; autovacuum of its table from 5,000 dead rows on, without"
        " cost delay"
    )
    effects = (
        "a local HTTP target that answers at once, 32 calls at a time; a flow has its default settings, but for as many"
        " connections, one process;"
        " the usual consumer holds a transaction around each call, and acknowledges each message"
    )
    return (
        f"Every message: {message}.",
        f"PostgreSQL with fsync and synchronous_commit on, a checkpoint before each drain; {tuning}.",
        f"C limit: librabbitmq, one channel, at most {WINDOW} unconfirmed, reads no database.",
        "Relay: the installed command with its default settings, one process.",
        f"SKIP LOCKED + aio-pika: {rival}.",
        f"Latencies: the first {WARM_UP_SECONDS:g} s of a load, in which an idle publisher wakes up, are not counted.",
        f"Effects: {effects}.",
        "Intake: one process; signed webhooks at fixed moments over 64 connections, each with an id of its own.",
        "Rates are seen from the queue's count, CPU and memory from /proc; the contenders are not asked.",
        "Contenders take turns in every round; a ratio is formed in each round, and the median of the ratios is shown.",
        "Everything shares the same cores: the servers, the contender, and the load.",
    )


def _module(name: str, *arguments: object) -> list[str | Path]:
    return [sys.executable, "-m", name, *map(str, arguments)]
