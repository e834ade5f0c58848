"""Keys that the broker releases to this process because it proved what it is; held in its memory, on leases.

World: the broker, one thread. Each renewal proves anew and brings the ring as it is then, so a rotation arrives without
a restart. A lease that was refused or that ran out takes its key away; a later renewal brings it back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from strongroom.analytics.keys.rings import DATA_KEY_SIZE, RingKeys, fresh_data_key
from strongroom.analytics.keys.service import DataKey, KeyNotGranted
from strongroom.broker import BrokerRefused, kbs_client
from strongroom.broker.kbs_dialogue import Obtained
from strongroom.broker.names import DEFAULT_TENANT, SecretName
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.names import KeyId, check_key_name
from strongroom.platforms import Platform
from strongroom.secret import Secret
from strongroom.serving.operations.lease import KeyLease, LeaseLost
from strongroom.serving.threads import in_thread

SECRET: Final = "secret/data-{name}"  # noqa: S105  # the name of a secret
ATTEMPT_S: Final = 15.0
SHORTEST_RENEWAL_S: Final = 2.0
_log: Final = logging.getLogger(__name__)


class Asks(Protocol):
    """What obtains one secret: the broker, or a test's stand-in for the network."""

    def __call__(self, name: SecretName, *, lease_id: str | None, timeout_s: float) -> Obtained:
        """Return the secret. Raises BrokerRefused, BrokerUnreachable and what else `kbs_client.obtain` raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A KBS and what this process shows it. `ca_pem`: what its certificate has to come from."""

    url: str
    ca_pem: bytes
    platform: Platform
    tenant: str = DEFAULT_TENANT
    deployment: str | None = None

    def __call__(self, name: SecretName, *, lease_id: str | None, timeout_s: float) -> Obtained:
        """Return one secret of the KBS. Raises what `kbs_client.obtain` raises."""
        return kbs_client.obtain(
            self.url, name, ca_pem=self.ca_pem, platform=self.platform, tenant=self.tenant,
            deployment=self.deployment, lease_id=lease_id, timeout_s=timeout_s,
        )  # fmt: skip


@dataclass(slots=True)
class _Held:
    """One primary key as it was released last. `ring` is None while it may not be used."""

    name: str
    ring: KeyRing | None
    lease_id: str | None
    seconds: float | None
    at_s: float
    lease: KeyLease | None = field(default=None, repr=False)


