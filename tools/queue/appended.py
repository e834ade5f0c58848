"""Read a Redis' append-only files: what was really done, in order, whatever clients saw of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path


def commands(folder: Path) -> Iterator[list[bytes]]:
    """Yield every command in `appendonlydir`, the files in the order of their numbers; a torn end is left out."""
    manifest = next(folder.glob("*.manifest")).read_text(encoding="utf-8")
    for line in manifest.splitlines():
        words = line.split()
        if words[5] == "i":  # increments; the base holds what an earlier rewrite kept
            yield from _of_file(folder / words[1])


def _of_file(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        while head := file.readline():
            if head.startswith(b"#"):  # a time stamp
                continue
            words = []
            for _ in range(int(head[1:])):
                size = file.readline()
                if not size.endswith(b"\r\n"):
                    return
                words.append(file.read(int(size[1:])))
                if file.read(2) != b"\r\n":
                    return
            yield words


def results_written(folder: Path, prefix: str) -> Counter[bytes]:
    """Return how often a result was written under each uri."""
    start, found = prefix.encode(), Counter[bytes]()
    for words in commands(folder):
        if words[0].upper() == b"HSET" and words[1].startswith(start):
            found[words[1][len(start) :]] += 1
    return found
