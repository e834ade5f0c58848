"""Photographs become tensors; everything else becomes one catalogued error."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from strongroom.client import images
from strongroom.client.images import BadImage, decode_image, read_image


def encoded(size=(300, 200), *, colour=(255, 0, 0), mode="RGB", kind="PNG", **options):
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (1, 1), (3, 900)])
def test_any_photograph_becomes_one_row_of_rgb(kind, size):
    row = decode_image(encoded(size, kind=kind))
    assert (row.shape, row.dtype) == ((1, 224, 224, 3), np.float32)
    assert np.abs(row[0, 100, 100] - [255, 0, 0]).max() <= 2


def test_grey_and_transparent_images_are_made_rgb():
    assert decode_image(encoded(mode="L", colour=128))[0, 0, 0].tolist() == [128, 128, 128]
    assert decode_image(encoded(mode="RGBA", colour=(1, 2, 3, 0)))[0, 0, 0].tolist() == [1, 2, 3]


def test_only_the_centred_square_counts():
    picture = Image.new("RGB", (512, 256), (0, 0, 255))
    picture.paste((255, 0, 0), (144, 16, 368, 240))  # the centred 224 of 256
    out = io.BytesIO()
    picture.save(out, "PNG")
    assert decode_image(out.getvalue()).reshape(-1, 3).tolist() == [[255, 0, 0]] * (224 * 224)


def test_the_camera_s_orientation_is_applied():
    picture = Image.new("RGB", (200, 200), (0, 255, 0))
    picture.paste((255, 0, 0), (0, 0, 200, 100))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    out = io.BytesIO()
    picture.save(out, "PNG", exif=exif)
    row = decode_image(out.getvalue())
    assert row[0, 0, 0].tolist() == [0, 255, 0]
    assert row[0, 223, 0].tolist() == [255, 0, 0]


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(9000, 9000), (60000, 60000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(size):
    with pytest.raises(BadImage) as caught:
        decode_image(png_header(*size))
    assert caught.value.code == "SR-IMAGE"


@pytest.mark.parametrize("data", [b"", b"not an image", encoded()[:300], encoded(kind="GIF", colour=3, mode="P")])
def test_what_is_not_a_whole_photograph_is_refused(data):
    with pytest.raises(BadImage):
        decode_image(data)


def test_an_oversized_file_is_refused_after_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", 10)
    path = tmp_path / "big.png"
    path.write_bytes(encoded())
    with pytest.raises(BadImage, match="larger than 10 bytes"):
        read_image(path)


@given(st.binary(max_size=64), st.integers(0, 200))
def test_no_bytes_escape_the_error_tree(noise, at):
    good = bytearray(encoded((16, 16)))
    good[at % len(good) : at % len(good)] = noise
    with contextlib.suppress(BadImage):
        assert decode_image(bytes(good)).shape == (1, 224, 224, 3)
