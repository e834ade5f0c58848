"""The front's certificate and key, whichever file they come in: PEM, PKCS #12 or JKS, told apart by content.

World: files. They are looked at again and again; when they change, new connections get the new certificate, so that
certificates renew without a restart. A file that cannot be used changes nothing, and is told in the log.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from strongroom.broker.web.server import tls_context
from strongroom.errors import BadInput, StrongroomError
from strongroom.pki import disk, keys
from strongroom.pki.keystores.entries import KeyEntry
from strongroom.pki.keystores.jks import MAGIC, read_jks
from strongroom.pki.keystores.pkcs12 import read_pkcs12
from strongroom.secret import Secret

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_PASSWORD_BYTES: Final = 4096
_JKS: Final = MAGIC.to_bytes(4, "big")
_CERTIFICATE: Final = b"CERTIFICATE"
_log: Final = logging.getLogger("strongroom.queue.frontend")


class FrontKeyUnusable(BadInput):
    """The front end's certificate and key (httpsKeyStorePath) cannot be used."""

    code = "SR-QUEUE-HTTPS-STORE"
    fix = "Give a PEM file (certificates and key, or the key in --httpsKeyPath), PKCS12 or JKS, with mode 0600."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """Where certificate and key are. `key`: the key, where it is a PEM file of its own."""

    store: Path
    key: Path | None = None
    password: Path | None = None  # the file that holds it
    client_ca: Path | None = None  # whose certificates callers must have

    def context(self) -> ssl.SSLContext:
        """Return the port's TLS context. Raises FrontKeyUnusable and what the files' readers raise."""
        try:
            certificates, key = self._read()
            client_ca = disk.read_bounded(self.client_ca, limit=MAX_FILE_BYTES) if self.client_ca else None
        except OSError as problem:
            raise FrontKeyUnusable(f"{problem.filename} cannot be read: {problem.strerror}") from None
        if client_ca is not None:
            keys.load_certificates(client_ca)
        try:
            return tls_context(certificates, key, client_ca_pem=client_ca)
        except StrongroomError as problem:
            raise FrontKeyUnusable(f"{self.store.name}: {problem.sentence}") from None

    def state(self) -> tuple[object, ...]:
        """Return what changes when one of the files does."""
        return tuple(_state(each) for each in (self.store, self.key, self.password, self.client_ca) if each)

    def _read(self) -> tuple[bytes, Secret]:
        """Return the chain and the unencrypted key, both PEM."""
        data = disk.read_bounded(self.store, limit=MAX_FILE_BYTES)
        password = self._password()
        if data.startswith((_JKS, b"\x30")):
            disk.check_private(self.store)
            return _from_store(data, password, self.store.name)
        chain = b"".join(keys.to_pem(label, der) for label, der in keys.blocks(data) if label == _CERTIFICATE)
        if not chain:
            raise FrontKeyUnusable(f"{self.store.name} is no PKCS12 or JKS, and holds no certificate in PEM form")
        source = self.key or self.store
        pem = disk.read_secret(source, limit=MAX_FILE_BYTES)
        return chain, _from_pem(pem, password, source.name)

    def _password(self) -> Secret | None:
        if self.password is None:
            return None
        with disk.read_secret(self.password, limit=MAX_PASSWORD_BYTES).reveal() as raw:
            return Secret(bytes(raw).rstrip(b"\r\n"))


def _from_store(data: bytes, password: Secret | None, name: str) -> tuple[bytes, Secret]:
    if password is None:
        raise FrontKeyUnusable(f"{name} has a password: give the file that holds it as --httpsKeyStoreTokenFile")
    entries = read_jks(data, password) if data.startswith(_JKS) else read_pkcs12(data, password)
    found = next((each for each in entries if isinstance(each, KeyEntry)), None)
    if found is None:
        raise FrontKeyUnusable(f"{name} holds no private key")
    with found.key.reveal() as der:
        key = load_der_private_key(der, None)
    return _chain(found.chain), _plain(key, name)


def _from_pem(pem: Secret, password: Secret | None, name: str) -> Secret:
    with pem.reveal() as raw:
        blocks = [keys.to_pem(label, der) for label, der in keys.blocks(raw) if label.endswith(b"PRIVATE KEY")]
        if len(blocks) != 1:
            raise FrontKeyUnusable(f"{name} holds {len(blocks)} private keys, not one")
        encrypted = b"ENCRYPTED" in raw
    try:
        if not encrypted:
            return _plain(load_pem_private_key(blocks[0], None), name)
        if password is None:
            raise FrontKeyUnusable(f"the key in {name} is encrypted: give --httpsKeyStoreTokenFile")
        with password.reveal() as words:
            return _plain(load_pem_private_key(blocks[0], words), name)
    except (ValueError, TypeError):
        raise FrontKeyUnusable(f"the key in {name} does not open with that password") from None


def _plain(key: object, name: str) -> Secret:
    if not isinstance(key, keys.PrivateKey):
        raise FrontKeyUnusable(f"the key in {name} is neither RSA nor on P-256 or P-384")
    return keys.private_pem(key)


def _chain(certificates: Sequence[bytes]) -> bytes:
    return b"".join(keys.to_pem(_CERTIFICATE, der) for der in certificates)


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


class Renewal:
    """Notices that the files changed, and gives the new context once they can be used."""

    def __init__(self, files: KeyFiles) -> None:
        """Raises what `KeyFiles.context` raises: a front does not start without its certificate."""
        self._files = files
        self._seen = files.state()
        self.first = files.context()

    def look(self) -> ssl.SSLContext | None:
        """Return a new context if the files changed and hold one; files that do not are told and tried again."""
        state = self._files.state()
        if state == self._seen:
            return None
        try:
            found = self._files.context()
        except StrongroomError as problem:
            _log.warning("the changed certificate is not used: %s [%s]", problem.sentence, problem.code)
            return None
        self._seen = state
        return found
