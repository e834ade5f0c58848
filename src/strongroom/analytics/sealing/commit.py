"""How the next generation of a data set takes its place: one way, for every writer and every file system.

World: the folder. New files wait below a folder that nobody reads. From the moment at which the manifest is replaced
the new generation counts, and not before: cut off anywhere, a commit leaves one generation or the next, and both are
whole. A note says what comes and goes meanwhile, so that readers look past it and the next commit clears it away.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.folder import Folder, Place
from strongroom.analytics.sealing.pending import Pending, end_pending, read_pending, staging_name, write_pending
from strongroom.analytics.sealing.read import NoDataSet, OpenDataset, check_listing
from strongroom.datasets import manifest as manifests
from strongroom.datasets.manifest import Manifest
from strongroom.errors import BadInput, Refused

_NO_FILES: Final[Mapping[str, Sequence[str]]] = {}


class DataSetThere(BadInput):
    """There is data where a new data set was to be written, or a file of that name is in it already."""

    code = "SR-DATA-SET-THERE"
    fix = "Choose another folder or name, or append (--append; in a program mode('append'), 'overwrite' or 'ignore')."


class CommittedMeanwhile(Refused):
    """Somebody else committed to the data set while this was being written; nothing of this was kept."""

    code = "SR-DATA-RACE"
    fix = "Write again: what is there now is whole."


def fresh_staging() -> str:
    """Return a new name for a folder where files wait for their commit."""
    return staging_name(secrets.token_hex(8))


def present(folder: Folder, keys: KeyService, *, min_generation: int = 0) -> Manifest | None:
    """Return the data set that a commit is to follow, once it was checked; None where the folder has no file.

    Nobody appends to what was tampered with, or hides that it was. Raises DataSetThere for files that are no data set,
    and as OpenDataset.
    """
    try:
        with OpenDataset(folder, keys, min_generation=min_generation) as opened:
            return opened.manifest
    except NoDataSet:
        if unlisted(folder):
            raise DataSetThere(f"{folder} holds files that are no data set") from None
        return None


def unlisted(place: Place) -> frozenset[str]:
    """Return the files of a folder without a manifest that somebody has there: none of a commit that was cut off."""
    return frozenset(place.sizes()) - read_pending(place).left((), counted=False)


def following(draft: Manifest, before: Manifest | None) -> Manifest:
    """Return a manifest as the generation after another one, or as the first."""
    if before is None:
        return replace(draft, generation=1, previous=b"")
    return replace(draft, generation=before.generation + 1, previous=before.mac)


def commit(
    place: Place, before: Manifest | None, after: Manifest, staged: Mapping[str, Sequence[str]] = _NO_FILES, *,
    staging: str = "", replaced: Collection[str] = (),
) -> None:  # fmt: skip
    """Let `after` take the place of `before` (None: of nothing), all of it or, where this raises, nothing of it.

    `staged`: folder where files wait -> their paths; `staging`: what to remove in the end; `replaced`: files that go
    although no manifest names them. Raises CommittedMeanwhile, DataSetThere, DataFilesChanged, or OSError kin.
    """
    old, new = _paths(before), _paths(after)
    fresh, others = frozenset(path for paths in staged.values() for path in paths), frozenset(replaced)
    with place.exclusive():
        # 1. There is what this commit began with, and what others left who were cut off.
        note = read_pending(place)
        left = note.left(old, counted=before is not None)
        _check_unchanged(place, before)
        _check_files(place, before, others, left)
        for path in sorted(fresh & (old | others)):
            raise DataSetThere(f"{path} is in data set {after.name} already")
        place.remove(*sorted(left & fresh))
        # 2. Readers and later commits are told what comes and goes.
        write_pending(place, Pending((new - old) | left, (old - new) | others, staging))
        try:
            # 3. The files get their names, and both are durable.
            for below, paths in staged.items():
                place.take(below, paths)
            place.sync(sorted(fresh))
            _check_unchanged(place, before)  # again: not every file system can hold others off
            # 4. From here on the new generation counts.
            place.replace(manifests.FILE_NAME, after.to_bytes())
        except BaseException:
            if there(place) != after.to_bytes():  # else it counts, whatever went wrong behind it
                place.remove(*sorted(fresh))
                _check_unchanged(place, before)  # who was faster has cleared away what this one needs
            raise
        # 5. Nobody needs the rest any more.
        place.remove(*sorted((old - new) | others | (left - new)), *filter(None, sorted({staging, note.staging})))
        end_pending(place)


def there(place: Place) -> bytes | None:
    """Return the bytes of a folder's manifest, None where there is none."""
    try:
        return place.read(manifests.FILE_NAME, limit=manifests.MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _check_unchanged(place: Place, before: Manifest | None) -> None:
    if there(place) != (None if before is None else before.to_bytes()):  # rewrapping changes bytes alone
        raise CommittedMeanwhile(f"{place} is of another generation by now")


def _check_files(place: Place, before: Manifest | None, others: frozenset[str], left: frozenset[str]) -> None:
    if before is not None:
        check_listing(place, before)
    elif frozenset(place.sizes()) - left != others:
        raise CommittedMeanwhile(f"other files came to {place} or went meanwhile")


def _paths(manifest: Manifest | None) -> frozenset[str]:
    return frozenset() if manifest is None else frozenset(entry.path for entry in manifest.files)
