"""The note that a commit leaves while it goes on: which files may be there, or no longer, beside those of the manifest.

It is not authenticated and need not be: it can hide a file that is in no manifest, which nobody reads, and no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from strongroom.analytics.sealing.folder import Place
from strongroom.datasets.manifest import MAX_BYTES, BadDataManifest
from strongroom.datasets.paths import BadDataPath, check_data_path
from strongroom.wire import strict_json

FILE_NAME: Final = "_strongroom.pending.json"
STAGING: Final = "_strongroom-"  # where new files wait: a note, which no reader looks at
_STAGING_NAME: Final = re.compile(rf"{STAGING}[A-Za-z0-9-]{{1,64}}", re.ASCII)
_FIELDS: Final = frozenset({"comes", "goes", "staging"})


@dataclass(frozen=True, slots=True)
class Pending:
    """What a commit brings and takes away, and where its files waited; empty where none is under way."""

    comes: frozenset[str] = field(default=frozenset())
    goes: frozenset[str] = field(default=frozenset())
    staging: str = ""

    @property
    def paths(self) -> frozenset[str]:
        """Everything that it names."""
        return self.comes | self.goes

    def left(self, listed: Collection[str], *, counted: bool) -> frozenset[str]:
        """Return what a commit that was cut off has left. `listed`: by the manifest; `counted`: there is one.

        Before the first manifest counts, what goes still is what somebody has there.
        """
        return (self.paths if counted else self.comes) - frozenset(listed)


NOTHING: Final = Pending()


def staging_name(job: str) -> str:
    """Return the folder where the files of a job (hexadecimal digits) wait for their commit."""
    return f"{STAGING}{job}"


def read_pending(folder: Place) -> Pending:
    """Return what a commit is doing, or was when it was cut off. Raises BadDataManifest."""
    try:
        data = folder.read(FILE_NAME, limit=MAX_BYTES)
    except FileNotFoundError:
        return NOTHING
    body = strict_json.loads(data, what="a commit's note", error=BadDataManifest, max_bytes=MAX_BYTES, max_depth=2)
    if not isinstance(body, dict) or body.keys() != _FIELDS or not isinstance(body["staging"], str):
        raise BadDataManifest(f"{FILE_NAME} of {folder} is no commit's note")
    if body["staging"] and not _STAGING_NAME.fullmatch(body["staging"]):
        raise BadDataManifest(f"{FILE_NAME} of {folder} names no folder of a commit")
    return Pending(_paths(body["comes"]), _paths(body["goes"]), body["staging"])


def write_pending(folder: Place, pending: Pending) -> None:
    """Say what a commit is about to do."""
    body = {"comes": sorted(pending.comes), "goes": sorted(pending.goes), "staging": pending.staging}
    folder.replace(FILE_NAME, json.dumps(body).encode())


def end_pending(folder: Place) -> None:
    """Take the note away."""
    folder.remove(FILE_NAME)


def _paths(rows: object) -> frozenset[str]:
    if not isinstance(rows, list) or not all(isinstance(path, str) for path in rows):
        raise BadDataManifest(f"{FILE_NAME} has lists of paths")
    try:
        return frozenset(check_data_path(path) for path in rows)
    except BadDataPath as problem:
        raise BadDataManifest(problem.sentence) from None