class BrokerKeys:
    """A KeyService over what a broker released for these names, which were all obtained when this was made.

    Raises KeyNotGranted where the broker refuses one, BrokerUnreachable, BadKeyRing, and as `kbs_client.obtain`.
    """

    def __init__(self, ask: Asks, names: Iterable[str], *, lease_s: float = 0.0) -> None:
        """Obtain the keys. `lease_s`: prove anew within so many seconds, if the broker's leases are longer."""
        self._ask: Final = ask
        self._most_s: Final = lease_s
        self._lock: Final = threading.Lock()
        self._held: Final = {name: self._first(name) for name in sorted({check_key_name(each) for each in names})}
        self._renewal = _Renewal([self._lease(held) for held in self._held.values() if held.seconds is not None])

    @property
    def lease_s(self) -> float:
        """How long these keys may be used before this process has to prove itself anew, in seconds; 0 without end."""
        return min((held.seconds for held in self._held.values() if held.seconds is not None), default=0.0)

    def names(self) -> tuple[str, ...]:
        """Return the names of the primary keys that may be used at the moment, sorted."""
        with self._lock:
            return tuple(name for name, held in self._held.items() if held.ring is not None)

    def current(self, name: str) -> KeyId:
        """Return the version under which new data keys are wrapped. Raises KeyNotGranted."""
        return self._rings(name).current(name)

    def wrap(self, key_id: KeyId, key: Secret) -> str:
        """Return a data key wrapped under one version. Raises KeyNotGranted, UnknownKeyVersion, BadDataKey."""
        return self._rings(key_id.name).wrap(key_id, key)

    def unwrap(self, key_id: KeyId, wrapped: str) -> Secret:
        """Return the data key of a wrapped one. Raises KeyNotGranted, UnknownKeyVersion, WrappedKeyRefused."""
        return self._rings(key_id.name).unwrap(key_id, wrapped)

    def new_data_key(self, name: str, size: int = DATA_KEY_SIZE) -> DataKey:
        """Return a fresh data key of `size` bytes under the current version. Raises KeyNotGranted, BadDataKey."""
        return fresh_data_key(self, name, size)

    def close(self) -> None:
        """Renew nothing any more, and let go of the keys."""
        self._renewal.end()
        with self._lock:
            for held in self._held.values():
                held.ring = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rings(self, name: str) -> RingKeys:
        with self._lock:
            held = self._held.get(name)
            ring = held.ring if held is not None else None
        if held is None:
            raise KeyNotGranted(f"primary key {name[:60]!r} was not given to this process")
        if ring is None:
            raise KeyNotGranted(f"the lease of primary key {name} was lost; the broker is asked again")
        return RingKeys([ring])

    def _first(self, name: str) -> _Held:
        try:
            obtained = self._ask(SecretName.parse(SECRET.format(name=name)), lease_id=None, timeout_s=ATTEMPT_S)
        except BrokerRefused as problem:
            raise KeyNotGranted(f"the broker did not release primary key {name}: {problem.sentence}") from None
        seconds = None if obtained.lease_seconds is None else float(obtained.lease_seconds)
        return _Held(name, _ring(name, obtained.secret), obtained.lease_id, self._bounded(seconds), time.monotonic())

    def _bounded(self, granted_s: float | None) -> float | None:
        if granted_s is None or not self._most_s:
            return granted_s
        return min(granted_s, self._most_s)

    def _lease(self, held: _Held) -> KeyLease:
        async def ask() -> Secret:
            return await in_thread(lambda: self._renewed(held), name="renew a lease")

        def suspend(why: LeaseLost | None) -> None:
            if why is not None:
                with self._lock:
                    held.ring = None

        held.lease = KeyLease(
            ask=ask, seconds=held.seconds or 0.0, suspend=suspend, what=f"lease of primary key {held.name}",
            elapsed_s=time.monotonic() - held.at_s,
        )  # fmt: skip
        return held.lease

    def _renewed(self, held: _Held) -> Secret:
        """Prove anew. Returns the secret, which the lease wipes."""
        timeout_s = min(ATTEMPT_S, max((held.seconds or 0.0) / 3, SHORTEST_RENEWAL_S))
        obtained = self._ask(
            SecretName.parse(SECRET.format(name=held.name)), lease_id=held.lease_id, timeout_s=timeout_s
        )
        ring = KeyRing.parse(held.name, _bytes(obtained.secret))
        with self._lock:
            before, held.ring, held.lease_id = held.ring, ring, obtained.lease_id
        if held.lease is not None and obtained.lease_seconds is not None:
            held.seconds = self._bounded(float(obtained.lease_seconds))
            held.lease.seconds = held.seconds or 0.0
        if before is None or before.current != ring.current:
            _log.info("primary key %s is at version %d", held.name, ring.current)
        return obtained.secret


class _Renewal:
    """Keeps leases in a thread with an event loop of its own."""

    def __init__(self, leases: Sequence[KeyLease]) -> None:
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(_keep(leases))
        self._thread = threading.Thread(target=self._run, name="key leases", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop, and wait until nothing is asked any more."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join()

    def _run(self) -> None:
        with closing(self._loop), suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)


async def _keep(leases: Sequence[KeyLease]) -> None:
    await asyncio.gather(*(lease.keep() for lease in leases))


def _ring(name: str, secret: Secret) -> KeyRing:
    try:
        return KeyRing.parse(name, _bytes(secret))
    finally:
        secret.wipe()


def _bytes(secret: Secret) -> bytes:
    with secret.reveal() as raw:
        return raw
