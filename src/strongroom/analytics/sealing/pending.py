"""The note that a commit leaves while it goes on: which files may be there, or no longer, beside those of the manifest.

It is not authenticated and need not be: it can hide a file that is in no manifest, which nobody reads, and no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from strongroom.analytics.sealing.folder import Folder
from strongroom.datasets.manifest import MAX_BYTES, BadDataManifest
from strongroom.datasets.paths import BadDataPath, check_data_path
from strongroom.wire import strict_json

FILE_NAME: Final = "_strongroom.pending.json"


def read_pending(folder: Folder) -> frozenset[str]:
    """Return the paths that a commit is adding or removing, or was when it was cut off. Raises BadDataManifest."""
    try:
        data = folder.read(FILE_NAME, limit=MAX_BYTES)
    except FileNotFoundError:
        return frozenset()
    paths = strict_json.loads(data, what="a commit's note", error=BadDataManifest, max_bytes=MAX_BYTES, max_depth=1)
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadDataManifest(f"{FILE_NAME} of {folder} is no list of paths")
    try:
        return frozenset(check_data_path(path) for path in paths)
    except BadDataPath as problem:
        raise BadDataManifest(problem.sentence) from None


def write_pending(folder: Folder, paths: Iterable[str]) -> None:
    """Say which files a commit is about to add or remove."""
    folder.replace(FILE_NAME, json.dumps(sorted(paths)).encode())


def end_pending(folder: Folder) -> None:
    """Take the note away."""
    folder.remove(FILE_NAME)
