"""What of keys and passwords may enter a cluster: certificates as they are, everything else sealed. Pure.

A Kubernetes Secret is readable by the cluster's operator. So in `ssl-keys` and `ssl-password` every private file is a
sealed file (Gramine's format) under a key that the workspace keeps and its broker releases to attested programs only.
Each is bound to its place, `keys/PART/NAME`, so that one part's file does not pass for another's.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Final

from strongroom.pki.keystores.issuing import Made
from strongroom.pki.keystores.parts import SERVER
from strongroom.sealing import seal_bytes
from strongroom.secret import Secret

KEYS_NAME: Final = "ssl-keys"
PASSWORD_NAME: Final = "ssl-password"  # noqa: S105  # a Secret's name
PASSWORD_FILE: Final = "password"  # noqa: S105  # a file's name
KEYS_FOLDER: Final = "keys"
PASSWORD_FOLDER: Final = "password"  # noqa: S105  # a folder's name
SEALING_SECRET: Final = "secret/ssl-keys"  # noqa: S105  # names in the keyring
PASSWORD_SECRET: Final = "password/ssl-keys"  # noqa: S105


def keys_path(part: str, name: str) -> str:
    """Return the path that a part's sealed file is bound to; a Gramine mount shows it as /keys/PART/NAME."""
    return f"{KEYS_FOLDER}/{part}/{name}"


def password_path() -> str:
    """Return the path that the sealed password is bound to."""
    return f"{PASSWORD_FOLDER}/{PASSWORD_FILE}"


def secret_name(part: str, base: str = KEYS_NAME) -> str:
    """Return the Kubernetes Secret of a part: `ssl-keys` itself for the server's, `ssl-keys-redis` and so on."""
    return base if part == SERVER else f"{base}-{part}"


def seal(secret: Secret, key: Secret, path: str) -> bytes:
    """Return a secret as a sealed file that opens at `path` alone."""
    with secret.reveal() as raw:
        return seal_bytes(raw, key, stored_path=path, entropy=os.urandom)


def sealed_secrets(made: Mapping[str, Made], key: Secret, *, base: str = KEYS_NAME) -> bytes:
    """Return keys.yaml: a Secret for each part, since no part may read another's. Raises WeakKey, WrapKeyLength."""
    documents = []
    for part, files in made.items():
        sealed = {name: seal(secret, key, keys_path(part, name)) for name, secret in files.private.items()}
        documents.append(secret_document(secret_name(part, base), {**files.public, **sealed}))
    return b"---\n".join(documents)


def password_document(sealed: bytes, *, name: str = PASSWORD_NAME) -> bytes:
    """Return password.yaml: a Secret with the sealed password, and nothing that opens it."""
    return secret_document(name, {PASSWORD_FILE: sealed})


def secret_document(name: str, data: Mapping[str, bytes]) -> bytes:
    """Return a Kubernetes Secret as YAML, files in alphabetical order. Kubernetes 1.20 and later."""
    lines = ["apiVersion: v1", "kind: Secret", "metadata:", f"  name: {name}", "type: Opaque", "data:"]
    lines += [f"  {file}: {base64.b64encode(content).decode()}" for file, content in sorted(data.items())]
    return "".join(f"{line}\n" for line in lines).encode()
