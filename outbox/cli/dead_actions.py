"""Verbs that decide about parked deliveries: ``dead retry``, ``edit``, ``skip``, ``discard``, ``resolve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import orjson
import typer

from outbox.cli.common import AsOption, ConfigOption, JsonOption, settings_of, usage_problem, who_decides, why_decided
from outbox.cli.dead_options import (
    AllOption,
    DryRunOption,
    Filters,
    FlowOption,
    GroupOption,
    IdsArgument,
    KeyOption,
    RateOption,
    SinceOption,
    TypeOption,
    UntilOption,
    WhyOption,
    YesOption,
    rate_of,
    states_of,
)
from outbox.cli.dead_work import Asked, decide
from outbox.model.dead_letters import PARKED, Action, Decision
from outbox.model.delivery import State
from outbox.wiring import postgres_server

_RETRY = """\
Try dead letters again, as if they had just come: with all their tries, and under a new idempotency key, because they
were refused for certain. What waits behind them follows in order. Of many, those are left out that had a call without
an answer before: the target may have them.

Examples: outbox dead retry 1201 · outbox dead retry --all-matching --group 3f2a9c01d7 --rate 50/s --why fixed --yes
"""
_EDIT = """\
Apply another payload than the one that came, and try again. The original stays in the inbox; the audit has the digests
of both.

Examples: outbox dead edit 1201 --file fixed.json --why "customer merged" · outbox dead edit 1201 --file - --why …
"""
_SKIP = """\
Decide that events are not applied; their keys go on without them. For events that are right and no longer wanted.

Examples: outbox dead skip 1201 --why "booked by hand" · outbox dead skip --all-matching --state dead --key SO-1 --why …
"""
_DISCARD = """\
Drop what never was an event of this flow: foreign messages, garbage. Refused for anything that was sent once.

Examples: outbox dead discard 1201 --why "test message of the shop team"
"""
_RESOLVE = """\
Say what a look into the target has shown of a delivery in doubt: it happened (it counts as applied), or it did not (it
is tried again under a new idempotency key).

