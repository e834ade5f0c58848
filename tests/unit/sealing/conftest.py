"""What the sealing tests share: keys, plaintext by the vectors' rule, the vectors, and a look at processes."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from strongroom import sealing
from strongroom.secret import Secret

NODE = 4096


@pytest.fixture
def key() -> Secret:
    return Secret(bytes(range(1, 17)))


@pytest.fixture
def other_key() -> Secret:
    return Secret(bytes(range(2, 18)))


def plain_by_rule(seed: str, size: int) -> bytes:
    """SHA-256("SEED:0"), SHA-256("SEED:1"), ... cut to `size` bytes."""
    blocks = (hashlib.sha256(f"{seed}:{index}".encode()).digest() for index in range(-(-size // 32)))
    return b"".join(blocks)[:size]


@pytest.fixture(scope="session")
def plain() -> Callable[[str, int], bytes]:
    return plain_by_rule


@dataclass
class CountingSource:
    """A source in memory that remembers which nodes were read."""

    data: bytes
    nodes: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        return len(self.data)

    def read_into(self, room: memoryview, offset: int) -> int:
        piece = self.data[offset : offset + len(room)]
        room[: len(piece)] = piece
        self.nodes |= set(range(offset // NODE, -(-(offset + len(piece)) // NODE)))
        return len(piece)


@pytest.fixture
def counting_source() -> type[CountingSource]:
    return CountingSource


@pytest.fixture
def seal(key: Secret) -> Callable[..., bytes]:
    def seal_(data: bytes, *, version: int = 1, path: str = "a/b") -> bytes:
        return sealing.seal_bytes(data, key, stored_path=path, entropy=os.urandom, version=version)

    return seal_


@dataclass(frozen=True)
class Vector:
    """One entry of the index of the shared vectors."""

    entry: dict[str, object]
    folder: Path

    def __getattr__(self, name: str) -> object:
        return self.entry[name]

    @property
    def key(self) -> Secret:
        return Secret(bytes.fromhex(str(self.entry["wrap_key_hex"])))

    @property
    def on_disk(self) -> bytes:
        return (self.folder / str(self.entry["file"])).read_bytes()

    @property
    def compact(self) -> bool:
        return "compact_nodes" in self.entry

    @property
    def plaintext(self) -> bytes:
        return plain_by_rule(str(self.entry["plaintext_seed"]), int(str(self.entry["size"])))


@pytest.fixture(scope="session")
def gramine_vectors(shared_vectors: Path) -> list[Vector]:
    folder = shared_vectors / "gramine"
    return [Vector(entry, folder) for entry in json.loads((folder / "index.json").read_text())["vectors"]]


def children() -> Iterator[int]:
    """Yield the children of this process, by /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if after_name[0] != "Z" and int(after_name[1]) == os.getpid():
            yield int(folder.name)


@pytest.fixture
def children_of_this_test() -> Iterator[Callable[[], set[int]]]:
    """Give a function that lists the processes started since; the test fails if one is left at its end."""
    before = set(children())
    yield lambda: set(children()) - before
    assert set(children()) - before == set()
