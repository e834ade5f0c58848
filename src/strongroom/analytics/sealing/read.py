"""Open a sealed data set: the manifest first, then which files there are, then each file before its first byte.

World: the folder and the keys. What was verified is said by names: a file that is opened has the node 0 that was
committed, and every further node is verified under it before a byte of it is handed out.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.checked import CheckedReader
from strongroom.analytics.sealing.folder import Folder, LocalFolder, Place, Stored, as_folder
from strongroom.analytics.sealing.pending import read_pending
from strongroom.datasets import manifest as manifests
from strongroom.datasets.manifest import DataFilesChanged, FileEntry, Manifest, Pins, parse_manifest
from strongroom.errors import BadInput, Refused, StrongroomError
from strongroom.sealing import (
    NotASealedFile,
    SealedReader,
    Truncated,
    UnknownVersion,
    WrongPin,
    open_source,
    parse_header,
)
from strongroom.sealing.layout import NODE_BYTES
from strongroom.secret import Secret

PIECE_BYTES: Final = 1024 * 1024
LOOKS: Final = 3  # as often as others commit just then
Progress = Callable[[int, int], None]  # bytes done, bytes in all


class NoDataSet(BadInput):
    """A folder holds no data set: without a manifest, nobody can tell whether its files are those that were written."""

    code = "SR-DATA-SET"
    fix = "Name the folder that has _strongroom.json (strongroom data seal makes one); plain files: mode plain_text."


class OtherDataSet(Refused):
    """A folder holds another data set than the one asked for: other name, kind, way of encryption or primary key."""

    code = "SR-DATA-OTHER"
    fix = "Check path, name, key and mode; strongroom data inspect shows what the folder says it is."


class OpenDataset:
    """A data set whose manifest and list of files were verified when this was made.

    Raises NoDataSet, BadDataManifest, KeyNotGranted, UnknownKeyVersion, WrappedKeyRefused, DataManifestForged,
    DataSetOld, DataFilesChanged.
    """

    def __init__(self, place: str | os.PathLike[str] | Folder, keys: KeyService, *, min_generation: int = 0) -> None:
        self.folder: Final = as_folder(place)
        found = check_whole(self.folder, keys, lambda manifest: manifest.check_generation(min_generation))
        self.manifest: Final = found[0]
        self.data_key: Final = found[1]

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The files, by path."""
        return self.manifest.files

    @property
    def schema(self) -> str:
        """The schema (DDL) that was written with the data, empty where there is none. Raises DataManifestForged."""
        return self.manifest.schema(self.data_key)

    def open(self, path: str) -> io.RawIOBase:
        """Return one file as a binary stream that can seek. Raises as `open_entry`, or DataFilesChanged."""
        return open_entry(self.folder, self.manifest.entry(path), self.data_key, pins=self.manifest.pins)

    def verify(self, progress: Progress | None = None) -> None:
        """Read every byte of every file and hand none out. Raises as `open` does, and what is wrong with a node."""
        for entry, heard in steps(self.files, progress):
            copy_entry(self, entry.path, heard)

    def close(self) -> None:
        """Forget the data key."""
        self.data_key.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_whole(place: Place, keys: KeyService, check: Callable[[Manifest], object]) -> tuple[Manifest, Secret]:
    """Return a data set's manifest and data key; `check`: what else it has to be. Raises as OpenDataset, and `check`.

    Whoever looks while somebody commits finds the files of two generations, and looks again.
    """
    for left in reversed(range(LOOKS)):
        # 1. The manifest has its form, and its data key opens under a primary key that we were given.
        manifest = read_manifest(place)
        data_key = keys.unwrap(manifest.key_id, manifest.wrapped_data_key)
        # 2. Who had the data key wrote it, and it is what was asked for, and not older.
        manifest.check(data_key)
        check(manifest)
        # 3. These files and no others are there.
        try:
            check_listing(place, manifest)
        except DataFilesChanged:
            if not left or read_manifest(place).mac == manifest.mac:
                raise
        else:
            break
    return manifest, data_key


def check_named(manifest: Manifest, *, key: str, name: str) -> None:
    """Raise OtherDataSet unless a data set is under the primary key, and has the name, that was asked for, if any."""
    if key and manifest.key_id.name != key:
        raise OtherDataSet(f"data set {manifest.name} is under primary key {manifest.key_id.name}, not {key}")
    if name and manifest.name != name:
        raise OtherDataSet(f"the folder holds data set {manifest.name}, asked for is {name}")


