"""What one address may take: so many connections at a time, and so many refusals (threats FB-16 and SV-13).

Memory only, and on one thread. An address whose evidence keeps being refused is turned away before its handshake,
so that a flood of wrong ones costs an accept each. IPv6 hosts count by their network of 64 bits, which is one host's.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_ADDRESSES: Final = 10_000  # whose refusals are remembered
_NETWORK_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressBudget:
    """What one address, and all together, may take."""

    connections: int
    connections_per_address: int
    refusals: int  # that an address may collect at once
    refusals_per_second: float  # that it may collect on and on


class AddressLimits:
    """Counts connections and refusals by address."""

    def __init__(self, budget: AddressBudget, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._clock = clock
        self._connections: Counter[str] = Counter()
        self._owed: dict[str, tuple[float, float]] = {}  # refusals that are not forgiven yet, and as of when

    def obstacle(self, address: str) -> str | None:
        """Return why this address may not connect now, None if it may."""
        if self._connections.total() >= self._budget.connections:
            return "too many connections"
        place = network(address)
        if self._connections[place] >= self._budget.connections_per_address:
            return "too many connections of one address"
        if self._owes(place) >= self._budget.refusals:
            return "too many refusals of one address"
        return None

    def enter(self, address: str) -> None:
        """Count a connection."""
        self._connections[network(address)] += 1

    def leave(self, address: str) -> None:
        """Count it no more."""
        place = network(address)
        self._connections[place] -= 1
        if not self._connections[place]:
            del self._connections[place]

    def refused(self, address: str) -> None:
        """Count a refusal; an address is forgiven so many a second."""
        place = network(address)
        self._owed[place] = (self._owes(place) + 1, self._clock())
        if len(self._owed) > MAX_ADDRESSES:
            self._forgive()

    def _owes(self, place: str) -> float:
        owed, since = self._owed.get(place, (0.0, 0.0))
        return max(0.0, owed - (self._clock() - since) * self._budget.refusals_per_second) if owed else 0.0

    def _forgive(self) -> None:
        """Forget who owes nothing; if all do, half of them, those who owe least."""
        owing = sorted(((self._owes(place), place) for place in self._owed), reverse=True)
        kept = [place for owed, place in owing[: MAX_ADDRESSES // 2] if owed > 0]
        self._owed = {place: self._owed[place] for place in kept}


def network(address: str) -> str:
    """Return what an address counts as: an IPv4 address itself, an IPv6 address as its network."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> _NETWORK_BITS << _NETWORK_BITS, _NETWORK_BITS)))
