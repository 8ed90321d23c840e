"""When somebody is written to: what is seen, judged by what was promised. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from outbox.model.alerts import Promise, Rule, broken_rules, rounded
from outbox.model.circuit import CircuitState
from outbox.model.flow_events import FlowObserved
from outbox.model.reconciliation import UNEXPLAINED, Place, Verdict

SETTINGS = "settings"


class AlertRule(StrEnum):
    """What an alert is about."""

    LATE = Rule.LATE.value
    QUIET = Rule.QUIET.value
    DEAD = "dead"
    IN_DOUBT = "in_doubt"
    CIRCUIT = "circuit"
    TOTALS = "totals"
    UNTOLD = "untold"
    UNPUBLISHED = "unpublished"
    REFUSED = "refused"


FLOW_RULES = (AlertRule.LATE, AlertRule.QUIET, AlertRule.DEAD, AlertRule.IN_DOUBT, AlertRule.CIRCUIT)
TOTALS_RULES = (AlertRule.TOTALS, AlertRule.UNTOLD)
STREAM_RULES = (AlertRule.UNPUBLISHED,)
SETTINGS_RULES = (AlertRule.REFUSED,)

# What to ask first; {flow} is the flow's name.
NEXT_STEPS: Mapping[AlertRule, str] = {
    AlertRule.LATE: "outbox status",
    AlertRule.QUIET: "outbox status; then ask the application whether it still writes these events",
    AlertRule.DEAD: "outbox dead list --flow {flow}",
    AlertRule.IN_DOUBT: "outbox dead list --flow {flow}",
    AlertRule.CIRCUIT: "outbox circuit",
    AlertRule.TOTALS: "outbox reconcile --flow {flow}",
    AlertRule.UNTOLD: "outbox reconcile --flow {flow}",
    AlertRule.UNPUBLISHED: "outbox status",
    AlertRule.REFUSED: "outbox status; then outbox config, which lists every problem",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """One rule that is broken, with a sentence for people that holds no value of a payload.

    ``hold_seconds``: how long it has to be so before it is an alert. ``level``: how much of it there is.
    """

    rule: AlertRule
    text: str
    level: int = 0
    hold_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a subject stands by some rules: those that are not broken are kept."""

    subject: str
    rules: tuple[AlertRule, ...]
    broken: tuple[Broken, ...] = ()
    flow: str | None = None


@dataclass(frozen=True, slots=True)
class TotalsGround:
    """The newest window of a flow that was reconciled; ``standing``: how many events stand where.

    ``is_untold``: a newer one was begun several times and never came to its end.
    """

    flow: str
    since: datetime | None
    until: datetime | None
    verdict: str | None
    standing: Mapping[str, int]
    is_untold: bool


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is stored: how many processes run and how many of them have refused newer settings, totals, and what stands.

    ``standing``: subject and rule of each alert that has not ended, whoever has judged it; ``raised``: how many of
    them have lasted for long enough to be told.
    """

    refused: int
    processes: int
    refusal: str | None
    totals: tuple[TotalsGround, ...]
    standing: frozenset[tuple[str, str]]
    raised: int


def stands(judgement: Judgement, standing: AbstractSet[tuple[str, str]]) -> bool:
    """Say whether an alert of these rules has not ended."""
    return any((judgement.subject, rule.value) in standing for rule in judgement.rules)


def flow_subject(flow: str) -> str:
    """Return how alerts call a flow."""
    return f"flow {flow}"


def judge_flow(promise: Promise, circuit_open_after_seconds: float, seen: FlowObserved) -> Judgement:
    """Judge how a flow was seen."""
    kept = broken_rules(promise, seen)
    broken = [Broken(AlertRule(rule.value), text) for rule, text in kept.items()]
    if seen.dead:
        broken.append(Broken(AlertRule.DEAD, f"{_some(seen.dead, 'dead letter')} and nobody has decided", seen.dead))
    if seen.in_doubt:
        doubts = f"{_some(seen.in_doubt, 'delivery', 'deliveries')} perhaps done, perhaps not, and nobody has decided"
        broken.append(Broken(AlertRule.IN_DOUBT, doubts, seen.in_doubt))
    if seen.circuit is not CircuitState.CLOSED:
        if seen.needs_a_person:
            broken.append(Broken(AlertRule.CIRCUIT, "the target is left alone, and waiting will hardly help"))
        else:
            text = f"the target has been left alone for longer than {rounded(circuit_open_after_seconds)}"
            broken.append(Broken(AlertRule.CIRCUIT, text, hold_seconds=circuit_open_after_seconds))
    return Judgement(flow_subject(seen.flow), FLOW_RULES, tuple(broken), seen.flow)


def calm_flow(flow: str) -> Sequence[Judgement]:
    """Return what is left to say of a flow that is no more: nothing of it is broken."""
    subject = flow_subject(flow)
    return (Judgement(subject, FLOW_RULES, flow=flow), Judgement(subject, TOTALS_RULES, flow=flow))


def judge_totals(ground: TotalsGround) -> Judgement:
    """Judge the newest window of a flow; what is merely late is told by other rules."""
    broken = []
    if ground.verdict == Verdict.DISAGREES and ground.since is not None and ground.until is not None:
        unexplained = sum(ground.standing.get(place.value, 0) for place in UNEXPLAINED)
        where = ", ".join(f"{ground.standing[one]} {one}" for one in map(str, Place) if ground.standing.get(one))
        window = " to ".join(time.isoformat(timespec="minutes") for time in (ground.since, ground.until))
        text = (
            f"the totals of {window} disagree: {_some(unexplained, 'event or record', 'events and records')} "
            f"without a reason{f' ({where})' if where else ''}"
        )
        broken.append(Broken(AlertRule.TOTALS, text, unexplained))
    if ground.is_untold:
        text = "a window was begun several times and the totals could not be told: the log says why"
        broken.append(Broken(AlertRule.UNTOLD, text))
    return Judgement(flow_subject(ground.flow), TOTALS_RULES, tuple(broken), ground.flow)


def judge_stream(stream: str, oldest_age_seconds: float, unpublished_after_seconds: float) -> Judgement:
    """Judge how old the oldest event of a stream is that is committed and not published."""
    broken: tuple[Broken, ...] = ()
    if oldest_age_seconds > unpublished_after_seconds:
        text = (
            f"the oldest committed event has waited {rounded(oldest_age_seconds)} to be published, "
            f"and alerts.unpublished_after is {rounded(unpublished_after_seconds)}"
        )
        broken = (Broken(AlertRule.UNPUBLISHED, text),)
    return Judgement(f"stream {stream}", STREAM_RULES, broken)


def judge_settings(refused: int, processes: int, reason: str | None) -> Judgement:
    """Judge how many processes work by settings that somebody has replaced."""
    broken: tuple[Broken, ...] = ()
    if refused:
        text = (
            f"{refused} of {_some(processes, 'process', 'processes')} refused newer settings and go on with those "
            f"before: {' '.join((reason or '').split())}"
        )
        broken = (Broken(AlertRule.REFUSED, text),)
    return Judgement(SETTINGS, SETTINGS_RULES, broken)


def _some(count: int, one: str, more: str | None = None) -> str:
    return f"{count} {one if count == 1 else more or f'{one}s'}"
