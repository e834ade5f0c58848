"""Several connections to one address, each with an end of its own: load spreads, and replicas that come get some.

A balancer that passes TLS through places connections, not requests. So a client that wants more than one replica
opens several connections, and none lives for ever. World: the clock, locks.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from strongroom.client.status import ServerBusy
from strongroom.errors import BadInput

MAX_CONNECTIONS: Final = 1024
MAX_AGE_S: Final = 300.0
JITTER: Final = 0.2  # connections of one moment do not end in one moment


class BadConnections(BadInput):
    """A client cannot have so many connections, or connections that live so short."""

    code = "SR-CLIENT-CONNECTIONS"
    fix = "Give --connections a number from 1 to 1024, and a maximum age of more than 0 seconds."


class Link(Protocol):
    """A connection, made when it is first used."""

    def close(self) -> None:
        """Close it; safe to call twice."""


L = TypeVar("L", bound=Link)


@dataclass(slots=True, eq=False)
class _Slot(Generic[L]):
    link: L
    ends: float
    in_flight: int = 0
    retired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many links a pool has, and after how many seconds it replaces one, up to a fifth sooner.

    Raises BadConnections.
    """

    count: int
    max_age_s: float

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_CONNECTIONS or not self.max_age_s > 0:
            raise BadConnections(f"{self.count} connections that live {self.max_age_s:g} s are none")


class Pool(Generic[L]):
    """The link with the fewest requests in flight is lent, in turns where several have as few.

    exclusive: lend a link to one request at a time (HTTP/1.1); whoever comes then waits.
    """

    def __init__(self, make: Callable[[], L], size: Size, *, exclusive: bool = False) -> None:
        self._make, self._size, self._exclusive = make, size, exclusive
        self._changed = threading.Condition()
        self._slots = [self._new() for _ in range(size.count)]
        self._turn = 0

    @contextmanager
    def lend(self, timeout_s: float) -> Iterator[L]:
        """Lend a link for one request. Raises ServerBusy when all are taken for `timeout_s` seconds."""
        slot = self._take(timeout_s)
        try:
            yield slot.link
        finally:
            self._give_back(slot)

    def retire(self, link: L) -> None:
        """Lend a link no more, because it broke or may not live on; close it when its requests have ended."""
        with self._changed:
            slot = next((each for each in self._slots if each.link is link), None)
            if slot is not None:
                self._replace(slot)
        if slot is not None and not slot.in_flight:
            slot.link.close()

    def renew(self) -> None:
        """Retire all links."""
        for slot in tuple(self._slots):
            self.retire(slot.link)

    def close(self) -> None:
        """Close all links, those with requests in flight too. The next request opens new ones."""
        with self._changed:
            closing = [slot.link for slot in self._slots]
            for slot in tuple(self._slots):
                self._replace(slot)
        for link in closing:
            link.close()

    def _take(self, timeout_s: float) -> _Slot[L]:
        closing: list[L] = []
        with self._changed:
            if self._exclusive and not self._changed.wait_for(self._one_is_free, timeout_s):
                raise ServerBusy(f"all connections were busy for {timeout_s:g} s: open more of them")
            now = time.monotonic()
            for old in [each for each in self._slots if now >= each.ends and not (self._exclusive and each.in_flight)]:
                self._replace(old)
                closing += [] if old.in_flight else [old.link]
            count = len(self._slots)
            index = min(range(count), key=lambda each: (self._slots[each].in_flight, (each - self._turn) % count))
            self._turn = index + 1
            slot = self._slots[index]
            slot.in_flight += 1
        for link in closing:
            link.close()
        return slot

    def _give_back(self, slot: _Slot[L]) -> None:
        with self._changed:
            slot.in_flight -= 1
            close = slot.retired and not slot.in_flight
            self._changed.notify()
        if close:
            slot.link.close()

    def _one_is_free(self) -> bool:
        return any(not slot.in_flight for slot in self._slots)

    def _replace(self, slot: _Slot[L]) -> None:
        slot.retired = True
        self._slots[self._slots.index(slot)] = self._new()

    def _new(self) -> _Slot[L]:
        age_s = self._size.max_age_s * (1 - JITTER * random.random())  # noqa: S311  # spreads load, keeps no secret
        return _Slot(self._make(), time.monotonic() + age_s)
