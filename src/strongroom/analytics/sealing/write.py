"""Write a sealed data set: files under no name of theirs, then the manifest, then nothing else.

World: the folder and the keys. Files wait in a hidden folder until they are committed (commit.py). Tasks of a job write
with `stage` where the driver has made a `DatasetWriter`, and hand back what it adopts; others may write below `staging`
by themselves, to be adopted from there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from strongroom import sealing
from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.commit import DataSetThere, commit, following, fresh_staging, present, there
from strongroom.analytics.sealing.folder import Folder, LocalFolder, as_folder
from strongroom.analytics.sealing.read import PIECE_BYTES, Progress, read_manifest
from strongroom.analytics.sealing.stream import SealedWriter
from strongroom.datasets.manifest import FileEntry, Kind, Manifest, Pins
from strongroom.datasets.names import check_key_name
from strongroom.datasets.paths import check_data_path
from strongroom.errors import BadInput
from strongroom.secret import Secret


class DataSetDiffers(BadInput):
    """What is to be appended has another kind, name or primary key than the data set that is there."""

    code = "SR-DATA-DIFFERS"
    fix = "Append with the kind, name and key that strongroom data inspect shows, or write another data set."


class Mode(StrEnum):
    """What becomes of what is there."""

    NEW = "new"
    APPEND = "append"
    OVERWRITE = "overwrite"


class DatasetWriter:
    """One commit to a data set; a context manager that leaves nothing behind unless `commit` was called.

    `key` names a primary key. Appending keeps the data key, overwriting makes a fresh one. Raises DataSetThere,
    DataSetDiffers, KeyNotGranted, and as OpenDataset where there is a data set.
    """

    def __init__(
        self, place: str | os.PathLike[str] | Folder, keys: KeyService, *, name: str, key: str, kind: Kind,
        mode: Mode = Mode.NEW, now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self.folder: Final = as_folder(place)
        self.staging: Final = fresh_staging()
        self._now: Final = now
        self._before: Final = _present(self.folder, keys, mode)
        self._files: Final[dict[str, tuple[FileEntry, str]]] = {}  # stored path -> entry, below which folder it waits
        self._taken: Final = {entry.path for entry in self._before.files} if self._before is not None else set()
        self._kept: Final = self._before.files if self._before is not None and mode is Mode.APPEND else ()
        if mode is Mode.APPEND and self._before is not None:
            _check_same(self._before, name=name, key=key, kind=kind)
            self.data_key = keys.unwrap(self._before.key_id, self._before.wrapped_data_key)
            self._draft = self._before
        else:
            fresh = keys.new_data_key(check_key_name(key))
            self.data_key = fresh.plain
            self._draft = Manifest(
                name=name, kind=kind, generation=1, key_id=fresh.key_id,
                wrapped_data_key=fresh.wrapped, files=(), created=now().replace(microsecond=0),
            )  # fmt: skip

    @property
    def wrapped(self) -> tuple[str, str]:
        """The key id and the wrapped data key, for tasks elsewhere that may ask for the key themselves."""
        return str(self._draft.key_id), self._draft.wrapped_data_key

    def add(self, source: Path, stored_path: str, *, progress: Progress | None = None) -> FileEntry:
        """Seal a plain file of this machine; large ones on all cores. Raises DataSetThere, BadDataPath, NotAFile."""
        self._check_free(stored_path)
        if not isinstance(self.folder, LocalFolder):
            return self._add_in_pieces(source, stored_path, progress)
        at = f"{self.staging}/{stored_path}"
        target = self.folder.path / at
        target.parent.mkdir(parents=True, exist_ok=True)
        summary = sealing.encrypt_file(source, target, self.data_key, stored_path=stored_path, progress=progress)
        entry = FileEntry(stored_path, target.stat().st_size, summary.pin)
        self.adopt(entry, at=at)
        return entry

    def create(self, stored_path: str) -> SealedWriter:
        """Return a stream to be sealed; what its `finish` returns is for `adopt` with `staged(path)`."""
        self._check_free(stored_path)
        return stage(self.folder, self.staged(stored_path), self.data_key, stored_path=stored_path)

    def staged(self, stored_path: str) -> str:
        """Return where a file of this commit waits."""
        return f"{self.staging}/{stored_path}"

    def adopt(self, entry: FileEntry, *, at: str) -> None:
        """Take a file that was written by a task. `at`: where it lies, its path below some folder of `staging`."""
        self._check_free(entry.path)
        below = at.removesuffix(f"/{entry.path}")
        if below == at or not f"{below}/".startswith(f"{self.staging}/"):
            raise ValueError(f"{at} is not {entry.path} below {self.staging}")
        self._files[entry.path] = (entry, below)

    def commit(self, *, schema: str = "") -> Manifest:
        """Make the files and the manifest count, all of them or none. Raises as `commit.commit`."""
        before = self._before
        files = tuple(sorted([*self._kept, *(entry for entry, _ in self._files.values())]))
        draft = following(replace(self._draft, files=files, created=self._now().replace(microsecond=0)), before)
        if schema:
            draft = draft.with_schema(schema, self.data_key)
        manifest = draft.authenticated(self.data_key)
        staged: dict[str, list[str]] = {}
        for path, (_, below) in self._files.items():
            staged.setdefault(below, []).append(path)
        commit(self.folder, before, manifest, staged, staging=self.staging)
        self.close()
        return manifest

    def abort(self) -> None:
        """Leave nothing of this."""
        self.folder.remove(self.staging)
        self.close()

    def close(self) -> None:
        """Forget the data key."""
        self.data_key.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if len(self.data_key):  # neither committed nor aborted
            self.abort()

    def _add_in_pieces(self, source: Path, stored_path: str, progress: Progress | None) -> FileEntry:
        total, done = source.stat().st_size, 0
        with source.open("rb") as plain, self.create(stored_path) as sealed:
            while piece := plain.read(PIECE_BYTES):
                sealed.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, total)
            entry = sealed.finish()
        self.adopt(entry, at=self.staged(stored_path))
        return entry

    def _check_free(self, path: str) -> None:
        check_data_path(path)
        if path in self._files or path in self._taken:
            raise DataSetThere(f"{path} is in data set {self._draft.name} already")


def stage(folder: Folder, at: str, data_key: Secret, *, stored_path: str) -> SealedWriter:
    """Begin a sealed file at `at`, bound to the path that a commit will move it to."""
    draft = folder.create(at)
    try:
        return SealedWriter(draft, data_key, stored_path=check_data_path(stored_path))
    except BaseException:
        draft.discard()
        raise


def _present(folder: Folder, keys: KeyService, mode: Mode) -> Manifest | None:
    """Return the manifest that a commit follows, once it was checked. Raises DataSetThere, and as OpenDataset."""
    if mode is Mode.NEW and there(folder) is not None:
        raise DataSetThere(f"{folder} holds data set {read_manifest(folder).name} already")
    return present(folder, keys)


def _check_same(there: Manifest, *, name: str, key: str, kind: Kind) -> None:
    seen, wanted = (there.name, there.key_id.name, there.kind, there.pins), (name, key, kind, Pins.NODE0)
    if seen != wanted:
        raise DataSetDiffers(
            f"data set {there.name} is {there.kind} under key {there.key_id.name}, not {name}, {kind} under {key}"
        )
