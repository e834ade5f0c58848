"""Node 0: clear header, sealed metadata, and the pin that identifies an exact file version (spec 1.1, 1.6, 1.10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import BadInput, Refused, Tampered
from strongroom.sealing.keys import NONCE_BYTES, metadata_key
from strongroom.sealing.layout import ENTRY_BYTES, HEAD_BYTES, MAX_SIZE, NODE_BYTES, TAG_BYTES
from strongroom.sealing.paths import PATH_FIELD_BYTES, BadStoredPath
from strongroom.secret import Secret
from strongroom.wire.reader import Reader

GRAMINE_MAGIC: Final = b"GRAFS_PF"
GRAPHENE_MAGIC: Final = b"GRAPH_PF"  # written by Graphene 1.1 and 1.2-rc1; Gramine refuses it, we read it
VERSIONS: Final = (1, 2)
PENDING_WRITE: Final = 0x01  # feature flag, version 2 only
METADATA_BYTES: Final = PATH_FIELD_BYTES + 8 + ENTRY_BYTES + HEAD_BYTES
ZERO_IV: Final = bytes(12)  # safe only because no key ever seals two things
NO_ROOT: Final = bytes(ENTRY_BYTES)  # root entry of a file that fits in node 0


class NotASealedFile(BadInput):
    """The bytes are not a sealed file: wrong magic, or a length that is not a multiple of 4096."""

    code = "SR-SEALED-HEADER"
    fix = "Check that this is the sealed file and that it was copied whole, in binary mode."
    kind = "invalid_header"


class UnknownVersion(BadInput):
    """The sealed file has a format version that nobody has defined yet."""

    code = "SR-SEALED-VERSION"
    fix = "Versions 1 (Gramine 1.0-1.8) and 2 (Gramine 1.9 and later) can be read; look for a newer Strongroom."
    kind = "invalid_version"


class Truncated(Tampered):
    """A sealed file ends before the nodes that it needs."""

    code = "SR-SEALED-TRUNCATED"
    fix = "Copy the file again from its owner; what is left of it is not used."
    kind = "truncated"


class WrongKeyOrTampered(Tampered):
    """Node 0 does not open: the wrap key is another one, or somebody changed node 0; nothing can tell which."""

    code = "SR-SEALED-METADATA"
    fix = "Check that the key is the one of this file; if it is, the file was changed: get it again from its owner."
    kind = "mac_mismatch(metadata)"


class UnfinishedWrite(Refused):
    """The file's feature flags say that a write was cut off, and strict reading was asked for."""

    code = "SR-SEALED-PENDING"
    fix = "Open it once through a Gramine mount with enable_recovery = true and its .gramine.recovery file beside it."
    kind = "recovery_needed"


