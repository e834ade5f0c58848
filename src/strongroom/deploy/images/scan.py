"""Look at every layer of a built image before it goes anywhere: no private key, no wrap key, no readable model.

World: reads the image's archive. A file that a later layer deletes counts as well: whoever has the image has it
(threats SA-01, KD-01).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Final

from strongroom.deploy.images.archive import Member, members
from strongroom.errors import Refused
from strongroom.sealing.keys import PUBLIC_KEY_DIGESTS, WRAP_KEY_BYTES

CHUNK_BYTES: Final = 4 * 1024 * 1024
OVERLAP_BYTES: Final = 4096  # longer than what is searched for
SEALED_MAGIC: Final = b"GRAFS_PF"
# A marker alone stands in every library that reads keys; a marker with a line of a key behind it is a key.
PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:\\n|\s|[A-Za-z-]{1,40}: [ -~]{1,80}){1,8}[A-Za-z0-9+/=]{40}"
)
# What GnuTLS tests itself with at its start (lib/crypto-selftests-pk.c): SHA-256 from BEGIN to before END.
PUBLIC_KEYS: Final = frozenset(
    {
        "c41dc6cc1361b41b23dc261c959bed84bae2387ae3f196b1a60b0c61dd195d5b",
        "ac1e3b0c79d47689562ef8e864681b377afea59a786db073f647704adfcc82f4",
        "d1dc75186fa035add68642556d4cdf68b2a1b74b4b60761b17f08fca7c79a606",
        "a3d8965527fc3e07ed347c6d68cc95cc5511ae90a6ed7b9e9d443eceb2f5eaff",
        "09cd48c2fbe44bf1e68565684f54c51299e75931ed42467cbc7be37c021e7ede",
        "7f173f65ea04836d5d5fab00afa67897e71dbc01662db9bcbe807b8507b20487",
    }
)
MODEL_FILES: Final = frozenset(
    {".onnx", ".pb", ".tflite", ".h5", ".keras", ".savedmodel", ".safetensors", ".pt", ".pth"}
)
KEY_NAMES: Final = frozenset({"wrap_key", "enclave-key.pem", "ca_key.pem", "owner_key.pem", "server_key.pem"})
UNSEALED_IN_MODELS: Final = frozenset({"bundle.json", "bundle.sig"})
MAX_FINDINGS: Final = 20


class SecretInImage(Refused):
    """A layer of an image holds a private key, a wrap key or a readable model; the image was not handed on."""

    code = "SR-IMAGE-SECRET"
    fix = "Remove the file from what the image is built of, and take the key that was in it out of use."


def check(archive: Path, needles: Sequence[bytes] = ()) -> int:
    """Return how many files were looked at. Raises SecretInImage, naming what and where but never the content.

    `needles` are further pieces that must not be found, such as the owner's own keys.
    """
    findings: list[str] = []
    looked_at = 0
    for member in members(archive):
        if member.is_file and len(findings) < MAX_FINDINGS:
            looked_at += 1
            reason = _why_not(member, needles)
            if reason is not None:
                findings.append(f"/{member.path} in layer {member.layer} {reason}")
    if findings:
        raise SecretInImage("; ".join(findings[:MAX_FINDINGS]))
    return looked_at


def _why_not(member: Member, needles: Sequence[bytes]) -> str | None:
    path = PurePosixPath(member.path)
    if path.name in KEY_NAMES:
        return "is called as keys are"
    below_models = path.parts[:1] == ("models",)
    with member.open() as stream:
        head = stream.read(CHUNK_BYTES)
        is_sealed = head.startswith(SEALED_MAGIC)
        if below_models and not is_sealed and path.name not in UNSEALED_IN_MODELS:
            return "is not sealed"
        if path.suffix.lower() in MODEL_FILES and not is_sealed and path.parts[:2] != ("opt", "strongroom"):
            return "is a model that is not sealed"
        if member.size == WRAP_KEY_BYTES and hashlib.sha256(head).hexdigest() in PUBLIC_KEY_DIGESTS:
            return "is the publicly known sample key"
        if member.size == WRAP_KEY_BYTES and not (head.isascii() and head.strip().decode("ascii").isprintable()):
            return "has the shape of a wrap key"
        return _search(head, stream, needles)


def _search(window: bytes, stream: IO[bytes], needles: Sequence[bytes]) -> str | None:
    while window:
        if any(not _is_public(window, found.start()) for found in PRIVATE_KEY.finditer(window)):
            return "holds a private key"
        if any(needle in window for needle in needles):
            return "holds a key of the workspace"
        fresh = stream.read(CHUNK_BYTES)
        window = window[-OVERLAP_BYTES:] + fresh if fresh else b""
    return None


def _is_public(window: bytes, start: int) -> bool:
    end = window.find(b"-----END", start, start + OVERLAP_BYTES)
    return end > 0 and hashlib.sha256(window[start:end]).hexdigest() in PUBLIC_KEYS
