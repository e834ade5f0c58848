"""Java's own key store format, JKS version 2, read and written without a JDK. Pure but for fresh salts.

Layout (the Java platform's public sources and documentation): magic FEEDFEED, version, number of entries; each entry
its tag, alias and time in milliseconds, then a protected key with its chain, or one certificate; at the end SHA-1 over
password (UTF-16, big-endian), the words "Mighty Aphrodite" and all before. A key is XORed with a chain of SHA-1 values
over password and salt: no more than obfuscation under a short password. PKCS #12 is better; JKS is for what wants it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from strongroom.pki.keystores.entries import (
    MAX_ALIAS_BYTES,
    MAX_CHAIN,
    MAX_ENTRIES,
    MAX_STORE_BYTES,
    BadKeyStore,
    Entry,
    KeyEntry,
    TrustedEntry,
    WrongStorePassword,
)
from strongroom.secret import Secret

MAGIC: Final = 0xFEEDFEED
VERSION: Final = 2
X509: Final = "X.509"
_KEY, _TRUSTED = 1, 2
_WHITENER: Final = b"Mighty Aphrodite"
_DIGEST_BYTES: Final = 20
# AlgorithmIdentifier { 1.3.6.1.4.1.42.2.17.1.1, NULL }: Sun's key protection.
_ALGORITHM: Final = bytes.fromhex("300e060a2b060104012a021101010500")
_EPOCH_MS: Final = 1000


def write_jks(entries: Iterable[Entry], password: Secret, *, now: datetime) -> bytes:
    """Return a JKS store whose checksum and keys are under `password`. Raises BadKeyStore for what does not fit."""
    parts = [_entry(each, password, int(now.timestamp() * _EPOCH_MS)) for each in entries]
    if len(parts) > MAX_ENTRIES:
        raise BadKeyStore(f"{len(parts)} entries are more than {MAX_ENTRIES}")
    body = b"".join((MAGIC.to_bytes(4, "big"), VERSION.to_bytes(4, "big"), len(parts).to_bytes(4, "big"), *parts))
    return body + _checksum(password, body)


def read_jks(data: bytes, password: Secret) -> tuple[Entry, ...]:
    """Return a store's entries, keys opened. Raises BadKeyStore, WrongStorePassword."""
    if len(data) > MAX_STORE_BYTES:
        raise BadKeyStore(f"a key store of {len(data)} bytes is longer than {MAX_STORE_BYTES}")
    if len(data) < 12 + _DIGEST_BYTES or int.from_bytes(data[:4], "big") != MAGIC:
        raise BadKeyStore("the bytes are no JKS store")
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not hmac.compare_digest(digest, _checksum(password, body)):
        raise WrongStorePassword("the JKS store's checksum does not fit its password")
    reader = _Reader(body)
    reader.number(4)
    version, count = reader.number(4), reader.number(4)
    if version != VERSION:
        raise BadKeyStore(f"the JKS store has version {version}, {VERSION} was expected")
    if count > MAX_ENTRIES:
        raise BadKeyStore(f"the JKS store says it has {count} entries, more than {MAX_ENTRIES}")
    entries = tuple(_read_entry(reader, password) for _ in range(count))
    if reader.left:
        raise BadKeyStore(f"{reader.left} bytes follow the last entry")
    return entries


def _entry(entry: Entry, password: Secret, time_ms: int) -> bytes:
    head = _text(entry.alias.lower()) + time_ms.to_bytes(8, "big")  # Java looks aliases up in lower case
    if isinstance(entry, TrustedEntry):
        return _TRUSTED.to_bytes(4, "big") + head + _certificate(entry.certificate)
    if not 0 < len(entry.chain) <= MAX_CHAIN:
        raise BadKeyStore(f"a chain of {len(entry.chain)} certificates is none of 1 to {MAX_CHAIN}")
    chain = b"".join(map(_certificate, entry.chain))
    protected = _protect(entry.key, password)
    return b"".join((
        _KEY.to_bytes(4, "big"), head, _sized(protected), len(entry.chain).to_bytes(4, "big"), chain,
    ))  # fmt: skip


def _read_entry(reader: _Reader, password: Secret) -> Entry:
    tag = reader.number(4)
    alias = reader.text(MAX_ALIAS_BYTES)
    reader.take(8)
    if tag == _TRUSTED:
        return TrustedEntry(alias=alias, certificate=reader.certificate())
    if tag != _KEY:
        raise BadKeyStore(f"an entry has the tag {tag}, which is none of {_KEY} and {_TRUSTED}")
    protected = reader.sized()
    length = reader.number(4)
    if length > MAX_CHAIN:
        raise BadKeyStore(f"a chain of {length} certificates is longer than {MAX_CHAIN}")
    chain = tuple(reader.certificate() for _ in range(length))
    return KeyEntry(alias=alias, key=_open(protected, password), chain=chain)


