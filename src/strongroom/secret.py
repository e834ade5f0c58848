"""Bytes that never print: keys, wrap keys, private-key PEM.

A `Secret` compares in constant time, refuses to be formatted, hashed, pickled or copied by accident, and is opened
for as short as possible: `with key.reveal() as raw: ...`. Wiping is best effort: Python may have copied the bytes
before they came here, and `cryptography` copies them into OpenSSL.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class Secret:
    """An opaque run of secret bytes; `len()` and constant-time `==` are all it shows."""

    __slots__ = ("_bytes",)
    __hash__ = None  # type: ignore[assignment]  # a hash would leak equality through dictionaries

    def __init__(self, raw: bytes | bytearray | memoryview) -> None:
        self._bytes = bytearray(raw)

    @contextmanager
    def reveal(self) -> Iterator[bytes]:
        """Lend the raw bytes for the length of a `with` block."""
        yield bytes(self._bytes)

    def wipe(self) -> None:
        """Overwrite the bytes; the secret is empty afterwards."""
        for index in range(len(self._bytes)):
            self._bytes[index] = 0
        self._bytes.clear()

    def __len__(self) -> int:
        return len(self._bytes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes, other._bytes)

    def __repr__(self) -> str:
        return f"Secret({len(self._bytes)} bytes)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret does not travel: pass it by reference, or reveal it where it is used")
