"""Run this project's own contracts on your own method or measure."""

from pellucid.testing.contracts import METHOD_CONTRACTS, ContractBroken

__all__ = ["METHOD_CONTRACTS", "ContractBroken"]
