"""Describe a replica in Gramine's manifest vocabulary: what runs, with which words, and which files are its identity.

Relative paths start at the manifest's folder and enter the measurement as written, so the operator may copy the folder
anywhere and its program stays the same. Listed are the interpreter, its standard library, this package and the
packages it runs on; the sealed model is not: whoever changes that is caught by the bundle's signature.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import strongroom
from strongroom.client.extras import locate

PACKAGES: Final = (
    "numpy",
    "onnxruntime",
    "grpc",
    "google.protobuf",
    "cryptography",
    "OpenSSL",
    "cffi",
    "httptools",
    "rich",
    "PIL",
)
_NOT_RUN: Final = frozenset({"site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip",
                             "lib2to3", "pydoc_data", "unittest", "__pycache__"})  # fmt: skip
INTERPRETER_WORDS: Final = ("-I", "-B", "-u", "-X", "pycache_prefix=/nonexistent", "-m", "strongroom", "serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaManifest:
    """A replica's words for `strongroom serve`, its environment, its own files beside the manifest, and debug."""

    words: tuple[str, ...]
    environ: Mapping[str, str]
    files: tuple[str, ...]
    debug: bool = False

    def render(self) -> str:
        """Return the manifest as TOML."""
        argv = [sys.executable, *INTERPRETER_WORDS, *self.words]
        trusted = [*(f"file:{name}" for name in self.files), *map(_uri, code())]
        return "\n".join(
            [
                "# Who this replica is: every word, variable and file below is measured.",
                f"libos.entrypoint = {_text(sys.executable)}",
                f"loader.argv = {_list(argv)}",
                *(f"loader.env.{name} = {_text(value)}" for name, value in sorted(self.environ.items())),
                "sgx.isvprodid = 1",
                "sgx.isvsvn = 1",
                f"sgx.debug = {'true' if self.debug else 'false'}",
                'sgx.remote_attestation = "dcap"',
                f"sgx.trusted_files = {_list(trusted)}",
                "",
            ]
        )

    def with_word(self, old: str, new: str) -> ReplicaManifest:
        """Return the same replica with one argument changed, which is another replica."""
        if old not in self.words:
            raise ValueError(f"{old} is not among the words of the replica")
        return replace(self, words=tuple(new if word == old else word for word in self.words))

    def with_debug(self) -> ReplicaManifest:
        """Return the same replica as a debug enclave, whose memory the host may read."""
        return replace(self, debug=True)


def code() -> Iterator[Path]:
    """Yield the files and folders of everything that a replica runs, in a stable order."""
    yield Path(sys.executable)
    yield Path(strongroom.__file__).parent
    library = Path(sysconfig.get_path("stdlib"))
    yield from (each for each in sorted(library.iterdir()) if each.name not in _NOT_RUN and _is_code(each))
    yield from (locate(name, extra="demo") for name in PACKAGES)
    yield from sorted(Path(sysconfig.get_path("platlib")).glob("*.libs"))
    yield from sorted(Path(sysconfig.get_path("platlib")).glob("_cffi_backend*.so"))


def _is_code(path: Path) -> bool:
    if path.is_dir():
        return not path.name.startswith("config-")
    return path.suffix in {".py", ".so"} and path.exists()


def _uri(path: Path) -> str:
    return f"file:{path}/" if path.is_dir() else f"file:{path}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a TOML basic string for everything a path may hold


def _list(values: Sequence[str]) -> str:
    return "[\n" + "".join(f"  {_text(value)},\n" for value in values) + "]"
