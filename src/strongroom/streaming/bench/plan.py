"""What a run sends: how many records of what kind, from how many processes. World: reads the picture.

Source: spec `cluster-serving.md` section 14.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from strongroom.clusterserving.values import Image
from strongroom.errors import BadInput
from strongroom.streaming.client.settings import Settings

INPUT: Final = "t"  # what the original's script calls it
SIDE: Final = 224
AT_ONCE: Final = 64  # records in one round trip
WIRES: Final = ("jpeg", "raw", "arrow")


class UnevenLoad(BadInput):
    """The number of images cannot be shared out evenly among the processes."""

    code = "SR-QUEUE-BENCH-UNEVEN"
    fix = "Choose --image_num as a multiple of --proc_num."


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`images` records in all, from `processes`; each keeps at most `window` under way and waits `wait_s` for one.

    `inputs`: what every record holds. `form`: how the client writes it, raw or arrow.
    """

    settings: Settings
    images: int
    processes: int
    inputs: Mapping[str, Any]
    window: int = 1024
    wait_s: float = 60.0

    def __post_init__(self) -> None:
        """Raises UnevenLoad."""
        if self.processes < 1 or self.images < 1 or self.images % self.processes:
            raise UnevenLoad(f"{self.images} images cannot be shared out evenly among {self.processes} processes")

    @property
    def share(self) -> int:
        """How many records each process sends."""
        return self.images // self.processes


def picture(path: Path | None, *, side: int = SIDE) -> Image:
    """Return a photograph as JPEG of `side` by `side` pixels; a generated one for None. Raises BadImage, OSError."""
    from strongroom.streaming.images.decode import decode
    from strongroom.streaming.images.encode import encode_image
    from strongroom.streaming.images.opencv import opencv

    pixels = _generated() if path is None else decode(encode_image(path).data)
    return encode_image(opencv().resize(pixels, (side, side)))


def inputs_for(wire: str, image: Image, *, floats: int | None = None) -> Mapping[str, Any]:
    """Return a record's inputs: the JPEG, its pixels as float32 [3, side, side] for `raw`, or a few numbers.

    With the wire `arrow` the JPEG goes as base64 text, as the original's script sends it.
    """
    if floats is not None:
        return {INPUT: np.linspace(0.0, 1.0, floats, dtype=np.float32)}
    if wire != "raw":
        return {INPUT: image}
    from strongroom.streaming.images.decode import decode

    return {INPUT: np.ascontiguousarray(decode(image.data).transpose(2, 0, 1), dtype=np.float32)}


def _generated() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a picture with soft colours and some grain, so that its JPEG is as large as a photograph's."""
    random = np.random.default_rng(224)
    down, across = np.mgrid[0:480, 0:640].astype(np.float32)
    waves = [np.sin(across / (31 + 7 * each)) * np.cos(down / (23 + 5 * each)) for each in range(3)]
    grain = random.normal(0.0, 14.0, (480, 640, 3))
    return np.clip(128 + 90 * np.stack(waves, axis=-1) + grain, 0, 255).astype(np.uint8)
