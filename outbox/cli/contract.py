"""The verbs of ``outbox contract``: ``check``, ``test``."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from outbox.cli.common import ConfigOption, fail, output, settings_of, usage_problem
from outbox.cli.contract_files import contracts_at, contracts_in
from outbox.cli.contract_samples import LINKS_FILE, flows_of, links_in, samples_in
from outbox.flow.contract import ContractSet
from outbox.flow.contract_changes import Change, Effect, changes
from outbox.flow.contract_samples import Passage, missing, passage
from outbox.model.contract import contract_name
from outbox.model.errors import ExitCode, OutboxError
from outbox.wiring_contracts import contracts_of

_CONTRACT = """\
What payloads must look like: the contracts, what their changes break, samples of them. Needs no server.

Examples: outbox contract check · outbox contract check --dir contracts --against origin/main · outbox contract test
"""
_CHECK = """\
Check every contract, and what has changed since another revision; end with 1 when a change breaks producers (what they
send would be refused) or consumers (what comes is not what they were told), or cannot be judged. One line for each.

Examples: outbox contract check · outbox contract check --dir contracts --against origin/main ·
outbox contract check --dir new --against old --format json
"""
_TEST = """\
Send samples of payloads through their contract, the mapping of every flow that takes them, and the schema of that
flow's target documents (flows.NAME.target_schema); end with 1 when one does not get through. One line for each.

No server is asked: for ids of other systems (xref) texts like <crm id of customer C-1> stand in, unless links.json,
beside the folders of the samples, has them: {"crm": {"customer": {"C-1": "4711"}}}.

Examples: outbox contract test · outbox contract test --samples samples --every ·
outbox contract test --dir contracts --samples our/samples (contracts only, without settings)
"""
_STYLES = {
    Effect.BREAKS_PRODUCERS: "bold red",
    Effect.BREAKS_CONSUMERS: "bold red",
    Effect.UNKNOWN: "yellow",
    Effect.COMPATIBLE: "green",
}


class Format(StrEnum):
    """For people, a line for each, or for programs."""

    TABLE = "table"
    JSON = "json"


DirectoryOption = Annotated[
    Path | None,
    typer.Option("--dir", help="Directory of the contracts, without any settings; else contracts.directory."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Lines for people, or JSON for programs.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_CONTRACT, no_args_is_help=True)
    group.command("check", help=_CHECK)(_check)
    group.command("test", help=_TEST)(_test)
    app.add_typer(group, name="contract")


def _check(
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="REF|DIR", help="A commit, branch or tag of git, or another directory."),
    ] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Let changes pass that cannot be judged; they are told.")
    ] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    here = directory_of(config, directory)
    try:
        contracts = contracts_in(here)
        found = [] if against is None else changes(contracts_at(against, here), contracts)
    except OutboxError as error:
        fail(error)
    failing = {Effect.BREAKS_PRODUCERS, Effect.BREAKS_CONSUMERS} | (set() if allow_unknown else {Effect.UNKNOWN})
    is_broken = any(change.effect in failing for change in found)
    if form is Format.JSON:
        output.print_json(data={"is_broken": is_broken, "changes": [asdict(change) for change in found]})
    else:
        _print(contracts, found, against)
    if is_broken:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _test(
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", help="Directory of the samples, TYPE/VERSION/NAME.json; else contracts.samples."),
    ] = None,
    every: Annotated[bool, typer.Option("--every", help="Fail also when a contract or a flow has no sample.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    settings = settings_of(config) if directory is None else None
    named = samples if samples is not None or settings is None else settings.contracts.samples
    if named is None:
        usage_problem("there are no samples: the settings name no contracts.samples; name one, or give --samples")
    try:
        contracts = contracts_of(settings) if settings is not None else contracts_in(directory_of(config, directory))
        flows = [] if settings is None else flows_of(settings)
        found, links = samples_in(Path(named)), links_in(Path(named))
    except OutboxError as error:
        fail(error)
    went, unproven = passage(found, contracts, flows, links), missing(found, contracts, flows)
    is_broken = bool(went.failures) or (every and bool(unproven))
    if form is Format.JSON:
        told = {"failures": [asdict(one) for one in went.failures], "unproven": unproven}
        output.print_json(data={"is_broken": is_broken, **told, "stand_ins": sorted(went.stand_ins.values())})
    else:
        for line in (*map(str, went.failures), *unproven, *_stood_in(went)):
            output.print(escape(line), soft_wrap=True)
        broken = len({failure.file for failure in went.failures})
        output.print(f"{len(found)} sample(s), {broken} of them failed", soft_wrap=True)
    if is_broken:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _stood_in(went: Passage) -> list[str]:
    if not went.stand_ins:
        return []
    first = min(went.stand_ins.values())
    return [f"{len(went.stand_ins)} id(s) of other systems are stand-ins, like {first}; {LINKS_FILE} may tell them"]


def directory_of(config: Path | None, directory: Path | None) -> Path:
    """Return where the contracts are, or end because nobody says."""
    if directory is not None:
        return directory
    named = settings_of(config).contracts.directory
    if named is None:
        usage_problem("there are no contracts: the settings name no contracts.directory; name one, or give --dir")
    return Path(named)


def _print(contracts: ContractSet, found: list[Change], against: str | None) -> None:
    for change in found:
        path = f" {change.path}" if change.path else ""
        output.print(
            f"{escape(change.contract + path)}: [{_STYLES[change.effect]}]{change.effect}[/]:"
            f" {escape(change.rule)}: {escape(change.text)}",
            soft_wrap=True,
        )
    for contract in contracts.contracts.values():
        if contract.deprecated_on is not None:
            output.print(
                f"{escape(contract_name(*contract.key))}: deprecated on {contract.deprecated_on}", soft_wrap=True
            )
    types = len({key.type for key in contracts.contracts})
    since = "" if against is None else f", {len(found)} change(s) since {escape(against)}"
    output.print(f"{len(contracts.contracts)} contract(s) of {types} type(s){since}", soft_wrap=True)
