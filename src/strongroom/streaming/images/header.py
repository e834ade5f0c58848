"""What an encoded image says of its size before a single pixel is made: JPEG, PNG, WebP and BMP. Pure.

A few bytes of a file can announce gigabytes of pixels (threat SV-12), so the size is read here, in linear time, and
held against a limit before a decoder sees the bytes. Sources: ITU-T T.81 annex B, PNG 3rd edition section 11.2.1,
RFC 9649 section 2, and Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_SCANS: Final = 100  # of one progressive JPEG: each goes over all pixels again; usual ones have 10
MAX_CHUNKS: Final = 65_536  # of one PNG
_PIXEL_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_NO_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without parameters
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN: Final = 0xDA
_END: Final = 0xD9


@dataclass(frozen=True, slots=True)
class Header:
    """The format of an image and its size in pixels."""

    kind: str
    width: int
    height: int


class NotAnImage(ValueError):
    """Why bytes are none of the four formats; becomes BadImage, which knows the record."""


def read_header(data: bytes) -> Header:
    """Return what the bytes say of themselves. Raises NotAnImage for other formats and for ones that break off."""
    for magic, kind, read in _FORMATS:
        if data.startswith(magic):
            width, height = read(data)
            if not (width and height):
                raise NotAnImage(f"a {kind} of {width} by {height} pixels has none")
            return Header(kind, width, height)
    raise NotAnImage("the bytes are no JPEG, PNG, WebP or BMP")


def _jpeg(data: bytes) -> tuple[int, int]:
    if data.count(b"\xff\xda") > MAX_SCANS:
        raise NotAnImage(f"a JPEG of more than {MAX_SCANS} scans is not taken")
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise NotAnImage("the JPEG breaks off before its end")
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if not 0 <= at < len(data) - 1:
            raise NotAnImage("the JPEG breaks off before its size")
        marker, at = data[at + 1], at + 1
        if marker in {0x00, 0xFF}:
            continue  # stuffing and fill bytes
        at += 1
        if marker in _NO_LENGTH:
            continue
        if marker in {_START_OF_SCAN, _END}:
            raise NotAnImage("the JPEG has no frame")
        if marker in _FRAMES:
            return _number(data, at + 5, 2, "big"), _number(data, at + 3, 2, "big")
        at += max(2, _number(data, at, 2, "big"))


def pixels_alone(data: bytes) -> bytes:
    """Return a PNG without the chunks that say something besides its pixels. Raises NotAnImage where it breaks off.

    Decoders unpack profiles, texts and further frames, and complain of them on stderr by the names that stand in them.
    """
    found: list[bytes | memoryview] = [data[:8]]
    at, picture = 8, memoryview(data)
    for _ in range(MAX_CHUNKS):
        size, kind = _number(data, at, 4, "big"), data[at + 4 : at + 8]
        end = at + 12 + size
        if end > len(data):
            raise NotAnImage("the PNG breaks off in a chunk")
        if kind in _PIXEL_CHUNKS:
            found.append(picture[at:end])
        if kind == b"IEND":
            return b"".join(found)
        at = end
    raise NotAnImage(f"a PNG of more than {MAX_CHUNKS} chunks is not taken")


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or data.rfind(b"IEND") < 0:
        raise NotAnImage("the PNG breaks off before its end")
    return _number(data, 16, 4, "big"), _number(data, 20, 4, "big")


def _webp(data: bytes) -> tuple[int, int]:
    if data[8:12] != b"WEBP" or len(data) < 8 + _number(data, 4, 4, "little"):
        raise NotAnImage("the WebP breaks off before its end")
    form = data[12:16]
    if form == b"VP8X":
        return 1 + _number(data, 24, 3, "little"), 1 + _number(data, 27, 3, "little")
    if form == b"VP8L":
        bits = _number(data, 21, 4, "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        return _number(data, 26, 2, "little") & 0x3FFF, _number(data, 28, 2, "little") & 0x3FFF
    raise NotAnImage("the WebP has no picture")


def _bmp(data: bytes) -> tuple[int, int]:
    if _number(data, 14, 4, "little") == 12:
        return _number(data, 18, 2, "little"), _number(data, 20, 2, "little")
    width, height = (int.from_bytes(_cut(data, at, 4), "little", signed=True) for at in (18, 22))
    if width < 0:
        raise NotAnImage("the BMP has a negative width")
    return width, abs(height)  # a negative height: rows from above


def _number(data: bytes, at: int, size: int, order: str) -> int:
    return int.from_bytes(_cut(data, at, size), "big" if order == "big" else "little")


def _cut(data: bytes, at: int, size: int) -> bytes:
    if len(data) < at + size:
        raise NotAnImage("the image breaks off in its header")
    return data[at : at + size]


_FORMATS: Final[tuple[tuple[bytes, str, Callable[[bytes], tuple[int, int]]], ...]] = (
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"RIFF", "WebP", _webp),
    (b"BM", "BMP", _bmp),
)
