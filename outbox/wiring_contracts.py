"""From the settings to compiled contracts."""

from __future__ import annotations

from pathlib import Path

from outbox.config.contracts import read_contract_files
from outbox.config.settings import Settings
from outbox.flow.contract import NO_CONTRACTS, ContractSet
from outbox.flow.contract_gate import ContractGate
from outbox.flow.contract_set import compile_contracts


def contracts_of(settings: Settings) -> ContractSet:
    """Return the contracts that the settings name; empty: they name none.

    Raises:
        ConfigProblems: with every problem of every file.
    """
    directory = settings.contracts.directory
    if directory is None:
        return NO_CONTRACTS
    return compile_contracts(directory, read_contract_files(Path(directory)))


def contract_gate(settings: Settings) -> ContractGate | None:
    """Return what the relay asks about each event, None where there is nothing to ask.

    Raises:
        ConfigProblems: with every problem of every file.
    """
    chosen = settings.contracts
    contracts = contracts_of(settings)
    if not contracts.contracts and chosen.without == "allow":
        return None
    return ContractGate(contracts, chosen.without, chosen.claimed)
