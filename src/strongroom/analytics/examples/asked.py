"""What was asked of an example: the seed of what is drawn or generated, how much of it, or data of one's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from strongroom.errors import BadInput


class BadSize(BadInput):
    """An example cannot be run at the size that was asked for."""

    code = "SR-EXAMPLE-SIZE"
    fix = "See what size means for each example with strongroom spark example --list, or leave --size out."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Seed, size in the example's own unit, and `data`: a file or folder to use in place of what is generated."""

    seed: int = 0
    size: float = 1
    data: Path | None = None

    def whole(self, *, least: int = 1, most: int = 100_000_000) -> int:
        """Return the size as a whole number between two bounds. Raises BadSize."""
        if not math.isfinite(self.size) or self.size != int(self.size) or not least <= self.size <= most:
            raise BadSize(f"size {self.size:g} is no whole number from {least} to {most}")
        return int(self.size)
