"""How much one record may hold: checked before anything is allocated for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one record, as it is sent and as it is decoded.

    `max_record_bytes`: of the data as they stand in Redis (config `maxRecordBytes`), of each decoded tensor, and of the
    dense form of a sparse one. `max_pixels`: width times height of an image. `max_strings`: elements of a text tensor.
    """

    max_record_bytes: int = 32 * MIB
    max_columns: int = 64
    max_instances: int = 1024
    max_rank: int = 8
    max_strings: int = 1024 * 1024
    max_pixels: int = 64 * MIB


DEFAULT_LIMITS: Final = Limits()
