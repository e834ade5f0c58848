"""A bucket of tokens: so many requests in any second, the next one is told when to come again. Pure.

A token that was taken comes back one second later. So no second ever sees more than the bucket holds, which a bucket
that refills drop by drop does not promise. Source: spec `cluster-serving.md` section 9, D6.
"""

from __future__ import annotations

from collections import deque
from typing import Final

PERIOD_S: Final = 1.0
MAX_TOKENS: Final = 100_000


class TokenBucket:
    """`tokens` for each second."""

    def __init__(self, tokens: int) -> None:
        self._tokens = max(1, min(tokens, MAX_TOKENS))
        self._taken: deque[float] = deque()

    def take(self, now_s: float, *, patience_s: float = 0.0) -> float:
        """Take a token; return how long to wait before using it, at most `patience_s`.

        Where it would take longer, none is taken, and the (longer) time is returned. `now_s` never goes back.
        """
        while self._taken and self._taken[0] <= now_s - PERIOD_S:
            self._taken.popleft()
        if len(self._taken) < self._tokens:
            self._taken.append(now_s)
            return 0.0
        free_s = self._taken[-self._tokens] + PERIOD_S  # when the token that is next comes back
        wait_s = max(0.0, free_s - now_s)
        if wait_s <= patience_s:
            self._taken.append(free_s)
        return wait_s
