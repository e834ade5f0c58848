"""Pixels to what a model eats: order of colours, layout, mean, scale and deviation, type.

A value becomes `(pixel - mean) * scale / std`, as in OpenCV's blobs. A pixel has 256 values, so all of it is one table
per channel (`cv2.LUT`), six times as fast as arithmetic on arrays, with the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np

from strongroom.clusterserving.values import Array
from strongroom.errors import BadInput
from strongroom.streaming.images.opencv import opencv

CHANNELS: Final = 3
_KEYS: Final = ("order", "layout", "mean", "scale", "std", "dtype")
_DTYPES: Final = {"float32": np.float32, "float16": np.float16, "float64": np.float64, "uint8": np.uint8,
                  "int8": np.int8, "int32": np.int32}  # fmt: skip


class BadPreprocess(BadInput):
    """What is to be done to pixels (imagePreprocess) cannot be done."""

    code = "SR-QUEUE-PREPROCESS"
    fix = "Keys: order bgr|rgb, layout chw|hwc, mean and std (a number or three), scale, dtype float32|uint8|…."


class Order(StrEnum):
    """Which colour comes first."""

    BGR = "bgr"
    RGB = "rgb"


class Layout(StrEnum):
    """Whether the channels come before height and width or after them."""

    CHW = "chw"
    HWC = "hwc"


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """What is done to pixels; the default is the original's: blue first, float32, not scaled.

    `layout` None: as the model's input says. `mean` and `std`: for each channel, in the order of `order`.
    `dtype` None: the model's.
    """

    order: Order = Order.BGR
    layout: Layout | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dtype: np.dtype[Any] | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any] | None) -> Preprocess:
        """Return what a configuration's `imagePreprocess` asks for. Raises BadPreprocess."""
        given = given or {}
        unknown = [str(each)[:40] for each in given if each not in _KEYS]
        if unknown:
            raise BadPreprocess(f"imagePreprocess has no {', '.join(map(repr, unknown))}")
        made = cls(
            order=_one_of(Order, given.get("order", "bgr"), "order"),
            layout=_one_of(Layout, given["layout"], "layout") if given.get("layout") else None,
            mean=three(given.get("mean", 0.0), "mean"),
            scale=three(given.get("scale", 1.0), "scale")[0],
            std=three(given.get("std", 1.0), "std"),
            dtype=_dtype(given.get("dtype")),
        )
        if 0.0 in made.std:
            raise BadPreprocess("std has a zero, by which nothing can be divided")
        return made

    def apply(self, pixels: Array, *, layout: Layout, dtype: np.dtype[Any]) -> Array:
        """Return uint8 [height, width, 3], blue first, in this form; a new array."""
        kind = self.dtype or dtype
        if layout is Layout.HWC:
            return self._channels_last(pixels, kind)
        out = np.empty((CHANNELS, *pixels.shape[:2]), kind)
        planes = opencv().split(pixels)
        for at, plane in enumerate(planes if self.order is Order.BGR else planes[::-1]):
            if kind == np.float32:
                opencv().LUT(plane, self._table[at], out[at])
            else:
                out[at] = _fitting(self._table[at], kind)[plane]
        return out

    def _channels_last(self, pixels: Array, kind: np.dtype[Any]) -> Array:
        turned = opencv().cvtColor(pixels, opencv().COLOR_BGR2RGB) if self.order is Order.RGB else pixels
        if kind == np.float32:
            found: Array = opencv().LUT(turned, self._interleaved)
            return found
        if kind == np.uint8 and self._plain:
            return turned.copy()
        out = np.empty(turned.shape, kind)
        for at in range(CHANNELS):
            out[..., at] = _fitting(self._table[at], kind)[turned[..., at]]
        return out

    @cached_property
    def _table(self) -> Array:
        """What each of the 256 values becomes, float32 [3, 256]."""
        values = np.arange(256, dtype=np.float64)[None, :]
        mean, std = (np.asarray(each, np.float64)[:, None] for each in (self.mean, self.std))
        return np.ascontiguousarray(((values - mean) * self.scale / std).astype(np.float32))

    @cached_property
    def _interleaved(self) -> Array:
        return np.ascontiguousarray(self._table.T[None])  # [1, 256, 3], as cv2.LUT wants it

    @cached_property
    def _plain(self) -> bool:
        return self.scale == 1.0 and set(self.mean) == {0.0} and set(self.std) == {1.0}


def three(values: object, name: str) -> tuple[float, float, float]:
    """Return one number for all channels, or three, as three. Raises BadPreprocess."""
    listed = values if isinstance(values, Sequence) and not isinstance(values, str) else [values] * CHANNELS
    numbers = [
        float(each)
        for each in listed
        if isinstance(each, int | float) and not isinstance(each, bool) and abs(each) < 1e30 and math.isfinite(each)
    ]
    if len(numbers) != len(listed) or len(numbers) != CHANNELS:
        raise BadPreprocess(f"{name} is a number or three, not {str(values)[:60]!r}")
    return numbers[0], numbers[1], numbers[2]


_Word = TypeVar("_Word", bound=StrEnum)


def _one_of(words: type[_Word], given: object, name: str) -> _Word:
    try:
        return words(str(given).lower())
    except ValueError:
        raise BadPreprocess(f"{name} is one of {', '.join(words)}, not {str(given)[:40]!r}") from None


def _dtype(given: object) -> np.dtype[Any] | None:
    if given is None:
        return None
    if str(given) not in _DTYPES:
        raise BadPreprocess(f"dtype is one of {', '.join(_DTYPES)}, not {str(given)[:40]!r}")
    return np.dtype(_DTYPES[str(given)])


def _fitting(table: Array, kind: np.dtype[Any]) -> Array:
    """Return a table in another type: whole numbers are rounded and kept within what the type holds."""
    if kind.kind not in "iu":
        return table.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.rint(table.astype(np.float64)), limits.min, limits.max).astype(kind)