def _checksum(password: Secret, body: bytes) -> bytes:
    with password.reveal() as raw:
        return hashlib.sha1(_utf16(raw) + _WHITENER + body).digest()  # noqa: S324  # the format's


def _utf16(password: bytes) -> bytes:
    try:
        return password.decode("utf-8").encode("utf-16-be")
    except UnicodeDecodeError:
        raise WrongStorePassword("the key store's password is not UTF-8") from None


def _stream(password: bytes, salt: bytes, length: int) -> bytes:
    """Return `length` bytes to XOR with: SHA-1 over password and what came before, salt first."""
    found, block = bytearray(), salt
    while len(found) < length:
        block = hashlib.sha1(password + block).digest()  # noqa: S324  # the format's
        found += block
    return bytes(found[:length])


def _protect(key: Secret, password: Secret) -> bytes:
    salt = secrets.token_bytes(_DIGEST_BYTES)
    with key.reveal() as plain, password.reveal() as raw:
        words = _utf16(raw)
        hidden = _xor(plain, _stream(words, salt, len(plain)))
        check = hashlib.sha1(words + plain).digest()  # noqa: S324  # the format's
    return _der(0x30, _ALGORITHM + _der(0x04, salt + hidden + check))


def _open(protected: bytes, password: Secret) -> Secret:
    inner = _undress(_undress(protected, 0x30, _ALGORITHM), 0x04)
    if len(inner) < 2 * _DIGEST_BYTES:
        raise BadKeyStore("a protected key is shorter than its salt and checksum")
    salt, hidden, check = inner[:_DIGEST_BYTES], inner[_DIGEST_BYTES:-_DIGEST_BYTES], inner[-_DIGEST_BYTES:]
    with password.reveal() as raw:
        words = _utf16(raw)
        plain = _xor(hidden, _stream(words, salt, len(hidden)))
        fits = hmac.compare_digest(check, hashlib.sha1(words + plain).digest())  # noqa: S324  # the format's
    if not fits:
        raise WrongStorePassword("a key in the JKS store has another password than the store")
    return Secret(plain)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def _undress(data: bytes, tag: int, prefix: bytes = b"") -> bytes:
    """Return the content of the one DER value that `data` is, after a prefix that it must have."""
    short = data[1] if len(data) > 1 else 0
    begin = 2 + (short & 0x7F if short & 0x80 else 0)
    content = data[begin:]
    # Only one way to write a length is DER, so writing it anew is the whole check.
    if begin > 6 or data[:1] != bytes([tag]) or _der(tag, content) != data or not content.startswith(prefix):
        raise BadKeyStore("a protected key is not in the form that JKS has")
    return content[len(prefix) :]


def _text(text: str) -> bytes:
    """Return a string as Java's DataOutput writes it (modified UTF-8): NUL is two bytes, large characters are six."""
    raw = b"".join(_character(unit) for unit in _units(text))
    if len(raw) > MAX_ALIAS_BYTES:
        raise BadKeyStore(f"a name of {len(raw)} bytes is longer than {MAX_ALIAS_BYTES}")
    return len(raw).to_bytes(2, "big") + raw


def _units(text: str) -> Iterator[int]:
    raw = text.encode("utf-16-be", "surrogatepass")
    return (int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2))


def _character(unit: int) -> bytes:
    return b"\xc0\x80" if unit == 0 else chr(unit).encode("utf-8", "surrogatepass")


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _certificate(der: bytes) -> bytes:
    return _text(X509) + _sized(der)


class _Reader:
    """Takes one thing after the other; every length is checked before it is used."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        if length > self.left:
            raise BadKeyStore(f"the JKS store is cut off: {length} bytes were expected, {self.left} are left")
        self._at += length
        return self._data[self._at - length : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        return self.take(self.number(4))

    def text(self, limit: int) -> str:
        length = self.number(2)
        if length > limit:
            raise BadKeyStore(f"a name of {length} bytes is longer than {limit}")
        raw = self.take(length).replace(b"\xc0\x80", b"\0")
        try:  # pairs of surrogates, three bytes each, stand for one large character
            return raw.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeError:
            raise BadKeyStore("a name in the JKS store is not in Java's UTF-8") from None

    def certificate(self) -> bytes:
        kind = self.text(MAX_ALIAS_BYTES)
        if kind != X509:
            raise BadKeyStore(f"a certificate of the type {kind[:40]!r} is not X.509")
        return self.sized()
