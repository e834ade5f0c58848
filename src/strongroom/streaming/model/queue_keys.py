"""The queue's keys in a worker: released to it by the broker as a lease, proved anew, changed when the owner rotates.

World: the broker, by threads of their own. Each renewal brings the secret as it is then, so a rotation arrives without
a restart; a record under a key that is not held yet has the broker asked sooner, at most every ASK_AGAIN_S seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from strongroom.broker.kbs_dialogue import Obtained
from strongroom.broker.names import SecretName
from strongroom.clusterserving.sealed import QueueKey, keys_of
from strongroom.errors import StrongroomError
from strongroom.platforms import Platform
from strongroom.secret import Secret
from strongroom.serving.operations.identity import ATTEMPT_S, ask_secret, obtain_secret, read_ca
from strongroom.serving.operations.lease import KeyLease, LeaseLost
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.options import BrokerOptions
from strongroom.serving.threads import in_thread

ASK_AGAIN_S: Final = 10.0
SHORTEST_RENEWAL_S: Final = 2.0
_log: Final = logging.getLogger(__name__)


class QueueKeys:
    """The secret of one queue, kept as keys. `changed` hears of the keys that count from then on."""

    def __init__(
        self, options: BrokerOptions, platform: Platform | None, name: SecretName, *,
        changed: Callable[[Sequence[QueueKey]], None],
    ) -> None:  # fmt: skip
        self._options, self._platform, self._name, self._changed = options, platform, name, changed
        self._wanted = asyncio.Event()
        self._obtained: Obtained | None = None
        self._at_s = 0.0

    async def first(self, readiness: Readiness | None = None) -> None:
        """Have the keys, waiting for them as the options say. Raises what `obtain_secret` raises, or BadQueueKey."""
        obtained = await obtain_secret(self._options, self._platform, self._name, readiness=readiness)
        self._at_s = time.monotonic()
        self._take(obtained).wipe()

    def ask_soon(self) -> None:
        """Ask the broker before the lease wants it: a record came under a key that is not here."""
        self._wanted.set()

    @asynccontextmanager
    async def renewed(self, suspend: Callable[[LeaseLost | None], None]) -> AsyncIterator[None]:
        """Renew the lease while the block runs; `suspend` is told why no sealed record may be opened, or None."""

        def tell(why: LeaseLost | None) -> None:
            if why is not None:
                self.wipe()
            suspend(why)

        tasks = [asyncio.create_task(self._on_demand())]
        if self._obtained is not None and self._obtained.lease_seconds is not None:
            lease = KeyLease(
                ask=self._ask, seconds=self._seconds(), suspend=tell, what=f"key lease of {self._name}",
                elapsed_s=time.monotonic() - self._at_s,
            )  # fmt: skip
            tasks.append(asyncio.create_task(lease.keep()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.wipe()

    def wipe(self) -> None:
        """Let go of the keys."""
        self._changed(())

    async def _ask(self) -> Secret:
        held, options, platform = self._obtained, self._options, self._platform
        if held is None or platform is None:
            raise AssertionError("there was a first release")
        ca_pem, timeout_s = read_ca(options), min(ATTEMPT_S, max(self._seconds() / 3, SHORTEST_RENEWAL_S))
        obtained = await in_thread(
            lambda: ask_secret(options, platform, ca_pem, self._name, lease_id=held.lease_id, timeout_s=timeout_s),
            name="renew a lease",
        )
        return self._take(obtained)

    async def _on_demand(self) -> None:
        while True:
            await self._wanted.wait()
            with suppress(StrongroomError, OSError):  # the lease's own renewal says what is wrong
                (await self._ask()).wipe()
            await asyncio.sleep(ASK_AGAIN_S)
            self._wanted.clear()

    def _take(self, obtained: Obtained) -> Secret:
        """Take new keys in. Raises BadQueueKey."""
        keys = keys_of(obtained.secret)
        self._obtained = obtained
        self._changed(keys)
        _log.info("queue keys of %s: %s", self._name, ", ".join(key.public.kid for key in keys))
        return obtained.secret

    def _seconds(self) -> float:
        granted = float(self._obtained.lease_seconds or 0) if self._obtained is not None else 0.0
        return min(granted, self._options.lease_s) if self._options.lease_s else granted
