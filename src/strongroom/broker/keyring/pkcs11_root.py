"""The root key inside a PKCS#11 token: made there, never out of there; the token wraps with AES-256-GCM (v3.0, 2.11.4).

World: the token's library. The context is the additional authenticated data. One session is shared under a lock; it is
opened anew once when the token was away.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pkcs11
from pkcs11 import exceptions as p11

from strongroom.broker.keyring.envelope import EnvelopeTampered
from strongroom.broker.keyring.root_key import ROOT_KEY_BYTES, RootMissing, RootUnreachable, RootUnusable
from strongroom.pki import disk
from strongroom.secret import Secret

KIND = "pkcs11"
PREFIX: Final = "pkcs11-"
MAX_PIN_BYTES: Final = 256
KEY_ID_BYTES: Final = 8
FORMAT: Final = 1
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_PIN: Final = re.compile(rb"[\x21-\x7e]{4,255}\n?")
T = TypeVar("T")

# What a token says of bytes that do not open: CKR_ENCRYPTED_DATA_INVALID in v3.0, CKR_GENERAL_ERROR in SoftHSM 2.6.
_NOT_OPENED: Final = (p11.EncryptedDataInvalid, p11.EncryptedDataLenRange, p11.GeneralError, p11.FunctionFailed,
                      p11.SignatureInvalid, p11.DataInvalid, p11.DataLenRange)  # fmt: skip
# What it says when the session is gone: the token was pulled out or its service was started again.
_GONE: Final = (p11.SessionHandleInvalid, p11.SessionClosed, p11.DeviceRemoved, p11.DeviceError, p11.TokenNotPresent,
                p11.KeyHandleInvalid, p11.ObjectHandleInvalid, p11.UserNotLoggedIn)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """Where the key is: the token's library and label, the key's label, and the file with the PIN (0600)."""

    module: str
    token: str
    key_label: str
    pin_file: Path


class Pkcs11Root:
    """A root key in a token. Threads may share it."""

    def __init__(self, place: Token, *, wanted: str | None = None, make: bool = False) -> None:
        """Log in and find the key with the label, or with the id `wanted`; with `make`, make a new one.

        Raises RootUnreachable, RootUnusable, RootMissing, LoosePermissions.
        """
        self._place = place
        self._lock = threading.Lock()
        self._session: Any = None
        self._key: Any = None
        self.description = f"PKCS#11 token {place.token!r}, key {place.key_label!r}"
        self._key_id = secrets.token_bytes(KEY_ID_BYTES) if make else _key_id(wanted)
        with self._lock:
            self._reached(self._make if make else self._find)
        self.id = f"{PREFIX}{self._key_id.hex()}"

    def wrap(self, key: Secret, context: bytes) -> bytes:
        """Encrypt inside the token."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        parameters = pkcs11.GCMParams(nonce, aad=context, tag_bits=8 * TAG_BYTES)
        with key.reveal() as raw, self._lock:
            body = self._again(
                lambda: self._key.encrypt(raw, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters)
            )
        return bytes([FORMAT]) + nonce + bytes(body)

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt inside the token. Raises EnvelopeTampered."""
        if len(wrapped) < 1 + NONCE_BYTES + TAG_BYTES or wrapped[0] != FORMAT:
            raise EnvelopeTampered(f"{len(wrapped)} wrapped bytes are not of the format {FORMAT}")
        nonce, body = wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :]
        parameters = pkcs11.GCMParams(nonce, aad=context, tag_bits=8 * TAG_BYTES)
        with self._lock:
            return Secret(
                self._again(
                    lambda: self._key.decrypt(body, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters)
                )
            )

    def close(self) -> None:
        """Log out."""
        with self._lock:
            session, self._session, self._key = self._session, None, None
            if session is not None:
                try:
                    session.close()
                except p11.PKCS11Error:
                    return  # the token is gone, and the session with it

    def _again(self, action: Callable[[], T]) -> T:
        """Run `action`; once more with a new session if the token was away."""
        if self._session is None:
            self._reached(self._find)
        try:
            return action()
        except _GONE:
            self._reached(self._find)
        except _NOT_OPENED:
            raise EnvelopeTampered("something wrapped does not open in the token") from None
        except p11.PKCS11Error as problem:
            raise self._unreachable(problem) from None
        try:
            return action()
        except _NOT_OPENED:
            raise EnvelopeTampered("something wrapped does not open in the token") from None
        except p11.PKCS11Error as problem:
            raise self._unreachable(problem) from None

    def _reached(self, action: Callable[[], None]) -> None:
        pin = self._pin()
        try:
            with pin.reveal() as raw:
                self._log_in(raw.decode("ascii"))
            action()
        except p11.PKCS11Error as problem:
            raise self._unreachable(problem) from None
        except RuntimeError as problem:  # the library cannot be loaded
            raise RootUnreachable(f"{self._place.module}: {str(problem)[:160]}") from None
        finally:
            pin.wipe()

    def _log_in(self, pin: str) -> None:
        token = pkcs11.lib(self._place.module).get_token(token_label=self._place.token)
        try:
            self._session = token.open(user_pin=pin, rw=True)
        except p11.UserAlreadyLoggedIn:  # the login is the process's, not the session's
            self._session = token.open(rw=True)

    def _make(self) -> None:
        label = self._place.key_label
        try:
            self._key = self._session.generate_key(
                pkcs11.KeyType.AES, 8 * ROOT_KEY_BYTES, id=self._key_id, label=label, store=True,
                capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                template={
                    pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.SENSITIVE: True,
                    pkcs11.Attribute.PRIVATE: True, pkcs11.Attribute.MODIFIABLE: False,
                },
            )  # fmt: skip
        except (p11.MechanismInvalid, p11.TemplateInconsistent, p11.AttributeValueInvalid) as problem:
            raise RootUnusable(f"the token cannot make an AES-256 key: {type(problem).__name__}") from None

    def _find(self) -> None:
        template = {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.Attribute.LABEL: self._place.key_label,
        }
        if self._key_id:
            template[pkcs11.Attribute.ID] = self._key_id
        found = list(self._session.get_objects(template))
        if len(found) != 1:
            raise RootMissing(
                f"the token {self._place.token!r} holds {len(found)} keys with the label {self._place.key_label!r}",
                fix="Check token and key_label in strongroom.toml.",
            )
        self._key = found[0]
        if self._key[pkcs11.Attribute.EXTRACTABLE] or not self._key[pkcs11.Attribute.SENSITIVE]:
            raise RootUnusable(f"the key {self._place.key_label!r} could be taken out of its token")
        self._key_id = bytes(self._key[pkcs11.Attribute.ID])
        if not 1 <= len(self._key_id) <= 24:
            raise RootUnusable(f"the key {self._place.key_label!r} has an id of {len(self._key_id)} bytes")

    def _pin(self) -> Secret:
        content = disk.read_secret(self._place.pin_file, limit=MAX_PIN_BYTES)
        with content.reveal() as raw:
            if not _PIN.fullmatch(raw):
                raise RootUnusable(f"{self._place.pin_file} does not hold one line with a PIN")
            return Secret(raw.removesuffix(b"\n"))

    def _unreachable(self, problem: Exception) -> RootUnreachable:
        return RootUnreachable(f"the token {self._place.token!r} says {type(problem).__name__}")


def _key_id(root_id: str | None) -> bytes:
    """Return the id of the key in its token (CKA_ID); empty where the label alone has to do."""
    if root_id is None or not root_id.startswith(PREFIX):
        return b""
    return bytes.fromhex(root_id.removeprefix(PREFIX))
