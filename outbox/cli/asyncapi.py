"""``outbox asyncapi``: what other teams read, and generate clients from."""

from __future__ import annotations

import sys
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import orjson
import typer
import yaml

from outbox.cli.asyncapi_document import Described, asyncapi
from outbox.cli.common import ConfigOption, fail, settings_of
from outbox.model.amqp_url import AmqpUrl
from outbox.model.errors import OutboxError
from outbox.model.exact_json import exact_number
from outbox.rabbitmq.desired import Desired, Mode, exchanges, queues
from outbox.wiring_contracts import contracts_of
from outbox.wiring_rabbitmq import rabbit_server, routes

_ASYNCAPI = """\
Write an AsyncAPI 3 document: all types with their contracts, exchanges, queues, headers. Needs no server.

Examples: outbox asyncapi > asyncapi.yaml · outbox asyncapi --format json --title "Orders" --document-version 2.1.0
"""


class Format(StrEnum):
    """How the document is written."""

    YAML = "yaml"
    JSON = "json"


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command("asyncapi", help=_ASYNCAPI)(_asyncapi)


def _asyncapi(
    config: ConfigOption = None,
    form: Annotated[Format, typer.Option("--format", help="YAML or JSON.")] = Format.YAML,
    title: Annotated[str, typer.Option("--title", help="What the document calls itself.")] = "Outbox events",
    version: Annotated[str, typer.Option("--document-version", help="Of the document itself.")] = "1.0.0",
) -> None:
    settings = settings_of(config)
    server = rabbit_server(settings)
    flows = routes(settings)
    # In the mode "policies" most settings of a queue are not its arguments; the document tells them all the same.
    topology = Desired(Mode.ARGUMENTS, (), exchanges(), queues(flows, settings.relay.lanes), flows)
    try:
        contracts = contracts_of(settings)
    except OutboxError as error:
        fail(error)
    document = asyncapi(
        Described(
            title,
            version,
            AmqpUrl.parse(server.url),
            settings.relay.source,
            topology,
            {name: flow.description for name, flow in settings.flows.items()},
            contracts,
            has_claims=settings.relay.claim_check.enabled,
        )
    )
    if form is Format.JSON:
        text = orjson.dumps(document, default=exact_number, option=orjson.OPT_INDENT_2).decode() + "\n"
    else:
        text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    sys.stdout.write(text)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write equal parts out each time; nobody reads anchors in a contract."""
        return data is not None


def _number(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    # With every digit, and never as a power of ten, which YAML 1.1 takes for text.
    return dumper.represent_scalar("tag:yaml.org,2002:float", f"{value:f}")


_Dumper.add_representer(Decimal, _number)
