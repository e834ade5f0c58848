"""What `generate-keys.sh` and `generate-password.sh` left behind: clear keys, and a password beside its own key.

World: the folder it is told to write to. Nothing of this protects anything: whoever has the files has the password.
It is for programs of the original that read these names, on the owner's machine; it never becomes a Secret.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from strongroom.pki import disk, keys
from strongroom.secret import Secret

KEY_FILE: Final = "key.txt"
OUTPUT_FILE: Final = "output.bin"
_BITS: Final = 2048  # output.bin has 256 bytes


def write_password(folder: Path, password: Secret) -> None:
    """Write key.txt and output.bin (RSAES-PKCS1-v1_5 over the password and a line's end). Raises AlreadyThere."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    with password.reveal() as raw:
        hidden = key.public_key().encrypt(raw + b"\n", padding.PKCS1v15())
    with disk.new_folder(folder) as new:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        disk.write_secret(new / KEY_FILE, Secret(pem))
        disk.write_secret(new / OUTPUT_FILE, Secret(hidden))


def write_clear_server(folder: Path, key_pem: Secret, certificate_pem: bytes, password: Secret) -> None:
    """Write server.key and server.pem (key, then certificate) in clear into a new folder. Raises AlreadyThere."""
    clear = _opened(key_pem, password)
    with clear.reveal() as raw:
        both = Secret(raw + certificate_pem)
    with disk.new_folder(folder) as new:
        disk.write_secret(new / "server.key", clear)
        disk.write_secret(new / "server.pem", both)


def _opened(key_pem: Secret, password: Secret) -> Secret:
    try:
        with key_pem.reveal() as raw, password.reveal() as words:
            key = load_pem_private_key(raw, password=words)
    except keys.UNREADABLE:
        raise keys.BadPrivateKey("server.key does not open with this password") from None
    if not isinstance(key, keys.PrivateKey):
        raise keys.BadPrivateKey(f"server.key is of the type {type(key).__name__}, not RSA or elliptic curve")
    return keys.private_pem(key)
