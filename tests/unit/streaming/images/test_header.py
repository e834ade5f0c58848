"""Sizes of images are known before a decoder sees them (threat SV-12)."""

import struct

import cv2
import numpy as np
import pytest

from strongroom.clusterserving.faults import BadImage
from strongroom.streaming.images.decode import decode
from strongroom.streaming.images.header import MAX_SCANS, NotAnImage, read_header

KINDS = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "BMP": ".bmp"}


def encoded(kind: str, height: int = 30, width: int = 50, **options) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)
    flags = [each for pair in options.get("flags", ()) for each in pair]
    return cv2.imencode(KINDS[kind], pixels, flags)[1].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_read_without_decoding(kind):
    header = read_header(encoded(kind))
    assert (header.kind, header.width, header.height) == (kind, 50, 30)


def test_progressive_jpeg_and_lossless_webp_say_their_size_too():
    assert read_header(encoded("JPEG", flags=[(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])).width == 50
    assert read_header(encoded("WebP", flags=[(cv2.IMWRITE_WEBP_QUALITY, 101)])).height == 30


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_breaks_off_is_no_image(kind):
    data = encoded(kind)
    for length in range(64 if kind != "BMP" else 26):
        with pytest.raises(NotAnImage):
            read_header(data[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_breaks_off_is_refused_rather_than_filled_with_grey(kind):
    data = encoded(kind)
    with pytest.raises(BadImage, match="breaks off" if kind != "BMP" else "cannot be decoded"):
        decode(data[: len(data) * 3 // 4])


def test_a_thumbnail_in_a_jpeg_is_not_its_size():
    inner = encoded("JPEG", 8, 8)
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(inner)) + b"Exif\0\0" + inner
    data = encoded("JPEG")
    assert read_header(data[:2] + segment + data[2:]).width == 50


def test_a_jpeg_of_countless_scans_is_refused():
    data = encoded("JPEG")
    bomb = data[:-2] + b"\xff\xda\x00\x02" * MAX_SCANS + b"\xff\xd9"
    with pytest.raises(NotAnImage, match="scans"):
        read_header(bomb)


def test_a_jpeg_of_marker_bytes_alone_is_read_in_linear_time():
    with pytest.raises(NotAnImage):
        read_header(b"\xff\xd8" + b"\xff" * 2_000_000)
    with pytest.raises(NotAnImage):
        read_header(b"\xff\xd8\xff" + b"\x00\xff" * 1_000_000)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"%PDF", b"II*\0", b"\xff\xd8\xff\xd9", b"RIFF\0\0\0\0WAVE"])
def test_other_bytes_are_no_image(data):
    with pytest.raises(NotAnImage):
        read_header(data)


def test_a_bitmap_from_above_has_a_height_all_the_same():
    data = bytearray(encoded("BMP"))
    data[22:26] = struct.pack("<i", -30)
    assert read_header(bytes(data)).height == 30
    data[18:22] = struct.pack("<i", -50)
    with pytest.raises(NotAnImage, match="negative"):
        read_header(bytes(data))
    with pytest.raises(NotAnImage, match="has none"):
        read_header(encoded("BMP")[:18] + bytes(8) + encoded("BMP")[26:])
