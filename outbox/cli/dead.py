"""Verbs for parked deliveries: ``dead list`` and ``dead show`` look, the others decide (`outbox.cli.dead_actions`)."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli import dead_actions
from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of, usage_problem
from outbox.cli.dead_options import (
    Filters,
    FlowOption,
    GroupOption,
    KeyOption,
    SinceOption,
    TypeOption,
    UntilOption,
    states_of,
)
from outbox.cli.dead_tables import as_data, show_groups, show_list, show_story
from outbox.model.dead_letters import ParkedDelivery, ParkedGroup, Story
from outbox.postgres.dead_letters import dead_letter_session
from outbox.wiring import postgres_server

_DEAD = "Deliveries that wait for a person: dead letters, and calls that may have taken effect."
_LIST = """\
Show what is parked, oldest first, page by page; --by-group shows its causes instead. With --state also what waits by
itself (retry, blocked; ready: for an id of another system, or the place that --rate has given it) or was given up
(skipped). No payload is shown.

Examples: outbox dead list --by-group · outbox dead list --flow orders-to-crm --since 2h · outbox dead list --after 1200
"""
_SHOW = """\
Show everything about a delivery: its calls, what was decided, what waits behind it. The payload only with --payload.

Examples: outbox dead show 1201 · outbox dead show 0b7c8a8e-… --flow orders-to-crm --json
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_DEAD, no_args_is_help=True)
    group.command("list", help=_LIST)(_list)
    group.command("show", help=_SHOW)(_show)
    dead_actions.add_to(group)
    app.add_typer(group, name="dead")


def _list(
    *,
    config: ConfigOption = None,
    flow: FlowOption = None,
    event_type: TypeOption = None,
    group: GroupOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    states: Annotated[
        list[str] | None,
        typer.Option("--state", help="dead, in_doubt, retry, blocked, ready or skipped; may be repeated."),
    ] = None,
    by_group: Annotated[bool, typer.Option("--by-group", help="Show causes and their numbers.")] = False,
    after: Annotated[int, typer.Option("--after", metavar="ID", min=0, help="The page behind this id.")] = 0,
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="How many are shown.")] = 50,
    as_json: JsonOption = False,
) -> None:
    filters = Filters(flow, event_type, group, key, since, until).check()
    wanted = states_of(states or [])
    server = postgres_server(settings_of(config), name="outbox-dead")

    async def work() -> tuple[list[ParkedDelivery], list[ParkedGroup]]:
        async with dead_letter_session(server) as session:
            selection = filters.selection(wanted, await session.now())
            if by_group:
                return [], await session.groups(selection)
            return await session.parked(selection, after=after, wanted=most), []

    rows, groups = run(work)
    if as_json:
        output.print_json(data=[as_data(one) for one in (groups if by_group else rows)])
    elif by_group:
        show_groups(groups)
    else:
        show_list(rows)
        if len(rows) == most:
            output.print(f"more: --after {rows[-1].id}")


def _show(
    *,
    wanted: Annotated[str, typer.Argument(metavar="ID|EVENT", help="Of a delivery, or of its event.")],
    config: ConfigOption = None,
    flow: FlowOption = None,
    with_payload: Annotated[bool, typer.Option("--payload", help="Show the payload, as it would be applied.")] = False,
    as_json: JsonOption = False,
) -> None:
    server = postgres_server(settings_of(config), name="outbox-dead")

    async def work() -> list[Story]:
        async with dead_letter_session(server) as session:
            return await session.stories(wanted, flow=flow, with_body=with_payload)

    stories = run(work)
    if not stories:
        usage_problem(
            f"no delivery {wanted!r}{f' of flow {flow!r}' if flow else ''}; outbox dead list shows what there is"
        )
    if as_json:
        output.print_json(data=[as_data(story) for story in stories])
        return
    for story in stories:
        show_story(story)
