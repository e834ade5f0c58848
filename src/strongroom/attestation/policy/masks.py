"""Values of which only some bits are compared."""

from __future__ import annotations


def matches(seen: bytes | None, value: bytes, mask: bytes | None) -> bool | None:
    """Return whether `seen` has the bits of `value` that `mask` keeps (None: all); None if nothing was seen."""
    if seen is None:
        return None
    kept = mask if mask is not None else b"\xff" * len(value)
    if len(seen) != len(value):
        return False
    return all(own & bits == bit & bits for own, bit, bits in zip(seen, value, kept, strict=True))


def wanted(value: bytes, mask: bytes | None) -> str:
    """Return value and mask as an owner reads them."""
    return value.hex() if mask is None else f"{value.hex()} under the mask {mask.hex()}"


def covers(old: tuple[bytes | None, bytes | None], new: tuple[bytes | None, bytes | None]) -> bool:
    """Return whether everything that matches `new` (value, mask) matches `old`; a value of None matches everything."""
    old_value, new_value = old[0], new[0]
    if old_value is None:
        return True
    if new_value is None or len(new_value) != len(old_value):
        return False
    every = b"\xff" * len(old_value)
    old_mask, new_mask = old[1] or every, new[1] or every
    rows = zip(old_value, old_mask, new_value, new_mask, strict=True)
    return all(kept & also == kept and bit & kept == other & kept for bit, kept, other, also in rows)
