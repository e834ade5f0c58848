"""The owner's own keys as bytes to look for: what must be in no layer of an image, however it is wrapped.

A PEM file would be found by its frame. Here are the numbers inside, which stand unchanged in DER, in raw files and in
most containers. World: reads the workspace's private folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from strongroom.pki import keys
from strongroom.workspace import Workspace
from strongroom.workspace.workspace import PRIVATE_FOLDERS

SHORTEST_BYTES: Final = 16  # a wrap key
LONGEST_BYTES: Final = 64
ROOT: Final = "root"  # the folder of the broker's root key
_PEM: Final = b"-----BEGIN"


def needles(workspace: Workspace) -> tuple[bytes, ...]:
    """Return what to look for: each key of the workspace, raw and as hexadecimal digits."""
    found = {each for folder in (*PRIVATE_FOLDERS, ROOT) for each in _keys_below(workspace.folder / folder)}
    return tuple(sorted({form for key in found for form in (key, key.hex().encode())}))


def _keys_below(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > keys.MAX_PEM_BYTES:
            continue
        data = path.read_bytes()
        if data.startswith(_PEM):
            yield from _number(data)
        elif SHORTEST_BYTES <= len(data) <= LONGEST_BYTES:
            yield data


def _number(pem: bytes) -> Iterator[bytes]:
    try:
        key = load_pem_private_key(pem, password=None)
    except keys.UNREADABLE:  # a certificate, a public key, or one under a passphrase
        return
    if isinstance(key, ec.EllipticCurvePrivateKey):
        yield key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        yield key.private_bytes_raw()
    elif isinstance(key, rsa.RSAPrivateKey):
        yield key.private_numbers().p.to_bytes((key.private_numbers().p.bit_length() + 7) // 8)
