"""Turn a photograph into what an image classifier eats, with limits that a hostile file cannot exceed.

Preprocessing (pinned: another crop gives another ranking): the centred square of 224/256 of the short side, bicubic
to 224 by 224, RGB float32 0..255 in NHWC order. Scaling to the model's range is inside the model.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps

from strongroom.errors import BadInput

IMAGE_SIDE: Final = 224
RESIZED_SIDE: Final = 256  # the crop keeps 224 of the 256 pixels that training resized the short side to
MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 64 * 1024 * 1024  # 192 MiB as RGB: above any camera, below what hurts
FORMATS: Final = ("JPEG", "PNG", "WEBP")

FloatArray = np.ndarray[Any, np.dtype[np.float32]]


class BadImage(BadInput):
    """A file is not a photograph that can be decoded, or is larger than what is accepted."""

    code = "SR-IMAGE"
    fix = f"Give a JPEG, PNG or WEBP file of at most {MAX_PIXELS // 2**20} megapixels."


def read_image(path: str | Path) -> FloatArray:
    """Return a photograph as one batch row, float32 [1, 224, 224, 3]. Raises BadImage, or OSError for no file."""
    photograph = Path(path)
    with photograph.open("rb") as file:
        data = file.read(MAX_IMAGE_BYTES + 1)
    return decode_image(data, name=photograph.name)


def decode_image(data: bytes, *, name: str = "image") -> FloatArray:
    """Return encoded image bytes as float32 [1, 224, 224, 3], RGB 0..255. Raises BadImage."""
    if len(data) > MAX_IMAGE_BYTES:
        raise BadImage(f"{name} is larger than {MAX_IMAGE_BYTES} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limits here are our own; Pillow's remarks on metadata help nobody
            return _prepare(data, name)
    except BadImage:
        raise
    except Exception as problem:  # decoders of many formats raise nearly anything on damaged bytes
        raise BadImage(f"{name} cannot be decoded as an image: {type(problem).__name__}") from problem


def _prepare(data: bytes, name: str) -> FloatArray:
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        width, height = opened.size
        if width * height > MAX_PIXELS or min(width, height) < 1:
            raise BadImage(f"{name} is {width} by {height} pixels, more than {MAX_PIXELS} in all")
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    side = max(1, min(upright.size) * IMAGE_SIDE // RESIZED_SIDE)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    square = upright.crop((left, top, left + side, top + side))
    resized = square.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.float32)[None]
