"""What may be the secret of which name, and where it belongs when it is wrapped. Pure but for fresh random bytes."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.broker.keyring import envelope
from strongroom.broker.keyring.envelope import Context
from strongroom.broker.keyring.rows import SecretInfo
from strongroom.broker.names import SecretKind, SecretName, check_tenant
from strongroom.errors import BadInput
from strongroom.sealing import WeakKey
from strongroom.secret import Secret
from strongroom.workspace import BadSecretName, UnknownSecret
from strongroom.workspace.secret_store import WRAP_KEY_BYTES, check_fit

NEW_SECRET_BYTES: Final = 32
NEW_PASSWORD_BYTES: Final = 24  # 32 characters
P256_BYTES: Final = 32


class NotMadeHere(BadInput):
    """A secret of this kind cannot be made up; its bytes come from elsewhere."""

    code = "SR-KEY-NOT-MADE-HERE"
    fix = "Give the bytes with strongroom key put NAME --from FILE."


def check_secret(name: SecretName, secret: Secret) -> None:
    """Raise `UnfitSecret` or `WeakKey` unless the bytes could be the secret of this name (threat KD-02)."""
    check_fit(str(name), secret)
    with secret.reveal() as raw:
        constant = len(set(raw)) == 1
    if constant:
        raise WeakKey(f"{name} is one byte repeated", fix="Give random bytes: strongroom key create makes them.")


def fresh_secret(name: SecretName) -> Secret:
    """Return new random bytes for a name. Raises NotMadeHere for a TLS identity."""
    if name.kind is SecretKind.TLS:
        raise NotMadeHere(f"{name} is a certificate with its key, which strongroom certs makes")
    if name.kind is SecretKind.PASSWORD:
        return Secret(base64.urlsafe_b64encode(secrets.token_bytes(NEW_PASSWORD_BYTES)))
    return Secret(secrets.token_bytes(WRAP_KEY_BYTES if name.kind is SecretKind.MODEL else NEW_SECRET_BYTES))


def ed25519_seed() -> bytes:
    """Return a new Ed25519 private key, raw."""
    return secrets.token_bytes(32)


def p256_scalar() -> bytes:
    """Return a new P-256 private key as its number, big-endian."""
    return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(P256_BYTES, "big")


def is_name(check: Callable[[str], object], text: str) -> bool:
    """Return whether a text follows the grammar that `check` holds."""
    try:
        check(text)
    except BadSecretName:
        return False
    return True


@lru_cache(maxsize=1024)
def is_public(tenant: str, name: str) -> bool:
    """Return whether a tenant's secret could have this name; the broker's own tenant is nobody's."""
    return is_name(check_tenant, tenant) and is_name(SecretName.parse, name)


def unknown(name: str) -> UnknownSecret:
    """Return the one answer for what is not there, not given out, or not the asker's (threat KD-17)."""
    return UnknownSecret(f"there is no secret {name[:160]}")


def key_context(tenant: str, generation: int) -> bytes:
    """Return where a tenant's key belongs."""
    return Context(purpose="tenant-key", tenant=tenant, generation=generation).encode()


def secret_context(info: SecretInfo, generation: int | None = None) -> bytes:
    """Return where a version of a secret belongs, under this or another generation of the tenant's key."""
    return Context(
        purpose="secret", tenant=info.tenant, name=info.name, version=info.version,
        generation=info.generation if generation is None else generation,
    ).encode()  # fmt: skip


def wrap_secret(key: Secret, secret: Secret, info: SecretInfo, generation: int | None = None) -> bytes:
    """Wrap a version of a secret under a tenant's key."""
    nonce = secrets.token_bytes(envelope.NONCE_BYTES)
    return envelope.wrap(key, secret, secret_context(info, generation), nonce=nonce)
