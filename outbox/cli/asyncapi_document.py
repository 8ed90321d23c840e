"""The AsyncAPI 3 document: every type, exchange, queue and header, as the settings and contracts have them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outbox.cli.asyncapi_headers import claim_headers_schema, event_headers
from outbox.flow.contract import ContractKey, ContractSet
from outbox.flow.contract_bundle import bundle_name, bundled
from outbox.model.amqp_url import AmqpUrl
from outbox.model.claim import CLAIM_CONTENT_TYPE, EVENT_CONTENT_TYPE
from outbox.model.topics import is_routed
from outbox.rabbitmq.desired import EVENTS, Desired, ExchangeSpec, QueueSpec, flow_queue

Part = dict[str, object]

ASYNCAPI = "3.0.0"
_BINDING = "0.3.0"
_JSON_SCHEMA = "application/schema+json;version=draft-2020-12"
_SERVER = "broker"
_CLAIM = "claim-check"
_SCHEMA_PLACE = "/components/schemas/{}/schema"
_WILDCARDS = frozenset("*#")
_QUEUE_TEXTS = {
    "outbox.rejected": "Events that cannot or must not become messages, with their reason and without their payload.",
    "outbox.unrouted": "Events that no queue was bound for; outbox unrouted redrive sends them again.",
}
_QUEUE_PREFIXES = {
    "flow.": "Deliveries of a flow; read by the outbox alone.",
    "dead.": "Copies of a flow's dead letters, for people; the rows in the database are the truth.",
    "outbox.witness": "What the relay remembers as published; nobody else may touch it.",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What the document describes.

    ``flows`` are descriptions by name; ``has_claims``: payloads may travel as references.
    """

    title: str
    version: str
    url: AmqpUrl
    source: str
    topology: Desired
    flows: Mapping[str, str]
    contracts: ContractSet
    has_claims: bool


def asyncapi(described: Described) -> Part:
    """Return the document as plain data; decimals of contracts are `Decimal`."""
    keys = _keys(described)
    types = sorted({key.type for key in keys})
    messages = {_message_name(key): _message(described, key) for key in keys}
    if described.has_claims:
        messages[_CLAIM] = _claim_message()
    return {
        "asyncapi": ASYNCAPI,
        "info": {"title": described.title, "version": described.version},
        "defaultContentType": EVENT_CONTENT_TYPE,
        "servers": {_SERVER: _server(described.url)},
        "channels": {
            **{event_type: _type_channel(described, event_type, keys) for event_type in types},
            **{queue.name: _queue_channel(described, queue, keys) for queue in described.topology.queues},
        },
        "operations": {
            **{f"publish.{event_type}": _publish(event_type) for event_type in types},
            **{f"consume.{flow}": _consume(flow, text) for flow, text in described.flows.items()},
        },
        "components": {"messages": messages, "schemas": _schemas(described)},
        "x-exchanges": [_exchange(one, described) for one in described.topology.exchanges],
    }


def _keys(described: Described) -> list[ContractKey]:
    """Return every type and version: those with a contract, and those that a flow names."""
    keys = set(described.contracts.contracts)
    with_contract = {key.type for key in keys}
    for route in described.topology.flows:
        keys |= {
            ContractKey(event_type, 1)
            for event_type in route.events
            if not _WILDCARDS & set(event_type) and event_type not in with_contract
        }
    return sorted(keys)


def _message_name(key: ContractKey) -> str:
    return f"{key.type}.v{key.version}"


def _server(url: AmqpUrl) -> Part:
    server: Part = {"host": url.hosts[0], "protocol": url.scheme, "protocolVersion": "0.9.1"}
    return server | ({"pathname": url.path} if url.path else {})


def _message(described: Described, key: ContractKey) -> Part:
    contract = described.contracts.contracts.get(key)
    message: Part = {
        "name": key.type,
        "title": f"{key.type}@{key.version}",
        "contentType": EVENT_CONTENT_TYPE,
        "headers": {"$ref": "#/components/schemas/headers"},
        "bindings": {"amqp": {"messageType": key.type, "bindingVersion": _BINDING}},
        "x-version": key.version,
        "x-properties": _properties(key.type),
    }
    if contract is None:
        return message | {"description": "There is no contract of this type."}
    described_by = contract.schema.get("description") or contract.schema.get("title")
    return (
        message
        | {"payload": {"$ref": f"#/components/schemas/{bundle_name(contract.file)}"}}
        | ({"description": described_by} if isinstance(described_by, str) else {})
        | ({"deprecated": True} if contract.deprecated_on is not None else {})
    )


