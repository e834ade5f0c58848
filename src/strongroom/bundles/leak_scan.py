"""Look at what was written before anybody else does: sealed files and a signed manifest, and nothing readable.

World: reads the new bundle and its source. A finding is a defect of ours, so it stops the publication (KD-01, T1).
"""

from __future__ import annotations

import base64
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from strongroom.bundles.intake import CHUNK_BYTES, OVERLAP_BYTES, PRIVATE_KEY, SourceFile
from strongroom.bundles.listing import below
from strongroom.bundles.manifest import MANIFEST, SIGNATURE
from strongroom.errors import Refused
from strongroom.secret import Secret

CANARY_BYTES: Final = 32
MIN_CANARY_BYTES: Final = 12
CANARIES: Final = 8
MIN_DISTINCT: Final = 8  # runs of few different bytes say nothing
SEALED_MAGIC: Final = b"GRAFS_PF"


class LeakFound(Refused):
    """A bundle that was just written holds something readable; it was removed."""

    code = "SR-LEAK"
    fix = "Report this with the file's kind: nothing was published."


def check(folder: Path, sources: Sequence[SourceFile], key: Secret) -> None:
    """Raise `LeakFound` unless `folder` holds exactly the sealed `sources` and the manifest, none of it readable."""
    expected = {file.path for file in sources} | {MANIFEST, SIGNATURE}
    found = {path for path, information in below(folder) if not stat.S_ISDIR(information.st_mode)}
    if found != expected:
        raise LeakFound(f"the bundle should hold its files and nothing else; {sorted(found ^ expected)[:3]} differ")
    for file in sources:
        path = folder / file.path
        with path.open("rb") as stream:
            if stream.read(len(SEALED_MAGIC)) != SEALED_MAGIC:
                raise LeakFound(f"{file.path} is not sealed")
        search(path, [*canaries_of(file), *spellings(key)])
    for name in (MANIFEST, SIGNATURE):
        search(folder / name, spellings(key))  # no canaries: a model may well spell its tensors' names


def canaries_of(file: SourceFile) -> list[bytes]:
    """Return up to eight telling pieces of a source file; none of them may be found in what is published."""
    found = []
    with file.place.open("rb") as stream:
        for number in range(CANARIES):
            stream.seek(max(0, (file.size - CANARY_BYTES) * number // (CANARIES - 1)))
            piece = stream.read(CANARY_BYTES)
            if len(piece) >= MIN_CANARY_BYTES and len(set(piece)) >= MIN_DISTINCT:
                found.append(piece)
    return found


def spellings(key: Secret) -> list[bytes]:
    """Return the ways in which a key could stand in a file: raw, hex, base64."""
    with key.reveal() as raw:
        return [raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"=")]


def search(path: Path, needles: Sequence[bytes]) -> None:
    """Raise `LeakFound` if a private key or one of the needles stands in a file."""
    with path.open("rb") as stream:
        window = stream.read(CHUNK_BYTES)
        while window:
            if PRIVATE_KEY.search(window):
                raise LeakFound(f"{path.name} holds a private key")
            if any(needle in window for needle in needles):
                raise LeakFound(f"{path.name} holds plaintext or a key")
            fresh = stream.read(CHUNK_BYTES)
            window = window[-OVERLAP_BYTES:] + fresh if fresh else b""
