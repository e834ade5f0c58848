"""Whether a model's rows really are independent: joined runs are held against single ones before they are trusted.

A signature with a free first dimension may still mix its rows (a softmax or a sum over dimension 0, scales taken from
the whole tensor). TensorFlow Serving leaves that to whoever sets --enable_batching; what is on by default has to find
out: the first joined runs of a signature, and every so often a later one, are run request by request as well, and the
single results are the ones that are returned. One difference beyond rounding ends joining for that signature for good.
Decision: docs/decisions/0012-drain-batching.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from strongroom.tfserving.datatypes import Array

TRIALS: Final = 8  # joined runs of a signature that are not trusted
AGAIN_EVERY: Final = 1024  # of the runs after these, one is held against single runs
_RELATIVE: Final = {2: 1e-2, 4: 1e-4, 8: 1e-8}  # by bytes of a float: sums in another order, not another sum


class Audit:
    """Which signatures may be joined, by what was seen."""

    def __init__(self) -> None:
        self._runs: dict[str, int] = defaultdict(int)
        self.refused: set[str] = set()

    def due(self, signature: str) -> bool:
        """Count a joined run; return whether it has to be held against single ones."""
        self._runs[signature] += 1
        runs = self._runs[signature]
        return runs <= TRIALS or runs % AGAIN_EVERY == 0

    def refuse(self, signature: str) -> None:
        """Never join this signature again."""
        self.refused.add(signature)


def alike(joined: Sequence[Mapping[str, Array]], single: Sequence[Mapping[str, Array]]) -> bool:
    """Return whether each request got the same from both runs, but for rounding."""
    return all(_close(mine[name], alone[name]) for mine, alone in zip(joined, single, strict=True) for name in alone)


def _close(joined: Array, single: Array) -> bool:
    if joined.shape != single.shape or joined.dtype != single.dtype:
        return False
    if single.dtype.kind not in "fc":
        return bool(np.array_equal(joined, single))
    part_bytes = single.dtype.itemsize // (2 if single.dtype.kind == "c" else 1)
    tolerance = _RELATIVE.get(part_bytes, 1e-8)
    finite = np.abs(single[np.isfinite(single)])
    scale = float(finite.max()) if finite.size else 0.0  # small values beside large ones round like the large ones
    with np.errstate(invalid="ignore"):
        return bool(np.allclose(joined, single, rtol=tolerance, atol=tolerance * scale, equal_nan=True))
