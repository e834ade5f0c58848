"""A signed root of the ledger, written as a C2SP signed note, so that witnesses of transparency logs can read it.

Pure. The text is a `tlog-checkpoint` (https://c2sp.org/tlog-checkpoint): origin, number of lines, root hash, and the
time as an extension line. The origin begins with this project's name and names the ledger by the hash of its first
line, so that no signature serves for another ledger or another purpose. Signatures follow https://c2sp.org/signed-note
(Ed25519, type 1); a witness adds one of https://c2sp.org/tlog-cosignature (type 4, with its own time).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.broker.ledger.chain import timestamp_ms
from strongroom.broker.ledger.faults import CheckpointBad
from strongroom.broker.ledger.merkle import HASH_BYTES

MAX_CHECKPOINT_BYTES: Final = 16 * 1024
MAX_SIGNATURES: Final = 16
ORIGIN_PREFIX: Final = "strongroom-ledger/"
_ED25519: Final = b"\x01"
_COSIGNATURE: Final = b"\x04"
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64
_TEXT: Final = re.compile(
    r"(strongroom-ledger/[0-9a-f]{32})\n([1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\ntime ([0-9]{1,15})\n\Z"
)
_SIGNATURE: Final = re.compile(r"— ([!-*,-~]{1,200}) ([A-Za-z0-9+/]{4,200}={0,2})\Z")
_NAME: Final = re.compile(r"[!-*,-~]{1,200}\Z")  # printable, no space, no plus


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How the ledger stood at a time: the root over its first `size` lines; `time_ms` since 1970, UTC."""

    origin: str
    size: int
    root: bytes
    time_ms: int

    def to_text(self) -> str:
        """Return what is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\ntime {self.time_ms}\n"

    def __str__(self) -> str:
        return f"{self.size} lines at {timestamp_ms(self.time_ms)}, root {self.root.hex()}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who, and the key id and signature as they stand there."""

    name: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint and the signatures below it, not verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]

    def to_text(self) -> str:
        """Return the whole note."""
        lines = (f"— {each.name} {base64.b64encode(each.blob).decode()}\n" for each in self.signatures)
        return f"{self.checkpoint.to_text()}\n{''.join(lines)}"

    @classmethod
    def parse(cls, text: str | bytes) -> SignedCheckpoint:
        """Read a note. Raises CheckpointBad."""
        if len(text) > MAX_CHECKPOINT_BYTES:
            raise CheckpointBad(f"a checkpoint is no longer than {MAX_CHECKPOINT_BYTES} bytes")
        try:
            note = text.decode() if isinstance(text, bytes) else text
        except UnicodeDecodeError:
            raise CheckpointBad("the checkpoint is not UTF-8") from None
        body, blank, below = note.partition("\n\n")
        found = _TEXT.match(body + "\n")
        if not blank or found is None or not below.endswith("\n"):
            raise CheckpointBad("this is not a checkpoint of a ledger")
        root = base64.b64decode(found[3])
        checkpoint = Checkpoint(found[1], int(found[2]), root, int(found[4]))
        lines = below[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES or len(root) != HASH_BYTES or checkpoint.to_text() != body + "\n":
            raise CheckpointBad("this is not a checkpoint of a ledger")
        return cls(checkpoint, tuple(_signature(line) for line in lines))

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Return whether the ledger's key signed this, under the ledger's own name."""
        name = self.checkpoint.origin
        mark = key_mark(name, key)
        return any(
            each.name == name
            and each.blob[:_ID_BYTES] == mark
            and _verifies(key, each.blob[_ID_BYTES:], self.checkpoint.to_text().encode())
            for each in self.signatures
        )

    def cosigned_at(self, key: Ed25519PublicKey) -> int | None:
        """Return when the witness of this key cosigned (seconds since 1970, UTC); None if it did not."""
        for each in self.signatures:
            mark, stamp = each.blob[:_ID_BYTES], each.blob[_ID_BYTES : _ID_BYTES + _TIME_BYTES]
            if mark != key_mark(each.name, key, _COSIGNATURE) or len(stamp) != _TIME_BYTES:
                continue
            at = int.from_bytes(stamp, "big")
            if _verifies(key, each.blob[_ID_BYTES + _TIME_BYTES :], _cosigned(self.checkpoint, at)):
                return at
        return None

    def cosigned(self, key: Ed25519PrivateKey, *, name: str, at_s: int) -> SignedCheckpoint:
        """Return the note with a witness's signature more. Raises CheckpointBad for a name that no witness can have."""
        if not _NAME.match(name):
            raise CheckpointBad("a witness's name has no space and no plus sign, and at most 200 characters")
        mark = key_mark(name, key.public_key(), _COSIGNATURE)
        blob = mark + at_s.to_bytes(_TIME_BYTES, "big") + key.sign(_cosigned(self.checkpoint, at_s))
        others = tuple(each for each in self.signatures if each.blob[:_ID_BYTES] != mark)
        return SignedCheckpoint(self.checkpoint, (*others, NoteSignature(name, blob)))


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> SignedCheckpoint:
    """Return the checkpoint signed with the ledger's key."""
    blob = key_mark(checkpoint.origin, key.public_key()) + key.sign(checkpoint.to_text().encode())
    return SignedCheckpoint(checkpoint, (NoteSignature(checkpoint.origin, blob),))


def origin_of(genesis_line: bytes) -> str:
    """Return the name of the ledger that begins with this line (without its newline)."""
    return ORIGIN_PREFIX + hashlib.sha256(genesis_line).hexdigest()[:32]


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the first 16 bytes of the SHA-256 of its 32 bytes, in hex."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:32]


def key_mark(name: str, key: Ed25519PublicKey, kind: bytes = _ED25519) -> bytes:
    """Return the four bytes that stand before a signature of this key under this name (signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + kind + key.public_bytes_raw()).digest()[:_ID_BYTES]


def verifier_key(name: str, key: Ed25519PublicKey) -> str:
    """Return the key as transparency-log tools take it: `name+mark+key` (signed-note, "verifier keys")."""
    return f"{name}+{key_mark(name, key).hex()}+{base64.b64encode(_ED25519 + key.public_bytes_raw()).decode()}"


def _cosigned(checkpoint: Checkpoint, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{checkpoint.to_text()}".encode()


def _signature(line: str) -> NoteSignature:
    found = _SIGNATURE.match(line)
    if found is None:
        raise CheckpointBad("a signature line of the checkpoint cannot be read")
    try:
        return NoteSignature(found[1], base64.b64decode(found[2], validate=True))
    except binascii.Error:
        raise CheckpointBad("a signature line of the checkpoint cannot be read") from None


def _verifies(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    if len(signature) != _SIGNATURE_BYTES:
        return False
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
