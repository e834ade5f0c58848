"""The keys of sealed models: one for all, as Gramine's protocol releases it, or each version's own, asked for by name.

A version's own key is a lease: the broker says for how long, and this program proves itself again before that is over,
with fresh evidence. Versions that are served no more are not renewed. World: the broker; loader threads wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom.broker import gramine_client as broker
from strongroom.broker.kbs_dialogue import Obtained
from strongroom.broker.names import SecretKind, SecretName
from strongroom.platforms import Platform, PlatformAbsent
from strongroom.secret import Secret
from strongroom.serving.operations.identity import (
    ATTEMPT_S,
    BrokerNotReached,
    KeyNotReleased,
    ask_kbs,
    obtain_version_key,
)
from strongroom.serving.operations.lease import KeyLease, LeaseLost
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.options import BrokerOptions
from strongroom.serving.threads import in_thread

SHORTEST_RENEWAL_S: Final = 2.0  # a quote, three requests and a durable line take a while on a busy machine
Suspend = Callable[[LeaseLost | None], None]
_log: Final = logging.getLogger("strongroom.serving")


class Keys(Protocol):
    """What opens the versions of models."""

    def of(self, model: str) -> Secret | Callable[[int], Secret]:
        """Return the key of all of a model's versions, or what returns a version's own."""

    def wipe(self) -> None:
        """Overwrite the keys."""


@dataclass(frozen=True, slots=True)
class OneKey:
    """One key for every model and version of this program."""

    key: Secret

    def of(self, model: str) -> Secret:  # noqa: ARG002  # the same whatever it opens
        """Return the key."""
        return self.key

    def wipe(self) -> None:
        """Overwrite it."""
        self.key.wipe()


@dataclass(frozen=True, slots=True)
class _Held:
    obtained: Obtained
    at_s: float  # of the monotonic clock: an enclave's wall clock is the host's (threat FB-18)


class VersionKeys:
    """Each version's own key from a KBS, kept with its lease. Threads may share it."""

    def __init__(self, options: BrokerOptions, platform: Platform | None, ca_pem: bytes) -> None:
        """Raises PlatformAbsent where nothing could vouch for this program."""
        if platform is None:
            raise PlatformAbsent("a sealed model needs a platform that vouches for this program")
        self._options = options
        self._platform = platform
        self._ca_pem = ca_pem
        self._lock = threading.Lock()
        self._held: dict[SecretName, _Held] = {}
        self._announce: Callable[[SecretName], None] = lambda _: None

    def of(self, model: str) -> Callable[[int], Secret]:
        """Return what returns the key of a model's version, and asks the broker for it where it is not here yet."""
        return lambda version: self.key(SecretName(SecretKind.MODEL, model, version))

    def key(self, name: SecretName) -> Secret:
        """Return a version's key; may wait for the broker, once. Raises what `obtain_version_key` raises.

        A program that is told to wait for its keys takes a refusal for one of the moment: the load is tried again.
        """
        with self._lock:
            held = self._held.get(name)
        if held is not None:
            return held.obtained.secret
        try:
            return self._keep(name, ask_kbs(self._options, self._platform, self._ca_pem, name)).secret
        except broker.BrokerRefused as problem:
            if self._options.patient:
                raise BrokerNotReached(f"the key of {name} is not released yet: {problem.sentence}") from None
            raise KeyNotReleased(f"the key of {name} was not released: {problem.sentence}") from None

    async def first(self, name: SecretName, readiness: Readiness) -> None:
        """Have a version's key before the server listens, waiting for it as the options say."""
        self._keep(name, await obtain_version_key(self._options, self._platform, name, readiness=readiness))

    def wipe(self) -> None:
        """Overwrite the keys."""
        with self._lock:
            for held in self._held.values():
                held.obtained.secret.wipe()
            self._held.clear()

    @asynccontextmanager
    async def renewed(self, suspend: Suspend, is_over: Callable[[str, int], bool]) -> AsyncIterator[None]:
        """Renew every lease while the block runs; `suspend` is told why no request may be answered, or None.

        `is_over`: whether a version of a model is served no more, so that its lease may run out.
        """
        loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        lost: dict[SecretName, LeaseLost] = {}

        def begin(name: SecretName) -> None:
            task = loop.create_task(self._renew(name, _one_of(lost, name, suspend), is_over))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def announce(name: SecretName) -> None:
            loop.call_soon_threadsafe(begin, name)

        with self._lock:
            self._announce = announce
            names = list(self._held)
        for name in names:
            begin(name)
        try:
            yield
        finally:
            with self._lock:
                self._announce = lambda _: None
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, name: SecretName, obtained: Obtained) -> Obtained:
        with self._lock:
            is_new = name not in self._held
            self._held[name] = _Held(obtained, time.monotonic())
            announce = self._announce
        if is_new:
            announce(name)
        return obtained

    async def _renew(self, name: SecretName, suspend: Suspend, is_over: Callable[[str, int], bool]) -> None:
        with self._lock:
            held = self._held.get(name)
        if held is None or held.obtained.lease_seconds is None:
            return
        state = _Renewing(held.obtained.lease_id)

        async def ask() -> Secret:
            if is_over(name.name, name.version or 0):
                raise _NotServed
            obtained = await in_thread(
                lambda: ask_kbs(self._options, self._platform, self._ca_pem, name, lease_id=state.lease_id,
                                timeout_s=min(ATTEMPT_S, max(lease.seconds / 3, SHORTEST_RENEWAL_S))),
                name="renew a lease",
            )  # fmt: skip
            state.lease_id = obtained.lease_id
            lease.seconds = self._seconds(obtained)
            return obtained.secret

        lease = KeyLease(
            ask=ask, seconds=self._seconds(held.obtained), suspend=suspend, what=f"key lease of {name}",
            elapsed_s=time.monotonic() - held.at_s,
        )  # fmt: skip
        try:
            await lease.keep()
        except _NotServed:
            _log.info("%s is served no more: its key is forgotten and the lease runs out", name)
            suspend(None)
            self._forget(name)

    def _seconds(self, obtained: Obtained) -> float:
        granted = float(obtained.lease_seconds or 0)
        return min(granted, self._options.lease_s) if self._options.lease_s else granted

    def _forget(self, name: SecretName) -> None:
        with self._lock:
            held = self._held.pop(name, None)
        if held is not None:
            held.obtained.secret.wipe()


@dataclass(slots=True)
class _Renewing:
    lease_id: str | None


class _NotServed(Exception):
    """The version that a key is for is served no more."""


def _one_of(lost: dict[SecretName, LeaseLost], name: SecretName, suspend: Suspend) -> Suspend:
    """Return what notes one lease's state and tells that of all: no request is answered while any lease is lost."""

    def tell(why: LeaseLost | None) -> None:
        if why is None:
            lost.pop(name, None)
        else:
            lost[name] = why
        suspend(next(iter(lost.values()), None))

    return tell
