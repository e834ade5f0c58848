"""How much one record may hold: checked before anything is allocated for it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024
MAX_ELEMENTS: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one record, as it is sent and as it is decoded.

    `max_record_bytes`: of the data as they stand in Redis (config `maxRecordBytes`), of each decoded tensor, and of the
    dense form of a sparse one. `max_pixels`: width times height of an image. `max_strings`: elements of a text tensor.
    `max_lists`: lists and objects in JSON, two bytes there and a hundred in memory.
    """

    max_record_bytes: int = 32 * MIB
    max_columns: int = 64
    max_instances: int = 1024
    max_lists: int = 2 * MIB
    max_rank: int = 8
    max_strings: int = 1024 * 1024
    max_pixels: int = 64 * MIB


DEFAULT_LIMITS: Final = Limits()


def countable(shape: Iterable[int]) -> bool:
    """Whether an array can have this shape: NumPy refuses dimensions that are too large even beside one of 0."""
    return math.prod(each or 1 for each in shape) <= MAX_ELEMENTS
