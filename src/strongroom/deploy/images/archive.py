"""Read an image's archive (docker-archive) layer by layer, without unpacking it: what is in each, and what remains.

World: one file. The archive comes from a builder on this machine; it is read with limits all the same.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from strongroom.errors import BadInput

MAX_JSON_BYTES: Final = 4 * 1024 * 1024
MAX_LAYERS: Final = 128
MAX_MEMBERS: Final = 1_000_000
_NO_TAR: Final = (
    tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, OverflowError, RecursionError
)  # fmt: skip
_GZIP: Final = b"\x1f\x8b"
WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"


class ArchiveMalformed(BadInput):
    """An image's archive is not what builders write (docker-archive)."""

    code = "SR-IMAGE-ARCHIVE"
    fix = "Build the image again with strongroom deploy build."


@dataclass(frozen=True, slots=True)
class Member:
    """A file of one layer: its path without a slash before it, its size in bytes, and its content on demand."""

    layer: int
    path: str
    size: int
    is_file: bool
    is_hard_link: bool
    link: str | None  # where a link leads
    open: Callable[[], IO[bytes]]


def configuration(archive: Path) -> dict[str, Any]:
    """Return an image's configuration: environment, entrypoint, labels, history. Raises ArchiveMalformed."""
    with _opened(archive) as outer:
        found: dict[str, Any] = _json(outer, _image(outer)["Config"])
        return found


def members(archive: Path) -> Iterator[Member]:
    """Yield everything in every layer, lowest first, deleted files too. Raises ArchiveMalformed."""
    with _opened(archive) as outer:
        layers = _image(outer)["Layers"]
        if len(layers) > MAX_LAYERS:
            raise ArchiveMalformed(f"{archive.name} has more than {MAX_LAYERS} layers")
        for number, name in enumerate(layers):
            stream = _stream(outer, name)
            try:
                yield from _layer(number, stream)
            except _NO_TAR as problem:
                raise ArchiveMalformed(f"layer {number} of {archive.name} is no tar: {problem}") from None


def remaining(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the content of the files that remain once all layers lie on each other, where `wanted` says so."""
    found: dict[str, bytes] = {}
    for member in members(archive):
        folder, _, name = member.path.rpartition("/")
        if name == OPAQUE:
            found = {path: each for path, each in found.items() if not path.startswith(f"{folder}/")}
        elif name.startswith(WHITEOUT):
            gone = f"{folder}/{name.removeprefix(WHITEOUT)}".removeprefix("/")
            found = {path: each for path, each in found.items() if path != gone and not path.startswith(f"{gone}/")}
        elif member.is_file and wanted(member.path):
            with member.open() as stream:
                found[member.path] = stream.read()
    return found


def _layer(number: int, stream: IO[bytes]) -> Iterator[Member]:
    stream = _plain(stream)
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    with tarfile.open(fileobj=stream, mode="r:") as layer:
        for counted, member in enumerate(layer):
            if counted > MAX_MEMBERS:
                raise ArchiveMalformed(f"layer {number} holds more than {MAX_MEMBERS} files")
            _check_bounds(member, size)
            path = member.name.removeprefix("./").strip("/")
            link = member.linkname if member.issym() or member.islnk() else None
            yield Member(number, path, member.size, member.isreg(), member.islnk(), link, _opener(layer, member))


def _plain(stream: IO[bytes]) -> IO[bytes]:
    """Return a layer's tar; docker may compress it."""
    is_compressed = stream.read(len(_GZIP)) == _GZIP
    stream.seek(0)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if is_compressed else stream


def _check_bounds(member: tarfile.TarInfo, size: int) -> None:
    """Refuse a file that would end behind its tar, or has holes, before any of it is read."""
    if member.size < 0 or member.offset_data + (member.size if member.isreg() else 0) > size or member.sparse:
        raise ArchiveMalformed(f"{member.name[:160]!r} is cut short")


def _opener(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        found = layer.extractfile(member)
        if found is None:
            raise ArchiveMalformed(f"{member.name[:160]!r} is no file")
        return found

    return opened


def _opened(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, mode="r:")
    except _NO_TAR as problem:
        raise ArchiveMalformed(f"{archive.name} is no tar: {problem}") from None


def _image(outer: tarfile.TarFile) -> dict[str, Any]:
    """Return the one image that an archive lists."""
    listed = _json(outer, "manifest.json")
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
        raise ArchiveMalformed("the archive does not list exactly one image")
    image = listed[0]
    layers = image.get("Layers")
    if not isinstance(image.get("Config"), str) or not isinstance(layers, list):
        raise ArchiveMalformed("the archive's list names no configuration or no layers")
    return image


def _json(outer: tarfile.TarFile, name: str) -> Any:  # noqa: ANN401  # as JSON has it
    with _stream(outer, name) as stream:
        content = stream.read(MAX_JSON_BYTES + 1)
    try:
        return json.loads(content[:MAX_JSON_BYTES])
    except (ValueError, RecursionError):
        raise ArchiveMalformed(f"{name[:80]} in the archive is not JSON") from None


def _stream(outer: tarfile.TarFile, name: object) -> IO[bytes]:
    """Return a member's content; layers of equal content may be links to each other."""
    try:
        member = outer.getmember(str(name))
        _check_bounds(member, Path(str(outer.name)).stat().st_size)
        found = outer.extractfile(member)
    except (KeyError, *_NO_TAR):
        found = None
    if found is None:
        raise ArchiveMalformed(f"{str(name)[:80]} is not in the archive")
    return found
