"""What may be published: walk a model directory and refuse whatever has no business in a model.

World: reads one folder. Judged by content, not by name (KD-01): private keys, wrap keys, programs, pickles, archives,
links, devices, hidden files, and what is sealed already.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from strongroom.bundles.listing import below
from strongroom.bundles.manifest import MAX_FILES, is_plain_path
from strongroom.errors import Refused

CHUNK_BYTES: Final = 4 * 1024 * 1024
OVERLAP_BYTES: Final = 96  # longer than any marker searched for
MAX_DER_KEY_BYTES: Final = 16 * 1024
PRIVATE_KEY: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
WRAP_KEY_BYTES: Final = 16
_TEXT: Final = frozenset(range(32, 127)) | frozenset(b"\t\r\n")
_PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")
_HEX_KEY: Final = re.compile(rb"[0-9A-Fa-f]{32}\s*")
_PROGRAMS: Final = {
    b"\x7fELF": "a program or shared library",
    b"#!": "a script",
    b"PK\x03\x04": "an archive (zip, or a format that can carry code in one)",
    b"\x1f\x8b": "an archive (gzip)",
    b"\xca\xfe\xba\xbe": "a program (Mach-O or Java)",
    b"\xcf\xfa\xed\xfe": "a program (Mach-O)",
    b"\x89HDF\r\n\x1a\n": "an HDF5 model, which can carry code",
    b"GRAFS_PF": "a file that is sealed already",
    b"GRAPH_PF": "a file that is sealed already",
}
_SUFFIXES: Final = {
    ".py": "a program", ".pyc": "a program", ".so": "a shared library", ".dll": "a shared library",
    ".dylib": "a shared library", ".exe": "a program", ".sh": "a script", ".pkl": "a pickle", ".pickle": "a pickle",
    ".joblib": "a pickle", ".pt": "a pickle", ".pth": "a pickle", ".key": "a key", ".pem": "a key or certificate",
    ".p12": "a key store", ".pfx": "a key store", ".jks": "a key store",
}  # fmt: skip


class Unpublishable(Refused):
    """The model directory holds something that must not be published."""

    code = "SR-UNPUBLISHABLE"
    fix = "Move the file out of the model directory; a bundle holds model files and nothing else."


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to seal: where it lies, its path inside the bundle, its size in bytes."""

    place: Path
    path: str
    size: int


def collect(folder: Path) -> list[SourceFile]:
    """Return every file below `folder`, sorted by path, after a look into each; raise `Unpublishable`."""
    found: list[SourceFile] = []
    for path, information in below(folder):
        if not is_plain_path(path):
            raise Unpublishable(f"{path[:160]!r} is hidden, nested too deep, or not a plain name")
        if stat.S_ISREG(information.st_mode):
            found.append(SourceFile(folder / path, path, information.st_size))
        elif not stat.S_ISDIR(information.st_mode):
            raise Unpublishable(f"{path} is a link, device or socket, not a regular file")
        if len(found) > MAX_FILES:
            raise Unpublishable(f"{folder} holds more than {MAX_FILES} files")
    if not found:
        raise Unpublishable(f"{folder} holds no files", fix="Name the directory of one model version.")
    for file in found:
        reason = look_into(file)
        if reason is not None:
            raise Unpublishable(f"{file.path} is {reason}")
    return sorted(found, key=lambda file: file.path)


def look_into(file: SourceFile) -> str | None:
    """Return why a file must not be published, or None."""
    descriptor = os.open(file.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        head = stream.read(CHUNK_BYTES)
        for judge in (_by_kind, _by_key_shape):
            reason = judge(file, head)
            if reason is not None:
                return reason
        return _by_marker(head, stream.read)


def _by_kind(file: SourceFile, head: bytes) -> str | None:
    suffix = Path(file.path).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    for magic, kind in _PROGRAMS.items():
        if head.startswith(magic):
            return kind
    if _is_windows_program(head):
        return "a program (Windows)"
    if _PICKLE.match(head):
        return "a pickle, which runs code when it is loaded"
    if head.startswith(b"\x93NUMPY") and b"'|O'" in head[:512]:
        return "a numpy file of Python objects, which runs code when it is loaded"
    return None


def _is_windows_program(head: bytes) -> bool:
    offset = int.from_bytes(head[60:64], "little")
    return head.startswith(b"MZ") and head[offset : offset + 4] == b"PE\0\0"


def _by_key_shape(file: SourceFile, head: bytes) -> str | None:
    if len(head) == WRAP_KEY_BYTES and not all(byte in _TEXT for byte in head):
        return "16 raw bytes, as long as a wrap key"
    if len(head) <= 64 and _HEX_KEY.fullmatch(head):
        return "32 hex digits, as long as a wrap key"
    name = Path(file.path).name.lower()
    if "wrap" in name and "key" in name:
        return "named like a wrap key"
    if file.size <= MAX_DER_KEY_BYTES and _is_der_private_key(head):
        return "a private key"
    return None


def _is_der_private_key(head: bytes) -> bool:
    if not head.startswith(b"\x30"):
        return False
    try:
        load_der_private_key(head, password=None)
    except TypeError:  # it is one, and encrypted
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _by_marker(head: bytes, read: Callable[[int], bytes]) -> str | None:
    window = head
    while window:
        if PRIVATE_KEY.search(window):
            return "a file with a private key in it"
        fresh = read(CHUNK_BYTES)
        window = window[-OVERLAP_BYTES:] + fresh if fresh else b""
    return None
