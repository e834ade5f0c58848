"""Versions are folders whose names are numbers; the latest are wanted. World: lists one folder.

Source: spec `model-server.md` section 7. A fingerprint of names, sizes and times tells whether a folder that could not
be loaded has changed since, so that a half-copied version is tried again when its copy ends and not before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NUMBER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64: Final = range(-(2**63), 2**63)
MAX_ENTRIES: Final = 20_000

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that lies in the base folder."""

    version: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Listing:
    """What a base folder holds, highest version first, and what is odd about it."""

    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...]


def list_versions(base: Path, *, model: str) -> Listing:
    """List the versions below `base`. A folder that is not there is an empty listing with a warning."""
    try:
        with os.scandir(base) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        return Listing((), (f"Could not find base path {base} for servable {model} with error {reason}",))
    return _parse(base, names, model)


def latest(candidates: Sequence[Candidate], count: int = 1) -> tuple[Candidate, ...]:
    """Return the `count` highest versions: the default policy of TensorFlow Serving."""
    return tuple(candidates[: max(count, 1)])


def fingerprint(folder: Path) -> Fingerprint:
    """Return names, sizes and modification times of the files below `folder`; empty where it cannot be read."""
    found: list[tuple[str, int, int]] = []
    try:
        for seen, (parent, folders, files) in enumerate(os.walk(folder)):
            folders.sort()
            for name in sorted(files):
                path = Path(parent, name)
                status = path.lstat()
                found.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
            if len(found) + seen > MAX_ENTRIES:
                break
    except OSError:
        return ()
    return tuple(found)


def _parse(base: Path, names: Iterable[str], model: str) -> Listing:
    found: dict[int, str] = {}
    warnings = []
    for name in names:
        number = int(name) if _NUMBER.fullmatch(name) and len(name) <= 40 else None
        if number is None or number not in _INT64:
            continue
        if number in found:
            warnings.append(f"{model}: {found[number]!r} and {name!r} are both version {number}; {name!r} is used")
        found[number] = name  # names are sorted: the last one wins
    if not found:
        warnings.append(
            f"No versions of servable {model} found under base path {base}. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?"
        )
    ordered = sorted(found, reverse=True)
    return Listing(tuple(Candidate(number, base / found[number]) for number in ordered), tuple(warnings))
