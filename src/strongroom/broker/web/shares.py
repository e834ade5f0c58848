"""Share out the process's file descriptors, so that a flood of one port leaves the others theirs (threat FB-16). Pure.

The broker's own files (store, policy, collateral, keys) come first, then Gramine's port, which a whole cluster uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OWN: Final = 128  # for store, policy, collateral, keys, and what is being accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many connections each port may have at the most."""

    gramine: int
    kbs: int
    admin: int


def shares_of(descriptors: int) -> Shares:
    """Return the shares of a process that may open so many files; half for Gramine, a quarter for the KBS."""
    free = max(descriptors - OWN, 8)
    return Shares(gramine=free // 2, kbs=free // 4, admin=free // 8)
