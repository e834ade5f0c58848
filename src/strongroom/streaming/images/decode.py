"""Encoded images to pixels: one set of rules for client and worker.

Eight bits a channel, three channels, blue first (OpenCV's order, and the original's); grey and transparent images
become colour, transparency is dropped; a turn that a camera noted (EXIF) is not made. Resizing is bilinear.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from strongroom.clusterserving.faults import BadImage
from strongroom.clusterserving.limits import DEFAULT_LIMITS
from strongroom.clusterserving.values import Array
from strongroom.streaming.images.header import NotAnImage, pixels_alone, read_header
from strongroom.streaming.images.opencv import opencv

MAX_PIXELS: Final = DEFAULT_LIMITS.max_pixels
MAX_SIDE: Final = 65_500  # of a JPEG


def decode(data: bytes, *, resize: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Array:
    """Return an image as uint8 [height, width, 3], blue first. `resize` is (height, width). Raises BadImage."""
    cv2 = opencv()
    try:
        header = read_header(data)
        shown = pixels_alone(data) if header.kind == "PNG" else data
    except NotAnImage as problem:
        raise BadImage(str(problem)) from None
    if header.width * header.height > max_pixels or max(header.width, header.height) > MAX_SIDE:
        raise BadImage(f"the {header.kind} has {header.width} by {header.height} pixels, more than {max_pixels}")
    try:
        pixels = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape != (header.height, header.width, 3):
        raise BadImage(f"the {header.kind} cannot be decoded")
    return pixels if resize is None else resized(pixels, resize)


def resized(pixels: Array, size: tuple[int, int]) -> Array:
    """Return pixels as (height, width); the original handed the two to OpenCV the wrong way round."""
    height, width = size
    if pixels.shape[:2] == size:
        return pixels
    found: Array = opencv().resize(pixels, (width, height), interpolation=opencv().INTER_LINEAR)
    return found
