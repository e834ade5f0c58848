"""Which password may protect a key store, and how one is made. Pure but for fresh random bytes."""

from __future__ import annotations

import base64
import secrets
from typing import Final

from strongroom.errors import BadInput
from strongroom.secret import Secret

LEAST: Final = 7  # "longer than 6, digits and letters": the reference guide's rule
MOST: Final = 128
_RANDOM_BYTES: Final = 24


class WeakStorePassword(BadInput):
    """A key store's password is too short or too simple, or holds what Java, OpenSSL and Redis read differently."""

    code = "SR-KEYSTORE-WEAK-PASSWORD"
    fix = "Use 7 to 128 printable ASCII characters without blanks, letters and digits among them; 20 or more for JKS."


def check_password(password: Secret) -> None:
    """Raise WeakStorePassword unless the password may protect a key store."""
    with password.reveal() as raw:
        if not LEAST <= len(raw) <= MOST:
            raise WeakStorePassword(f"a password of {len(raw)} characters is none of {LEAST} to {MOST}")
        if not all(0x21 <= byte <= 0x7E for byte in raw):
            raise WeakStorePassword("the password holds blanks or characters that are not printable ASCII")
        text = raw.decode("ascii")
        if not (any(map(str.isdigit, text)) and any(map(str.isalpha, text))):
            raise WeakStorePassword("the password has no digit, or no letter")


def password_of(line: Secret) -> Secret:
    """Return the password in the one line of a file. Raises WeakStorePassword."""
    with line.reveal() as raw:
        found = Secret(raw.removesuffix(b"\n").removesuffix(b"\r"))
    check_password(found)
    return found


def new_password() -> Secret:
    """Return a random password: 32 characters, 192 bits."""
    while True:
        found = Secret(base64.urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)))
        try:
            check_password(found)
        except WeakStorePassword:  # one in thousands has no digit
            continue
        return found
