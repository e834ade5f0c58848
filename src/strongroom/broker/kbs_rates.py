"""How often KBS clients may ask, over all brokers of a store: by address, and by tenant once somebody proved something.

A broker takes a second's worth at a time from the bucket in the store and spends that in memory, so that a request
costs no write of its own; what is over is refused in memory, too, until the store said that more may have come back.
All of it comes before evidence is verified and before a secret is decrypted (threat SV-13). World: the store; time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom.broker.address_limits import network
from strongroom.broker.store import Store
from strongroom.broker.store.rates import RateLimited, spend

PER_ADDRESS: Final = 6000  # a minute, of each kind of request: a fleet of thousands behind one address starts at once
PER_TENANT: Final = 30_000
MINUTE_MS: Final = 60_000
MAX_REMEMBERED: Final = 10_000  # buckets; what is forgotten was taken from the store and counts as spent
_KEPT_S: Final = 60.0  # then what was taken has come back in the store, and is not spent a second time


@dataclass(slots=True)
class _Allowance:
    """What this broker may still spend of one bucket, or until when it need not ask."""

    left: int
    until: float
    refused: RateLimited | None = None


class KbsRates:
    """Counts requests. One event loop runs it."""

    def __init__(
        self, store: Store, *, per_address: int = PER_ADDRESS, per_tenant: int = PER_TENANT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._store = store
        self._per_address = per_address
        self._per_tenant = per_tenant
        self._clock = clock
        self._allowances: dict[str, _Allowance] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def address(self, kind: str, peer: str) -> None:
        """Count a request of `kind` from HOST:PORT. Raises RateLimited, or StoreUnavailable and StoreBusy."""
        await self._take(f"kbs {kind} {network(peer.rpartition(':')[0].strip('[]'))}", self._per_address)

    async def tenant(self, name: str) -> None:
        """Count a request for one of a tenant's secrets, by somebody who has proved something. Raises the same."""
        await self._take(f"kbs tenant {name}", self._per_tenant)

    async def _take(self, bucket: str, limit: int) -> None:
        while True:
            found = self._allowances.get(bucket)
            if found is not None and found.until > self._clock():
                if found.refused is not None:
                    raise RateLimited(found.refused.sentence, retry_after_s=found.refused.retry_after_s)
                if found.left > 0:
                    found.left -= 1
                    return
            asking = self._asking.get(bucket)
            if asking is None:
                asking = self._asking[bucket] = asyncio.create_task(self._ask(bucket, limit))
            await asyncio.shield(asking)  # by others, too: whoever began it may be gone before it is done

    async def _ask(self, bucket: str, limit: int) -> None:
        """Take from the store what all that wait then share. Raises StoreUnavailable or StoreBusy.

        What it found is there before it is done, so that nobody ever waits for what is over.
        """
        taking = partial(spend, bucket=bucket, limit=limit, per_ms=MINUTE_MS, most=max(1, limit // 60))
        try:
            taken = await asyncio.wrap_future(self._store.submit(taking))
        except RateLimited as refusal:
            self._remember(bucket, _Allowance(0, self._clock() + refusal.retry_after_s, refusal))
        else:
            self._remember(bucket, _Allowance(taken, self._clock() + _KEPT_S))
        finally:
            del self._asking[bucket]

    def _remember(self, bucket: str, allowance: _Allowance) -> None:
        self._allowances.pop(bucket, None)
        if len(self._allowances) >= MAX_REMEMBERED:
            del self._allowances[next(iter(self._allowances))]  # the one that was asked for longest ago
        self._allowances[bucket] = allowance