class WrongPin(Tampered):
    """Node 0 is not the one that the pin stands for: another version of the file, or another file."""

    code = "SR-SEALED-PIN"
    fix = "Get the pinned version of the file again from its owner."
    kind = "pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What node 0 says without a key. Nothing here is proved before `open_metadata` has accepted it."""

    magic: bytes
    major: int
    minor: int
    nonce: bytes = field(repr=False)
    tag: bytes = field(repr=False)
    flags: int
    sealed: bytes = field(repr=False)
    padding_zero: bool

    @property
    def pending_write(self) -> bool:
        """Whether a writer was cut off between setting and clearing its flag."""
        return bool(self.flags & PENDING_WRITE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What node 0 keeps under the wrap key: path, plaintext size, entry of the root table, first 3072 bytes."""

    path: bytes
    size: int
    root: bytes = field(repr=False)  # 16-byte key and 16-byte tag of node 1: as secret as the data
    head: bytes = field(repr=False)  # zero-padded; a file that shrank may have stale bytes behind its end


def parse_header(node0: bytes, *, length: int) -> Header:
    """Parse the clear part of `node0` (the first 4096 bytes, or fewer) of a file of `length` bytes, in the order of
    spec 1.6: raises `Truncated` (empty), `NotASealedFile` (length, magic), `UnknownVersion`."""
    if length == 0:
        raise Truncated("the sealed file is empty")
    if length % NODE_BYTES:
        raise NotASealedFile(f"the file has {length} bytes, a sealed file is a multiple of {NODE_BYTES}")
    reader = Reader(node0, what="node 0", error=Truncated)
    magic = reader.take(8, "magic")
    if magic not in {GRAMINE_MAGIC, GRAPHENE_MAGIC}:
        raise NotASealedFile(f"the file begins with {magic!r}, a sealed file with {GRAMINE_MAGIC!r}")
    major, minor = reader.u8("major version"), reader.u8("minor version")
    if major not in VERSIONS:
        raise UnknownVersion(f"the sealed file has format version {major}, known are 1 and 2")
    nonce, tag = reader.take(NONCE_BYTES, "nonce"), reader.take(TAG_BYTES, "tag")
    flags = reader.u8("feature flags") if major == 2 else 0
    sealed = reader.take(METADATA_BYTES, "metadata")
    padding_zero = not any(reader.take(NODE_BYTES - reader.position, "padding"))
    return Header(magic=magic, major=major, minor=minor, nonce=nonce, tag=tag, flags=flags, sealed=sealed,
                  padding_zero=padding_zero)  # fmt: skip


def open_metadata(header: Header, key: Secret) -> Metadata:
    """Verify and open the sealed part of node 0; raises `WrongKeyOrTampered`."""
    try:
        plain = AESGCM(metadata_key(key, header.nonce)).decrypt(ZERO_IV, header.sealed + header.tag, None)
    except InvalidTag:
        raise WrongKeyOrTampered(
            "node 0 does not open: either this is not the file's wrap key, or node 0 was tampered with"
        ) from None
    reader = Reader(plain, what="metadata")
    path = reader.take(PATH_FIELD_BYTES, "path").partition(b"\0")[0]
    size = reader.u64("size")
    return Metadata(path=path, size=size, root=reader.take(ENTRY_BYTES, "root"), head=reader.take(HEAD_BYTES, "head"))


def seal_metadata(metadata: Metadata, key: Secret, *, nonce: bytes, version: int) -> bytes:
    """Return a whole node 0 (4096 bytes) of format `version`; `nonce` (32 bytes) must be fresh for every call."""
    if version not in VERSIONS:
        raise UnknownVersion(f"format version {version} cannot be written, only 1 and 2")
    if len(metadata.path) >= PATH_FIELD_BYTES or not 0 <= metadata.size <= MAX_SIZE:
        raise BadStoredPath(f"a path of {len(metadata.path)} bytes does not fit into node 0")
    plain = b"".join((
        metadata.path.ljust(PATH_FIELD_BYTES, b"\0"),
        metadata.size.to_bytes(8, "little"),
        metadata.root,
        metadata.head.ljust(HEAD_BYTES, b"\0"),
    ))  # fmt: skip
    sealed = AESGCM(metadata_key(key, nonce)).encrypt(ZERO_IV, plain, None)
    flags = b"\0" if version == 2 else b""
    clear = GRAMINE_MAGIC + bytes((version, 0)) + nonce + sealed[METADATA_BYTES:] + flags
    return (clear + sealed[:METADATA_BYTES]).ljust(NODE_BYTES, b"\0")


def pin_of(node0: bytes, *, length: int | None = None) -> bytes:
    """Return the 32-byte pin of a file version: SHA-256 of its node 0 with feature flags and padding set to zero.

    Node 0 holds a fresh nonce, its tag and the root tag, so (for anyone without the wrap key) it stands for every byte
    of the file. Flags and padding are not authenticated and change without a change of content. Raises as
    `parse_header` does; `length` is that of the whole file.
    """
    header = parse_header(node0, length=len(node0) if length is None else length)
    start = node0[: 10 + NONCE_BYTES + TAG_BYTES] + (b"\0" if header.major == 2 else b"")
    return hashlib.sha256((start + header.sealed).ljust(NODE_BYTES, b"\0")).digest()
