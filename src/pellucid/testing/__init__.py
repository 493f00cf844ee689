"""Run this project's own contracts on your own method or measure."""

from pellucid.testing.contracts import IMAGE, METHOD_CONTRACTS, TABLE, TOKENS, Case, ContractBroken

__all__ = ["IMAGE", "METHOD_CONTRACTS", "TABLE", "TOKENS", "Case", "ContractBroken"]
