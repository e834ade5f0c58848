"""Which of the requests that wait form the next run. Pure: the caller passes the time, arrays are not touched.

Requests share a run if they ask the same signature for the same outputs, with inputs that are alike but for their
first dimension: the rows. Whoever waits longest goes first. Source: spec `model-server.md` section 6.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from strongroom.serving.status import QueueFull
from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.signatures import Signature

Item = TypeVar("Item")
Key: TypeAlias = tuple[object, ...]


def can_share(signature: Signature, *, outputs_too: bool) -> bool:
    """Return whether the signature leaves dimension 0 of every input, and of every output, free."""
    specs = [*signature.inputs.values(), *(signature.outputs.values() if outputs_too else ())]
    return bool(signature.inputs) and all(spec.shape is None or spec.shape[:1] == (-1,) for spec in specs)


def rows_of(inputs: Mapping[str, Array]) -> int:
    """Return the size that all inputs have in dimension 0; 0 if they have none in common: such a request runs alone."""
    rows = 0
    for array in inputs.values():
        shape = array.shape
        if not shape or not shape[0] or (rows and shape[0] != rows):
            return 0
        rows = shape[0]
    return rows


def key_of(signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], *, padded: bool = False) -> Key:
    """Return what requests of one run have in common; with `padded` inner sizes may differ, ranks may not."""
    parts: list[object] = [signature, *outputs]
    for name in sorted(inputs) if len(inputs) > 1 else inputs:
        array = inputs[name]
        parts += (name, array.dtype.char, array.ndim if padded else array.shape[1:])
    return tuple(parts)


class _Batch(Generic[Item]):
    __slots__ = ("full", "items", "key", "opened_at", "rows", "size")

    def __init__(self, key: Key | None, opened_at: float) -> None:
        self.items: list[Item] = []
        self.key, self.opened_at, self.rows, self.size = key, opened_at, 0, 0
        self.full = key is None  # nothing joins it any more


class Batches(Generic[Item]):
    """Requests that wait, joined as they come. `max_rows` may change at any time; a larger request runs alone.

    `timeout_s` is how long the first request of a batch waits for others; 0 hands out whatever has queued.
    """

    def __init__(
        self,
        *,
        max_rows: int,
        timeout_s: float = 0.0,
        max_batches: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self.max_rows, self._timeout_s = max_rows, timeout_s
        self._max_batches, self._max_bytes = max_batches, max_bytes
        self._waiting: deque[_Batch[Item]] = deque()  # in the order of their first requests
        self._open: dict[Key, _Batch[Item]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item, *, key: Key | None, rows: int, size: int, now: float) -> None:
        """Queue a request; without a key it runs alone. Raises QueueFull."""
        batch = self._open.get(key) if key is not None else None
        if batch is None or not self._fits(batch, rows, size):
            if self._max_batches is not None and len(self._waiting) >= self._max_batches:
                raise self.full()
            if batch is not None:
                self._close(batch)
            batch = _Batch(key, now)
            self._waiting.append(batch)
            if key is not None:
                self._open[key] = batch
        batch.items.append(item)
        batch.rows += rows
        batch.size += size
        if batch.rows >= self.max_rows:
            self._close(batch)

    def full(self) -> QueueFull:
        """Return the refusal of a request that finds no room."""
        return QueueFull(
            f"The batch scheduling queue to which this task was submitted is full; {len(self)} batches wait"
        )

    def free_batches(self) -> int | None:
        """Return how many more batches may be opened, None without a limit."""
        return None if self._max_batches is None else max(0, self._max_batches - len(self._waiting))

    def due_in(self, now: float) -> float | None:
        """Return after how many seconds `take` may have something; None if nothing waits."""
        if not self._waiting:
            return None
        wait_s = self._waiting[0].opened_at + self._timeout_s - now
        return 0.0 if wait_s <= 0 or any(batch.full for batch in self._waiting) else wait_s

    def take(self, now: float, *, everything: bool = False) -> list[Item] | None:
        """Return the requests of the next run, or None while all batches wait for more; `everything` ends the wait."""
        for at, batch in enumerate(self._waiting):
            if everything or batch.full or batch.opened_at + self._timeout_s <= now:
                del self._waiting[at]
                self._close(batch)
                return batch.items
        return None

    def _fits(self, batch: _Batch[Item], rows: int, size: int) -> bool:
        return batch.rows + rows <= self.max_rows and (self._max_bytes is None or batch.size + size <= self._max_bytes)

    def _close(self, batch: _Batch[Item]) -> None:
        if not batch.full and batch.key is not None:
            del self._open[batch.key]
        batch.full = True
