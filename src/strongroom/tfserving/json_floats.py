"""Many float32 numbers as the REST interface writes them, without a Python object for each.

The rule is that of `json_response.float_texts`: 6 significant digits if these read back equal, otherwise 9. It is
computed exactly: a float32 times a power of ten up to 10**12 fits a double without rounding, so the digits are those
that any correct formatter prints. What is outside the usual range is formatted one by one.
Source: spec `model-server.md` section 4.2, "Number text".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from strongroom.tfserving.datatypes import Array

FROM_COUNT: Final = 256  # below, one by one is as fast
_LOWEST, _HIGHEST = 1e-4, 999_999.0  # where %.6g and %.9g write no exponent
_MAX_RARE: Final = 8  # one in so many may be formatted one by one
_DECADES: Final = np.array([1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5])
_TENS: Final = np.array([float(10**power) for power in range(13)])
_INTEGER_TENS: Final = np.array([10**power for power in range(13)], np.int64)
_VALUE_BYTES: Final = 22  # sign, 8 digits, point, 12 digits


def _table(shown: Callable[[str], str]) -> Array:
    """Return the 4 characters of 0 … 9999 as 32-bit words; characters that are left out are zero bytes."""
    texts = [shown(f"{number:04}").encode() for number in range(10_000)]
    return np.frombuffer(b"".join(texts), "<u4")


def _without_leading(digits: str) -> str:
    return digits.lstrip("0").rjust(4, "\0")


def _without_trailing(digits: str) -> str:
    return digits.rstrip("0").ljust(4, "\0")


def _at_least_one(digits: str) -> str:
    return _without_leading(digits) if int(digits) else "\0\0\0" + "0"


_WHOLE: Final = np.concatenate([  # all digits | the first digits of a number | the same, at least one
    _table(str), _table(_without_leading), _table(_at_least_one),
])  # fmt: skip
_FRACTION: Final = np.concatenate([  # all digits | the last digits of a fraction | the same, at least one
    _table(str), _table(_without_trailing),
    _table(lambda digits: _without_trailing(digits) if int(digits) else "0\0\0\0"),
])  # fmt: skip


def nested_floats(array: Array, one_by_one: Callable[[Array], list[str]]) -> str | None:
    """Return a float32 array of rank 1 or more as nested JSON lists; None where too much of it is unusual."""
    values = array.ravel()
    with np.errstate(invalid="ignore"):  # NaNs that signal
        size = np.abs(values.astype(np.float64))
    zero = size == 0
    usual = ((size >= _LOWEST) & (size < _HIGHEST)) | zero
    rare = np.flatnonzero(~usual)
    if len(rare) * _MAX_RARE > len(values):
        return None
    size[rare] = 0.0
    digits, exponent, odd = _nine_digits(size, np.abs(values))
    if odd.any():
        return None
    cells = np.zeros(len(values), _layout(array.ndim))
    cells["sign"] = np.where(np.signbit(values), ord("-"), 0)
    _fill(cells, digits, exponent)
    if len(rare):
        cells["text"][rare] = [text.encode() for text in one_by_one(values[rare])]
    cells["after"] = _separators(array.shape)
    text: bytes = cells.tobytes().translate(None, b"\0")
    return "[" * array.ndim + text.decode("ascii") + "]" * array.ndim


def _nine_digits(size: Array, single: Array) -> tuple[Array, Array, Array]:
    """Return 9 digits as an integer, the decimal exponent of the first, and where that is not possible."""
    exponent = np.searchsorted(_DECADES, size, side="right") - 4
    exponent[size == 0] = 0
    nine = np.rint(size * _TENS[8 - exponent])
    six_scale = _TENS[5 - exponent]
    six = np.rint(size * six_scale)
    same = (six / six_scale).astype(np.float32) == single
    carried = six >= 1e6  # 0.0099999998 is written 0.01
    six[carried] = 1e5
    digits = np.where(same, six * 1000, nine).astype(np.int64)
    return digits, exponent + (same & carried), ~same & (nine >= 1e9)


def _fill(cells: Array, digits: Array, exponent: Array) -> None:
    """Write numbers below 10**8 with up to 12 decimals, without zeros that say nothing."""
    below = _INTEGER_TENS[8 - exponent]
    whole = digits // below
    fraction = (digits - whole * below) * _INTEGER_TENS[exponent + 4]
    high, low = whole // 10_000, whole % 10_000
    first = fraction // 10**8
    rest = fraction - first * 10**8
    second, third = rest // 10_000, rest % 10_000
    cells["high"] = _WHOLE[high + 10_000]
    cells["low"] = _WHOLE[low + 20_000 * (high == 0)]
    cells["point"] = ord(".")
    cells["first"] = _FRACTION[first + 20_000 * (rest == 0)]
    cells["second"] = _FRACTION[second + 10_000 * (third == 0)]
    cells["third"] = _FRACTION[third + 10_000]


def _layout(rank: int) -> np.dtype[np.void]:
    """Return a number and what stands between it and the next one."""
    names = ["sign", "high", "low", "point", "first", "second", "third", "text", "after"]
    words = ["u1", "<u4", "<u4", "u1", "<u4", "<u4", "<u4", f"S{_VALUE_BYTES}", f"S{2 * rank}"]
    offsets = [0, 1, 5, 9, 10, 14, 18, 0, _VALUE_BYTES]
    return np.dtype({"names": names, "formats": words, "offsets": offsets, "itemsize": _VALUE_BYTES + 2 * rank})


def _separators(shape: tuple[int, ...]) -> Array:
    """Return what follows each number: a comma, with the brackets that close and open; nothing after the last one."""
    ends = np.zeros(int(np.prod(shape)), np.int64)
    for level in range(1, len(shape)):
        step = int(np.prod(shape[-level:]))
        ends[step - 1 :: step] += 1
    texts = np.array(["]" * level + ", " + "[" * level for level in range(len(shape))], f"S{2 * len(shape)}")
    found: Array = texts[ends]
    found[-1] = b""
    return found
