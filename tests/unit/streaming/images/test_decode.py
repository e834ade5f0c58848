"""One set of rules turns bytes into pixels, for client and worker."""

import struct
import sys
import zlib

import cv2
import numpy as np
import pytest

from strongroom.clusterserving.faults import BadImage
from strongroom.streaming.images.decode import decode
from strongroom.streaming.images.encode import encode_image
from strongroom.streaming.images.opencv import NoOpenCv, opencv


@pytest.fixture
def picture() -> np.ndarray:
    """Left half blue, right half red, 40 high and 60 wide: colours and sides cannot be mistaken."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0] = 255
    pixels[:, 30:, 2] = 255
    return pixels


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_colours_come_blue_first(picture):
    assert np.array_equal(decode(png(picture)), picture)


def test_grey_and_transparent_images_become_three_colours(picture):
    grey = decode(png(np.full((5, 7), 77, np.uint8)))
    assert grey.shape == (5, 7, 3)
    assert set(grey.ravel()) == {77}
    clear = np.dstack([picture, np.zeros((40, 60), np.uint8)])
    assert np.array_equal(decode(png(clear)), picture)


def test_sixteen_bits_become_eight():
    deep = np.full((4, 4, 3), 0x8000, np.uint16)
    assert decode(png(deep)).dtype == np.uint8


def test_d21_resize_is_height_then_width(picture):
    assert decode(png(picture), resize=(20, 90)).shape == (20, 90, 3)


def test_resizing_is_bilinear_whatever_the_size(picture):
    wanted = cv2.resize(picture, (33, 21), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(decode(png(picture), resize=(21, 33)), wanted)


def test_a_camera_s_note_to_turn_the_image_is_not_followed(picture):
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff
    turned = data[:2] + segment + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (60, 40, 3)  # it is a valid note
    assert decode(turned).shape == (40, 60, 3)


def test_sv_12_an_image_beyond_the_limit_of_pixels_is_never_decoded():
    header = struct.pack(">II", 60_000, 60_000)
    bomb = png(np.zeros((8, 8, 3), np.uint8))
    bomb = bomb[:16] + header + bomb[24:]
    with pytest.raises(BadImage, match="60000 by 60000 pixels"):
        decode(bomb)
    with pytest.raises(BadImage, match="more than 100"):
        decode(png(np.zeros((11, 10, 3), np.uint8)), max_pixels=100)


def test_an_05_bytes_that_are_no_image_are_an_error_that_says_so():
    with pytest.raises(BadImage) as caught:
        decode(b"\xff\xd8\xff\xe0\x00\x10JFIF nothing behind")
    assert caught.value.code == "SR-QUEUE-BAD-IMAGE"


def test_a_header_without_a_picture_cannot_be_decoded():
    data = png(np.zeros((8, 8, 3), np.uint8))
    at = data.index(b"IDAT")
    with pytest.raises(BadImage, match="cannot be decoded"):
        decode(data[: at + 4] + bytes(len(data) - at - 16) + data[-12:])


def test_client_and_worker_see_the_same_pixels(picture, tmp_path):
    for name in ("a.jpg", "b.png", "c.bmp", "d.webp"):
        path = tmp_path / name
        path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
        data = encode_image(path).data
        if path.suffix == ".jpg":
            assert data == path.read_bytes()  # not encoded a second time
        assert np.array_equal(decode(data), decode(encode_image(decode(path.read_bytes())).data)) or name == "a.jpg"


def test_pixels_become_a_jpeg(picture):
    found = decode(encode_image(picture).data)
    assert found.shape == picture.shape
    assert np.abs(found[20, 5].astype(int) - picture[20, 5]).max() < 10
    assert decode(encode_image(picture[:, :, 0]).data).shape == picture.shape


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4,), np.uint8), np.zeros((0, 4, 3), np.uint8),
     np.zeros((4, 4, 2), np.uint8), np.zeros((1, 65_501, 3), np.uint8)],
)  # fmt: skip
def test_other_arrays_are_no_pixels(pixels):
    with pytest.raises(BadImage):
        encode_image(pixels)


def test_a_file_that_is_no_image_is_refused_by_the_client(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"nothing")
    with pytest.raises(BadImage):
        encode_image(path)
    with pytest.raises(FileNotFoundError):
        encode_image(tmp_path / "missing.jpg")


def test_without_opencv_one_sentence_names_the_extra(monkeypatch):
    opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(NoOpenCv) as caught:
        opencv()
    assert caught.value.code == "SR-QUEUE-NO-OPENCV"
    assert "strongroom[streaming]" in caught.value.fix
    opencv.cache_clear()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_an_01_sv_12_what_a_png_says_besides_its_pixels_is_neither_unpacked_nor_repeated(picture, capfd):
    """libpng names a bad colour profile on stderr, which is the worker's log: the image may have come sealed."""
    bomb = zlib.compress(bytes(50_000_000), 9)
    said = chunk(b"iCCP", b"canary-name\0\0" + bomb) + chunk(b"zTXt", b"canary-key\0\0" + bomb)
    said += chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + chunk(b"caNy", b"canary")
    plain = png(picture)
    assert np.array_equal(decode(plain[:33] + said + plain[33:]), picture)
    assert "canary" not in capfd.readouterr().err


@pytest.mark.parametrize("extra", [struct.pack(">I", 2**31) + b"tEXt", chunk(b"tEXt", b"") * 70_000])
def test_sv_12_a_png_of_endless_chunks_is_no_image(picture, extra):
    plain = png(picture)
    with pytest.raises(BadImage):
        decode(plain[:33] + extra + plain[33:])
