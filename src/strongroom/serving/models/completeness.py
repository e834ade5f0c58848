"""Whether a version that lies in a folder is whole: nothing is loaded that is still being copied.

A plain version is whole when nothing that its model names is missing and two looks at it saw the same; a sealed one
when the owner's signed manifest says so. World: reads one version's folder. Source: spec `model-server.md` sections 7
and 11, threats KD-10.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message import DecodeError

from strongroom.bundles.manifest import MANIFEST, MAX_MANIFEST_BYTES, SIGNATURE, SIGNATURE_BYTES, open_signed
from strongroom.bundles.opening import check_complete
from strongroom.errors import StrongroomError
from strongroom.pki import disk
from strongroom.serving.models.versions import MAX_ENTRIES, Candidate, Fingerprint, fingerprint
from strongroom.tfserving.messages import SavedModel

LOOK_AGAIN_S: Final = 0.5  # between two looks at a folder that may be changing
QUIET_S: Final = 2.0  # a folder in which nothing changed for so long is taken at the first look
MAX_GRAPH_BYTES: Final = 2**31 - 1
STILL_CHANGING: Final = "it is still being written"
_INDEX: Final = "variables/variables.index"
_SHARD: Final = re.compile(r"variables/variables\.data-([0-9]{5})-of-([0-9]{5})", re.ASCII)
_VARIABLES: Final = frozenset({"VarHandleOp", "VariableV2", "Variable"})  # operations that a checkpoint fills
_MODELS: Final = ("model.onnx", "saved_model.pb", "model.xml")


class Gate(Protocol):
    """Lets versions through that are whole. Called outside the event loop, by one thread at a time."""

    def unfinished(self, candidate: Candidate) -> str | None:
        """Return what is missing of a version, None where it is whole."""


@dataclass(slots=True)
class _Seen:
    files: Fingerprint
    at: float
    missing: str | None = STILL_CHANGING
    decided: bool = False


@dataclass(slots=True)
class PlainGate:
    """Looks twice, and for the files that the model itself names."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _seen: dict[Path, _Seen] = field(default_factory=dict)

    def unfinished(self, candidate: Candidate) -> str | None:
        """Return what is missing of a version, None where it is whole and did not change between two looks."""
        files, now = fingerprint(candidate.folder), self.clock()
        seen = self._seen.get(candidate.folder)
        if seen is None or seen.files != files:
            seen = self._seen[candidate.folder] = _Seen(files, now)
        is_quiet = now - seen.at >= LOOK_AGAIN_S or self.wall() - last_change_s(candidate.folder) >= QUIET_S
        if not seen.decided and is_quiet:
            seen.missing, seen.decided = missing_of(candidate.folder, {path for path, _, _ in files}), True
        return seen.missing


@dataclass(slots=True)
class SealedGate:
    """Believes the owner's manifest; what does not fit it is left to the loader's refusal once nothing changes."""

    owner: Ed25519PublicKey
    plain: PlainGate = field(default_factory=PlainGate)

    def unfinished(self, candidate: Candidate) -> str | None:
        """Return that a bundle is still being written; None where it is complete, or does not change any more."""
        folder = candidate.folder
        try:
            manifest, signature = (
                disk.read_bounded(folder / name, limit=limit)
                for name, limit in ((MANIFEST, MAX_MANIFEST_BYTES), (SIGNATURE, SIGNATURE_BYTES))
            )
            check_complete(folder, open_signed(manifest, signature, owner=self.owner))
        except (StrongroomError, OSError):
            return STILL_CHANGING if self.plain.unfinished(candidate) == STILL_CHANGING else None
        return None


def last_change_s(folder: Path) -> float:
    """Return when something below `folder` changed last, in seconds since 1970; never earlier than it was."""
    newest, seen = 0.0, 0
    try:
        for parent, _, files in os.walk(folder):
            seen += 1 + len(files)
            if seen > MAX_ENTRIES:
                return float("inf")  # nobody's model: two looks at what `fingerprint` takes have to do
            for path in (Path(parent), *(Path(parent, name) for name in files)):
                status = path.lstat()
                newest = max(newest, status.st_ctime, status.st_mtime)
    except OSError:
        return float("inf")  # it is changing right now
    return newest


def missing_of(folder: Path, paths: Collection[str]) -> str | None:
    """Return what a plain version lacks, in words, or None. What cannot be read is left to the loader's refusal."""
    if not any(name in paths for name in _MODELS):
        return f"none of {', '.join(_MODELS)} is there yet"
    if "model.xml" in paths and "model.bin" not in paths and not {"model.onnx", "saved_model.pb"} & set(paths):
        return "model.bin is not there yet"
    if "saved_model.pb" not in paths:
        return None
    return missing_shards(paths) or _named(folder, paths)


def missing_shards(paths: Collection[str]) -> str | None:
    """Return which file of the variables is missing, judging by the names of the others."""
    shards = [match for path in paths if (match := _SHARD.fullmatch(path))]
    if not shards:
        return "variables/variables.data is not there yet" if _INDEX in paths else None
    there = {int(match[1]) for match in shards}
    for number in range(min(int(shards[0][2]), 100_000)):
        if number not in there:
            return f"variables/variables.data-{number:05d}-of-{shards[0][2]} is not there yet"
    return None if _INDEX in paths else f"{_INDEX} is not there yet"


def _named(folder: Path, paths: Collection[str]) -> str | None:
    """Return what the graph of a SavedModel names and is missing: its variables, or an asset."""
    try:
        model = SavedModel.FromString(disk.read_bounded(folder / "saved_model.pb", limit=MAX_GRAPH_BYTES))
    except (DecodeError, StrongroomError, OSError):
        return None
    for graph in model.meta_graphs:
        if _INDEX not in paths and any(node.op in _VARIABLES for node in graph.graph_def.node):
            return f"the graph has variables, and {_INDEX} is not there yet"
        for asset in graph.asset_file_def:
            if f"assets/{asset.filename}" not in paths:
                return f"assets/{asset.filename[:200]} is not there yet"
    return None