def _claim_message() -> Part:
    return {
        "name": _CLAIM,
        "title": "A large payload's reference",
        "description": "In place of any event whose payload is too large: no body, fetch it by its reference.",
        "contentType": CLAIM_CONTENT_TYPE,
        "headers": {"$ref": "#/components/schemas/claim-headers"},
        "payload": {"type": "string", "maxLength": 0},
    }


def _properties(event_type: str) -> Part:
    """Return the AMQP properties, which the binding has no place for."""
    return {
        "message_id": "the event's id, a UUID; the same in every copy",
        "type": event_type,
        "app_id": "outbox",
        "delivery_mode": 2,
        "timestamp": "when the event was written, by the database's clock, rounded to the second",
    }


def _messages(described: Described, keys: Sequence[ContractKey]) -> Part:
    names = [_message_name(key) for key in keys] + ([_CLAIM] if described.has_claims and keys else [])
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _type_channel(described: Described, event_type: str, keys: Sequence[ContractKey]) -> Part:
    (exchange,) = (one for one in described.topology.exchanges if one.name == EVENTS)
    return {
        "address": event_type,
        "description": f"Bind a queue of your own to {EVENTS} with the routing key {event_type}.",
        "servers": [{"$ref": f"#/servers/{_SERVER}"}],
        "messages": _messages(described, [key for key in keys if key.type == event_type]),
        "bindings": {
            "amqp": {"is": "routingKey", "exchange": _exchange(exchange, described), "bindingVersion": _BINDING}
        },
    }


def _queue_channel(described: Described, queue: QueueSpec, keys: Sequence[ContractKey]) -> Part:
    taken = [key for key in keys if queue.exchange == EVENTS and is_routed(queue.routing_keys, key.type)]
    prefixes = (text for prefix, text in _QUEUE_PREFIXES.items() if queue.name.startswith(prefix))
    return {
        "address": queue.name,
        "description": _QUEUE_TEXTS.get(queue.name) or next(prefixes, ""),
        "servers": [{"$ref": f"#/servers/{_SERVER}"}],
        "messages": _messages(described, taken),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": queue.name,
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                    "vhost": described.url.vhost,
                },
                "bindingVersion": _BINDING,
                "x-arguments": queue.arguments(described.topology.mode),
                "x-bound-to": [{"exchange": queue.exchange, "routingKey": key} for key in queue.routing_keys],
            }
        },
    }


def _exchange(exchange: ExchangeSpec, described: Described) -> Part:
    spec: Part = {
        "name": exchange.name,
        "type": str(exchange.kind.value),
        "durable": True,
        "autoDelete": False,
        "vhost": described.url.vhost,
    }
    arguments = exchange.arguments(described.topology.mode)
    return spec | ({"x-arguments": arguments} if arguments else {})


def _publish(event_type: str) -> Part:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{event_type}"},
        "summary": "The outbox publishes what the application has committed, each key in order.",
        "bindings": {
            "amqp": {"deliveryMode": 2, "mandatory": True, "timestamp": True, "bindingVersion": _BINDING},
        },
    }


def _consume(flow: str, text: str) -> Part:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{flow_queue(flow)}"},
        "summary": text,
        "bindings": {"amqp": {"ack": True, "bindingVersion": _BINDING}},
    }


def _schemas(described: Described) -> Part:
    def multi_format(schema: object) -> Part:
        return {"schemaFormat": _JSON_SCHEMA, "schema": schema}

    headers: Part = {"headers": multi_format(event_headers(described.source))}
    if described.has_claims:
        headers["claim-headers"] = multi_format(claim_headers_schema(_SCHEMA_PLACE.format("headers")))
    return headers | {name: multi_format(one) for name, one in bundled(described.contracts, _SCHEMA_PLACE).items()}