Examples: outbox dead resolve 1201 --happened --external-id D-881 --why "found in CRM" · outbox dead resolve 1201
--not-happened --why "no such deal"
"""


def add_to(group: typer.Typer) -> None:
    """Register the verbs."""
    group.command("retry", help=_RETRY)(_retry)
    group.command("edit", help=_EDIT)(_edit)
    group.command("skip", help=_SKIP)(_skip)
    group.command("discard", help=_DISCARD)(_discard)
    group.command("resolve", help=_RESOLVE)(_resolve)


def _retry(
    *,
    ids: IdsArgument = None,
    config: ConfigOption = None,
    is_all: AllOption = False,
    flow: FlowOption = None,
    event_type: TypeOption = None,
    group: GroupOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    rate: RateOption = None,
    even_stale: Annotated[
        bool, typer.Option("--stale", help="Although a later event of the key took effect: this one may undo it.")
    ] = False,
    also_unanswered: Annotated[
        bool,
        typer.Option("--also-unanswered", help="Of all that match, also what had a call without an answer before."),
    ] = False,
    why: WhyOption = None,
    who: AsOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    decision = Decision(
        Action.RETRY,
        who_decides(who),
        why,
        even_stale=even_stale,
        rate_per_s=rate_of(rate),
        # Whoever names a delivery has seen what show says of it.
        even_unanswered=also_unanswered or not is_all,
    )
    filters = Filters(flow, event_type, group, key, since, until)
    asked = Asked(
        ids or (), filters, (State.DEAD,), is_all=is_all, is_dry_run=dry_run, is_confirmed=yes, as_json=as_json
    )
    decide(postgres_server(settings_of(config), name="outbox-dead"), asked, decision)


def _edit(
    *,
    wanted: Annotated[str, typer.Argument(metavar="ID|EVENT", help="Of a delivery, or of its event.")],
    file: Annotated[str, typer.Option("--file", metavar="PATH", help="The payload as JSON; - is standard input.")],
    config: ConfigOption = None,
    flow: FlowOption = None,
    even_stale: Annotated[
        bool, typer.Option("--stale", help="Although a later event of the key took effect: this one may undo it.")
    ] = False,
    why: WhyOption = None,
    who: AsOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    decision = Decision(Action.EDIT, who_decides(who), why_decided(why), body=_payload(file), even_stale=even_stale)
    asked = Asked((wanted,), Filters(flow), (State.DEAD,), is_dry_run=dry_run, as_json=as_json)
    decide(postgres_server(settings_of(config), name="outbox-dead"), asked, decision)


def _skip(
    *,
    ids: IdsArgument = None,
    config: ConfigOption = None,
    is_all: AllOption = False,
    flow: FlowOption = None,
    event_type: TypeOption = None,
    group: GroupOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    states: Annotated[
        list[str] | None, typer.Option("--state", help="dead or in_doubt, of all that match; may be repeated.")
    ] = None,
    why: WhyOption = None,
    who: AsOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    decision = Decision(Action.SKIP, who_decides(who), why_decided(why))
    if states and not is_all:
        usage_problem("filters go with --all-matching; of ids only --flow")
    if is_all and not states and group is None:
        usage_problem(
            "doubts may have taken effect: say --state dead, --state in_doubt or both, or one cause by --group"
        )
    filters = Filters(flow, event_type, group, key, since, until)
    wanted = states_of(states or [], PARKED)
    asked = Asked(ids or (), filters, wanted, is_all=is_all, is_dry_run=dry_run, is_confirmed=yes, as_json=as_json)
    decide(postgres_server(settings_of(config), name="outbox-dead"), asked, decision)


def _discard(
    *,
    ids: IdsArgument = None,
    config: ConfigOption = None,
    is_all: AllOption = False,
    flow: FlowOption = None,
    event_type: TypeOption = None,
    group: GroupOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    why: WhyOption = None,
    who: AsOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    decision = Decision(Action.DISCARD, who_decides(who), why_decided(why))
    filters = Filters(flow, event_type, group, key, since, until)
    asked = Asked(
        ids or (), filters, (State.DEAD,), is_all=is_all, is_dry_run=dry_run, is_confirmed=yes, as_json=as_json
    )
    decide(postgres_server(settings_of(config), name="outbox-dead"), asked, decision)


def _resolve(
    *,
    ids: IdsArgument = None,
    config: ConfigOption = None,
    happened: Annotated[bool, typer.Option("--happened", help="The target has it.")] = False,
    not_happened: Annotated[bool, typer.Option("--not-happened", help="The target does not have it.")] = False,
    external_id: Annotated[str | None, typer.Option("--external-id", help="What the target calls it.")] = None,
    is_all: AllOption = False,
    flow: FlowOption = None,
    event_type: TypeOption = None,
    group: GroupOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    rate: RateOption = None,
    why: WhyOption = None,
    who: AsOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    if happened == not_happened:
        usage_problem(
            "say --happened or --not-happened: look into the target first, outbox dead show tells what was sent"
        )
    if external_id is not None and (not_happened or is_all or len(ids or ()) != 1):
        usage_problem(
            "--external-id is what the target calls one record that exists: give it with --happened and one id"
        )
    action = Action.HAPPENED if happened else Action.NOT_HAPPENED
    decision = Decision(action, who_decides(who), why_decided(why), external_id, rate_per_s=rate_of(rate))
    filters = Filters(flow, event_type, group, key, since, until)
    asked = Asked(
        ids or (), filters, (State.IN_DOUBT,), is_all=is_all, is_dry_run=dry_run, is_confirmed=yes, as_json=as_json
    )
    decide(postgres_server(settings_of(config), name="outbox-dead"), asked, decision)


def _payload(file: str) -> bytes:
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        usage_problem(f"--file: {file}: {error.strerror}")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _not_json(file, error)
    return body


def _not_json(file: str, error: orjson.JSONDecodeError) -> NoReturn:
    # Where, and never what: a payload does not belong into a terminal's log.
    usage_problem(f"--file: {file} is not JSON, line {error.lineno}, column {error.colno}; nothing was changed")
