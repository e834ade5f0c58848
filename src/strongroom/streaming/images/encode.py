"""The client's side of images: a file or OpenCV's pixels to the bytes that a record carries.

A JPEG file goes as it is: decoding and encoding it again would cost time and change what the model sees. Everything
else becomes JPEG of OpenCV's usual quality, as with the original's client.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from strongroom.clusterserving.faults import BadImage
from strongroom.clusterserving.values import Array, Image
from strongroom.streaming.images.decode import MAX_PIXELS, decode
from strongroom.streaming.images.header import NotAnImage, read_header
from strongroom.streaming.images.opencv import opencv

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
QUALITY: Final = 95


def encode_image(image: str | Path | Array, *, quality: int = QUALITY) -> Image:
    """Return a file's image, or pixels (uint8 [height, width, 3], blue first, or grey), as JPEG.

    Raises BadImage, or OSError where the file cannot be read.
    """
    if isinstance(image, np.ndarray):
        return Image(_jpeg(image, quality))
    with Path(image).open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise BadImage(f"{Path(image).name} is longer than {MAX_FILE_BYTES} bytes")
    return Image(data if _is_jpeg(data) else _jpeg(decode(data), quality))


def _is_jpeg(data: bytes) -> bool:
    """Whether the bytes are a JPEG that a worker takes. Raises BadImage where they are no image."""
    try:
        header = read_header(data)
    except NotAnImage as problem:
        raise BadImage(str(problem)) from None
    if header.width * header.height > MAX_PIXELS:
        raise BadImage(f"the {header.kind} has {header.width} by {header.height} pixels, more than {MAX_PIXELS}")
    return header.kind == "JPEG"


def _jpeg(pixels: Array, quality: int) -> bytes:
    cv2 = opencv()
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in {2, 3} or channels not in {1, 3} or not pixels.size:
        raise BadImage(f"pixels are uint8 [height, width, 3], not {pixels.dtype} {list(pixels.shape)}")
    if max(pixels.shape) > 65_500 or pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise BadImage(f"an image of {pixels.shape[1]} by {pixels.shape[0]} pixels is too large")
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise BadImage("the pixels cannot be encoded as JPEG")
    return bytes(data)
