"""Where data sets of Spark lie: a folder of this machine, or of any file system that Arrow reaches (HDFS, S3, …).

World: file systems. Object stores have no lock: of two jobs that commit to one folder at the same moment, the later
one finds the other's generation there and gives up, unless both look in the same instant.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote, urlsplit

from strongroom.analytics.sealing.folder import Draft, Folder, LocalFolder, Stored
from strongroom.analytics.source.faults import BadDataPlace
from strongroom.datasets.manifest import MAX_FILES, DataFilesChanged
from strongroom.datasets.paths import is_note
from strongroom.pki.disk import FileTooLong

if TYPE_CHECKING:
    import pyarrow as pa

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SAME: Final = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}  # Hadoop's name -> Arrow's
_HADOOP: Final = frozenset({"hdfs", "viewfs"})
_REMOTE: Final = _HADOOP | {"s3", "gs", "abfs", "abfss"}
_HADOOP_FIX: Final = "Set JAVA_HOME, HADOOP_HOME and CLASSPATH (hadoop classpath --glob) for every process of the job."


def folder_of(path: str) -> Folder:
    """Return the folder of a path or address as Hadoop writes them. Raises BadDataPlace."""
    match = _SCHEME.match(path)
    if match is None:
        return LocalFolder(Path(path).absolute())
    try:
        parts = urlsplit(path)
    except ValueError:
        raise BadDataPlace("an address cannot be read") from None
    if parts.username is not None or parts.password is not None:
        raise BadDataPlace(f"an address of {parts.scheme}: holds a user or a password")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise BadDataPlace("file: names files of this machine alone")
        return LocalFolder(unquote(parts.path))
    scheme = _SAME.get(parts.scheme, parts.scheme)
    if scheme not in _REMOTE:
        raise BadDataPlace(f"data sets are not read from {parts.scheme[:20]}:")
    if not parts.netloc and scheme not in _HADOOP:  # hdfs:/x is on Hadoop's own default
        raise BadDataPlace(f"an address of {scheme}: names no bucket or container")
    return ArrowFolder(scheme + path[match.end(1) :])


class ArrowFolder:
    """A folder of a file system that pyarrow knows by its address. It travels between processes as this."""

    def __init__(self, address: str) -> None:
        from pyarrow import fs  # an extra: not before it is used

        self.address: Final = address
        try:
            self._system, base = fs.FileSystem.from_uri(address)
        except (OSError, ValueError, NotImplementedError) as problem:
            scheme = urlsplit(address).scheme
            sentence = f"{scheme}: cannot be reached: {_first_line(problem)}"
            raise BadDataPlace(sentence, fix=_HADOOP_FIX if scheme in _HADOOP else None) from None
        self._base: Final = base.rstrip("/")

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """Travel as the address."""
        return type(self), (self.address,)

    def __str__(self) -> str:
        return self.address.partition("?")[0]

    def sizes(self) -> dict[str, int]:
        """Return path -> bytes of every file below but notes. Raises DataFilesChanged for too many."""
        from pyarrow import fs

        found = {}
        selector = fs.FileSelector(self._base, allow_not_found=True, recursive=True)
        for each in self._system.get_file_info(selector):
            path = each.path.removeprefix(self._base).lstrip("/")
            if each.type == fs.FileType.File and not is_note(path):
                found[path] = each.size
            if len(found) > MAX_FILES:
                raise DataFilesChanged(f"{self} has more than {MAX_FILES} files")
        return found

    def read(self, path: str, *, limit: int) -> bytes:
        """Return a small file. Raises FileNotFoundError, FileTooLong."""
        with self._system.open_input_file(self._place(path)) as stream:
            if stream.size() > limit:
                raise FileTooLong(f"{self}/{path} has more than {limit} bytes")
            return bytes(stream.read(limit))

    def open(self, path: str) -> Stored:
        """Open a file. Raises FileNotFoundError."""
        return _ArrowStored(self._system.open_input_file(self._place(path)))

    def make(self, path: str) -> None:
        """Make a folder in it, with a note that says so: any file that is put there later makes a folder, too."""
        self._system.create_dir(self._place(path), recursive=True)
        self._write(self._place(f"{path}/{_MADE}"), b"")

    def create(self, path: str, *, folders: bool = True) -> Draft:
        """Begin a file, which is kept in memory until it is committed: object stores take files whole."""
        draft = _ArrowDraft(self, path, folders)
        draft.check()
        return draft

    def check_made(self, path: str) -> None:
        """Raise FileNotFoundError where no folder was made, or was removed since."""
        from pyarrow import fs

        if self._system.get_file_info(self._place(f"{path}/{_MADE}")).type == fs.FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, "it was removed", f"{self}/{path}")

    def replace(self, path: str, data: bytes | bytearray, *, folders: bool = True) -> None:
        """Write a file in one step, over what is there: in place where that is one step, by renaming elsewhere."""
        place = self._place(path)
        if folders:
            self._system.create_dir(place.rpartition("/")[0], recursive=True)
        if self._system.type_name in _WHOLE:
            self._write(place, data)
            return
        name = place.rpartition("/")[2]
        draft = f"{place.rpartition('/')[0]}/_{name}.{os.urandom(8).hex()}"
        self._write(draft, data)
        self._system.move(draft, place)

    def take(self, below: str, paths: Sequence[str]) -> None:
        """Move files from a folder in it to the same paths in itself. Raises FileExistsError for one that is taken."""
        from pyarrow import fs

        for path in paths:
            target = self._place(path)
            if self._system.get_file_info(target).type != fs.FileType.NotFound:
                raise FileExistsError(f"{self}/{path} is there already")
            self._system.create_dir(target.rpartition("/")[0], recursive=True)
            self._system.move(self._place(f"{below}/{path}"), target)

    def sync(self, paths: Sequence[str]) -> None:
        """Do nothing: what these file systems have closed is durable, as far as they know."""

    def remove(self, *paths: str) -> None:
        """Remove files, and folders with all below them; what is not there counts as removed.

        The note that a folder was made goes first: who has written a file and finds the note has written it before the
        files to remove are listed, and who does not removes what he has written (`_ArrowDraft.commit`).
        """
        from pyarrow import fs

        for path in paths:
            place = self._place(path)
            kind = self._system.get_file_info(place).type
            with suppress(FileNotFoundError):  # somebody else was faster
                if kind == fs.FileType.Directory:
                    self.remove(f"{path}/{_MADE}")
                    self._system.delete_dir(place)
                elif kind != fs.FileType.NotFound:
                    self._system.delete_file(place)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold nobody off: these file systems have no locks."""
        yield

    def _place(self, path: str) -> str:
        return f"{self._base}/{path}"

    def _write(self, place: str, data: bytes | bytearray) -> None:
        with self._system.open_output_stream(place) as stream:
            stream.write(data)


