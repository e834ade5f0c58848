"""Token buckets: how much that is cheap for a peer and dear for us a connection may do. The caller passes `now`."""

from __future__ import annotations


class Budget:
    """A burst, refilled at a rate; `codec/` computes the same in the same order."""

    __slots__ = ("_at", "_burst", "_level", "_per_s")

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst, self._per_s = float(burst), per_s
        self._level, self._at = self._burst, 0.0

    def refill(self, now: float) -> None:
        """Add what time gives; a clock that goes backwards gives nothing."""
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._per_s)
        self._at = now

    def earn(self, tokens: float) -> None:
        """Add what useful work gives, up to the burst."""
        self._level = min(self._burst, self._level + tokens)

    def spend(self) -> bool:
        """Take one; say whether there was one."""
        self._level -= 1.0
        return self._level >= 0.0
