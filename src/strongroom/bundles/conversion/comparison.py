"""How far apart two answers to the same question are, and whether that is rounding or another model.

Pure. The relative difference is measured against the output's own scale (its largest magnitude, of all checks of a
case), not element by element: in a softmax over a thousand classes, an absolute tolerance would admit anything, and an
element that happens to be near nothing would refuse a right model. What is not a float has to be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.bundles.conversion.errors import ConversionDiffers, ConversionUnproved

DEFAULT_TOLERANCE: Final = 1e-4  # float32 through another engine's kernels: 1e-6 is usual, 1e-5 in deep models
LEAST_SCALE: Final = 1e-3  # an output that is all but zero is measured against this


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest differences of one output: absolute, and relative to the output's largest magnitude."""

    absolute: float = 0.0
    relative: float = 0.0
    values: int = 0

    def joined(self, other: Difference) -> Difference:
        """Return the larger of both, in each measure, over the values of both."""
        return Difference(
            max(self.absolute, other.absolute), max(self.relative, other.relative), self.values + other.values
        )


def compare(expected: NDArray[Any], found: NDArray[Any], *, output: str, tolerance: float) -> Difference:
    """Return how far `found` is from `expected`. Raises ConversionDiffers, ConversionUnproved."""
    if expected.dtype != found.dtype:
        raise ConversionDiffers(f"{output} is {found.dtype} in the result and {expected.dtype} in the source")
    if expected.shape != found.shape:
        shapes = f"{list(found.shape)} in the result and {list(expected.shape)} in the source"
        raise ConversionDiffers(f"{output} has the shape {shapes}")
    if not is_inexact(expected):
        return _equal(expected, found, output)
    kind = np.complex128 if np.iscomplexobj(expected) else np.float64
    return _close(expected.astype(kind), found.astype(kind), output, tolerance)


def is_inexact(values: NDArray[Any]) -> bool:
    """Tell whether values are rounded numbers; bfloat16 is one, though numpy has another word for its kind."""
    return bool(np.issubdtype(values.dtype, np.inexact)) or values.dtype.name == "bfloat16"


def _equal(expected: NDArray[Any], found: NDArray[Any], output: str) -> Difference:
    different = int(np.count_nonzero(expected != found))
    if different:
        raise ConversionDiffers(f"{output} differs in {different} of {expected.size} values, which have to be equal")
    return Difference(values=expected.size)


def _close(expected: NDArray[Any], found: NDArray[Any], output: str, tolerance: float) -> Difference:
    if np.isnan(expected).any():
        raise ConversionUnproved(f"{output} has NaN in the source itself, so that nothing can be compared")
    if np.isnan(found).any():
        raise ConversionDiffers(f"{output} has NaN in the result and none in the source")
    infinite = np.isinf(expected) | np.isinf(found)
    if not np.array_equal(expected[infinite], found[infinite]):
        raise ConversionDiffers(f"{output} is infinite where the other is not")
    distance = np.abs(expected[~infinite] - found[~infinite])
    if not distance.size:
        return Difference(values=expected.size)
    scale = max(float(np.abs(expected[~infinite]).max()), LEAST_SCALE)
    difference = Difference(float(distance.max()), float(distance.max()) / scale, expected.size)
    if difference.relative > tolerance:
        raise ConversionDiffers(
            f"{output} differs by {difference.absolute:.3g}, {difference.relative:.3g} of its largest magnitude; "
            f"the tolerance is {tolerance:g}"
        )
    return difference
