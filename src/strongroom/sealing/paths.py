"""Stored paths: a sealed file is bound to the path at which an encrypted mount will open it (spec 1.4).

Gramine compares the path in node 0 byte for byte with the host path of the mount (`uri` without `file:`), which it
normalises: `.`, `..` and `//` collapse, a relative path stays relative.
"""

from __future__ import annotations

import posixpath
from enum import Enum
from typing import Final

from strongroom.errors import BadInput, Tampered

PATH_FIELD_BYTES: Final = 772  # NUL-terminated, so 771 bytes of path at most
MAX_PATH_BYTES: Final = 512  # Gramine's documented limits for what a mount can open
MAX_NAME_BYTES: Final = 260
RECOVERY_SUFFIX: Final = ".gramine.recovery"  # reserved: no encrypted mount opens such a name


class AsOpened(Enum):
    """Stands for "the path that was opened" where a stored path is expected."""

    PATH = "the path as given"


class BadStoredPath(BadInput):
    """A path cannot be stored in a sealed file: it is empty, names no file, is too long, or is reserved."""

    code = "SR-STORED-PATH"
    fix = "State the path as the manifest's mount yields it: at most 512 bytes, file name at most 260 bytes."


class WrongPath(Tampered):
    """A sealed file is bound to another path than the one it was opened at: it was moved, renamed or exchanged."""

    code = "SR-SEALED-PATH"
    fix = "If the move is meant, say the stored path (--path) or rewrite it (strongroom file rename)."
    kind = "invalid_path"


def to_bytes(path: str) -> bytes:
    """Return a path as the bytes that the file system has; raises `BadStoredPath` for text that has none."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as problem:
        raise BadStoredPath(f"the stored path {path!r} is not text that can be encoded") from problem


def to_text(path: bytes) -> str:
    """Return a stored path for printing and comparing; undecodable bytes survive as surrogates."""
    return path.decode("utf-8", "surrogateescape")


def printable(path: bytes) -> str:
    """Return a stored path quoted and escaped, so that hostile bytes cannot reach a terminal."""
    return ascii(to_text(path)) if not to_text(path).isprintable() else f"'{to_text(path)}'"


def normalise(path: str) -> str:
    """Return `path` as Gramine (since 1.3) would: `.`, `..` and `//` collapsed, relative paths left relative."""
    short = posixpath.normpath(path)
    return short[1:] if short.startswith("//") else short  # POSIX lets two leading slashes stand, Gramine does not


def stored_form(path: str) -> bytes:
    """Return the bytes to store for `path`: normalised, and within the limits of format and mounts."""
    raw = to_bytes(normalise(path)) if path else b""
    name = raw.rpartition(b"/")[2]
    if name in {b"", b".", b".."}:
        raise BadStoredPath(f"the stored path {printable(to_bytes(path))} names no file")
    if b"\0" in raw:
        raise BadStoredPath(f"the stored path {printable(raw)} contains a NUL byte")
    if name.endswith(RECOVERY_SUFFIX.encode()):
        raise BadStoredPath(f"the stored path {printable(raw)} ends with {RECOVERY_SUFFIX}, which Gramine reserves")
    if len(name) > MAX_NAME_BYTES:
        raise BadStoredPath(f"the file name of the stored path has {len(name)} bytes, at most {MAX_NAME_BYTES} fit")
    if len(raw) > MAX_PATH_BYTES:
        raise BadStoredPath(f"the stored path has {len(raw)} bytes, at most {MAX_PATH_BYTES} fit")
    return raw


def check_path(stored: bytes, expected: str) -> None:
    """Raise `WrongPath` unless `stored` is `expected`, byte for byte, as given or normalised.

    Both forms name one file; files that pf-crypt wrote before Gramine 1.4 hold the path as it was given (`./e`).
    """
    if stored not in {to_bytes(expected), to_bytes(normalise(expected))}:
        raise WrongPath(
            f"the file is bound to the path {printable(stored)}, opened as {printable(to_bytes(normalise(expected)))}"
        )