def read_manifest(place: str | Path | Place) -> Manifest:
    """Return a folder's manifest; nothing in it counts before it was checked. Raises NoDataSet, BadDataManifest."""
    folder = LocalFolder(place) if isinstance(place, str | Path) else place
    try:
        return parse_manifest(folder.read(manifests.FILE_NAME, limit=manifests.MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        raise NoDataSet(f"{folder} has no {manifests.FILE_NAME}") from None


def check_listing(folder: Place, manifest: Manifest) -> None:
    """Raise DataFilesChanged unless the folder has the manifest's files and no others, each of its size."""
    sizes, listed = folder.sizes(), {entry.path for entry in manifest.files}
    if sizes.keys() - listed:  # a commit may be under way, or was cut off
        going = read_pending(folder).paths - listed
        sizes = {path: size for path, size in sizes.items() if path not in going}
    manifest.check_listing(sizes)


def open_entry(folder: Folder, entry: FileEntry, data_key: Secret, *, pins: Pins) -> io.RawIOBase:
    """Return one file of a manifest, as `open_sealed` does; a Parquet file is read through before its first byte."""
    return open_sealed(folder, entry, data_key) if pins is Pins.NODE0 else open_pinned_file(folder, entry)


def open_pinned_file(folder: Folder, entry: FileEntry) -> CheckedReader:
    """Return one file of a manifest that pins all of its bytes. Raises DataFilesChanged, now or when it is read."""
    return CheckedReader(_open(folder, entry), entry)


def open_sealed(folder: Folder, entry: FileEntry, data_key: Secret) -> SealedReader:
    """Return one sealed file of a manifest that was checked, for whoever has the data key: a task of a job, say.

    Raises DataFilesChanged where it is another file or an older one, and what is wrong with its nodes.
    """
    stored = _open(folder, entry)
    try:
        _check_clear_part(stored, entry)
        return open_source(stored, data_key, stored_path=entry.path, pin=entry.pin, strict=True, close=stored.close)
    except (WrongPin, NotASealedFile, Truncated, UnknownVersion):
        stored.close()
        raise DataFilesChanged(f"{entry.path} is not the file that was written, or an older one") from None
    except StrongroomError as problem:
        stored.close()
        raise named(problem, entry.path) from None
    except BaseException:
        stored.close()
        raise


def _check_clear_part(stored: Stored, entry: FileEntry) -> None:
    """Hold flags and padding of node 0, which neither its tag nor its pin covers, to what our writers write."""
    node0 = bytearray(NODE_BYTES)
    header = parse_header(bytes(node0[: stored.read_into(memoryview(node0), 0)]), length=stored.size)
    if header.flags or not header.padding_zero:
        raise DataFilesChanged(f"{entry.path} is not the file that was written: its first block was changed")


def copy_entry(dataset: OpenDataset, path: str, *take: Callable[[memoryview], object]) -> int:
    """Hand all verified bytes of a file to each of `take`, piece by piece, and return how many; errors name it."""
    done = 0
    with dataset.open(path) as stream:
        try:
            if isinstance(stream, SealedReader):
                for piece in stream.pieces(stream.size):
                    done += len(piece)
                    _give(piece, take)
                return done
            room = memoryview(bytearray(PIECE_BYTES))
            while got := stream.readinto(room) or 0:
                done += got
                _give(room[:got], take)
        except StrongroomError as problem:
            raise named(problem, path) from None
    return done


def _give(piece: memoryview, take: Sequence[Callable[[memoryview], object]]) -> None:
    for each in take:
        each(piece)


def steps(
    files: Sequence[FileEntry], progress: Progress | None
) -> Iterator[tuple[FileEntry, Callable[[memoryview], object]]]:
    """Yield every file with what is to hear of each of its pieces, so that `progress` counts through all files."""
    before, total = 0, manifests.total_bytes(files)
    for entry in files:
        done = 0

        def heard(piece: memoryview, entry: FileEntry = entry, before: int = before) -> None:
            nonlocal done
            done = min(done + len(piece), entry.size)  # plain bytes, of which there are a few less
            if progress is not None:
                progress(before + done, total)

        yield entry, heard
        before += entry.size
        if progress is not None:
            progress(before, total)


def named(problem: StrongroomError, path: str) -> StrongroomError:
    """Return an error of a file with the file's path before it."""
    return type(problem)(f"{path}: {problem.sentence}", fix=problem.fix)


def _open(folder: Folder, entry: FileEntry) -> Stored:
    try:
        stored = folder.open(entry.path)
    except FileNotFoundError:
        raise DataFilesChanged(f"{entry.path} is missing") from None
    if stored.size != entry.size:
        size = stored.size
        stored.close()
        raise DataFilesChanged(f"{entry.path} has {size} bytes instead of {entry.size}")
    return stored
