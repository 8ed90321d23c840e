"""Contracts as values, without a directory."""

from __future__ import annotations

import json
from collections.abc import Mapping

from outbox.flow.contract import ContractSet
from outbox.flow.contract_set import compile_contracts

TYPE = "order.confirmed"


def contracts_with(schema: Mapping[str, object], **shared: Mapping[str, object]) -> ContractSet:
    """Compile ``order.confirmed@1``; ``shared`` are files of the folder ``_shared`` beside it."""
    files = {f"{TYPE}/1.json": schema} | {f"_shared/{name}.json": other for name, other in shared.items()}
    return compile_contracts("contracts", {path: json.dumps(one) for path, one in files.items()})