_MADE: Final = "_made"
_WHOLE: Final = frozenset({"s3", "gcs", "abfs"})  # a file is there whole or not at all, and a move is a copy


class _ArrowStored:
    """An open file of Arrow's."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream: Final = stream
        self.size: Final[int] = stream.size()

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` from `offset` on."""
        piece = self._stream.read_at(max(0, min(len(room), self.size - offset)), offset)
        room[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Close it."""
        self._stream.close()


class _ArrowDraft:
    """A new file, in memory."""

    def __init__(self, folder: ArrowFolder, path: str, folders: bool) -> None:
        self._folder: Final = folder
        self._path: Final = path
        self._needs: Final = "" if folders else path.rpartition("/")[0]
        self._data = bytearray()

    def check(self) -> None:
        """Raise FileNotFoundError where the folder that has to be there is not."""
        if self._needs:
            self._folder.check_made(self._needs)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Keep `data` at `offset`; a gap is filled with zeros."""
        if len(self._data) < offset:
            self._data.extend(bytes(offset - len(self._data)))
        self._data[offset : offset + len(data)] = data

    def commit(self) -> None:
        """Write it under its name. Raises FileNotFoundError."""
        self.check()
        self._folder.replace(self._path, self._data, folders=not self._needs)
        self.discard()
        try:
            self.check()
        except FileNotFoundError:
            self._folder.remove(self._needs)  # it went meanwhile, and the file has brought it back
            raise

    def discard(self) -> None:
        """Let it vanish."""
        self._data = bytearray()


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [""])[0][:200]
