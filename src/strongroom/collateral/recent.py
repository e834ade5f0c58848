"""A small memory of the newest things, safe to share between threads. Pure but for its lock."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

MAX_REMEMBERED: Final = 1024
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping that forgets what was put first once there are more than `limit`: peers must not make it grow."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._items: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return what is remembered under a key."""
        with self._lock:
            return self._items.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember something, over what was there."""
        with self._lock:
            self._items[key] = value
            if len(self._items) > self._limit:
                self._items.popitem(last=False)

    def forget(self, key: K) -> None:
        """Remove a key, if it is there."""
        with self._lock:
            self._items.pop(key, None)

    def items(self) -> tuple[tuple[K, V], ...]:
        """Return everything that is remembered now."""
        with self._lock:
            return tuple(self._items.items())
