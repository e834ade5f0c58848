"""Where Redis is and how we and it prove who we are: addresses, certificates, passwords, and what can be wrong there.

World: files. Certificates and passwords are read when a connection is made, so that they renew without a restart.
Source: spec `cluster-serving.md` section 11.7; threats DP-04.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.clusterserving.config import QueueConfig
from strongroom.errors import BadInput, Refused, Unreachable
from strongroom.pki import disk
from strongroom.pki.keystores.entries import TrustedEntry
from strongroom.pki.keystores.jks import MAGIC, read_jks
from strongroom.pki.keystores.pkcs12 import read_pkcs12
from strongroom.pki.lending import as_path
from strongroom.secret import Secret

MAX_PASSWORD_BYTES: Final = 4096
MAX_PEM_BYTES: Final = 1024 * 1024
JKS: Final = MAGIC.to_bytes(4, "big")
SEQUENCE: Final = b"\x30"  # how PKCS #12, being DER, begins


class RedisAway(Unreachable):
    """Redis cannot be reached, is still loading its data, or the connection was lost."""

    code = "SR-REDIS-AWAY"
    fix = "Check redisUrl and that Redis runs and listens with TLS; then try again."

    unsure = False
    """Whether a command was sent whose outcome is not known."""

    def __init__(self, sentence: str, *, fix: str | None = None, unsure: bool = False) -> None:
        super().__init__(sentence, fix=fix)
        self.unsure = unsure


class RedisRefused(Refused):
    """Redis does not take the certificate, the user, the password or the command."""

    code = "SR-REDIS-REFUSED"
    fix = "Use the certificate, user and password file that were made for this role (docs/queue.md)."


class RedisUnverified(Refused):
    """The certificate that Redis shows is not that of the host we asked for, from the CA that we trust."""

    code = "SR-REDIS-UNVERIFIED"
    fix = "Give the CA of Redis' certificate (redisCaFile) and the host name that stands in it (redisUrl)."


class RedisPlaintext(Refused):
    """Redis on another machine would be asked without TLS."""

    code = "SR-REDIS-PLAINTEXT"
    fix = "Set redisSecureEnabled: true with redisCaFile, or write redisUrl as rediss://HOST:PORT."


class RedisSetup(BadInput):
    """A file that the connection to Redis needs is missing or holds something else."""

    code = "SR-REDIS-SETUP"
    fix = "Check the paths of redisCaFile, redisCertFile, redisKeyFile and redisPasswordFile."


class NoRedisLibrary(BadInput):
    """The Python client of Redis is not installed."""

    code = "SR-REDIS-LIBRARY"
    fix = "Run pip install 'strongroom[streaming]'."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where Redis is, and how we and it prove who we are. Paths are read when a connection is made.

    Without TLS only this machine is asked (loopback, Unix socket) unless `allow_plaintext` says otherwise.
    """

    host: str = "localhost"
    port: int = 6379
    tls: bool = False
    unix: str | None = None
    database: int = 0
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    trust_store_password_file: str | None = None
    timeout_ms: int = 5000
    allow_plaintext: bool = False
    unseal: Callable[[str], Secret] | None = None  # reads password and key where these files are sealed

    @classmethod
    def of(cls, config: QueueConfig, *, unseal: Callable[[str], Secret] | None = None) -> Place:
        """Return what a configuration says of Redis."""
        return cls(
            host=config.redis_host, port=config.redis_port, tls=config.redis_tls, unix=config.redis_unix,
            database=config.redis_database, user=config.redis_user, password_file=config.redis_password_file,
            ca_file=config.redis_ca_file or config.redis_trust_store, cert_file=config.redis_cert_file,
            key_file=config.redis_key_file, trust_store_password_file=config.redis_trust_store_password_file,
            timeout_ms=config.redis_timeout_ms, unseal=unseal,
        )  # fmt: skip

    @property
    def spelled(self) -> str:
        """The address as people write it, without user and password."""
        if self.unix is not None:
            return f"unix://{self.unix}"
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}"


class Credentials:
    """What a Place's files hold, read again when one of them changes: certificates renew without a restart."""

    def __init__(self, place: Place) -> None:
        """Raises RedisPlaintext, RedisSetup: what can be known before there is a connection."""
        if not place.tls and place.unix is None and not place.allow_plaintext and not _is_loopback(place.host):
            raise RedisPlaintext(f"{place.spelled} is on another machine and without TLS")
        self._place = place
        self._lock = threading.Lock()
        self._seen: object = None
        self._context: ssl.SSLContext | None = None
        if place.tls:
            self.context()
        self.login()

    def context(self) -> ssl.SSLContext:
        """Return the TLS context: TLS 1.2 or newer, certificate and host name verified. Raises RedisSetup."""
        place = self._place
        files = [
            each
            for each in (place.ca_file, place.cert_file, place.key_file, place.trust_store_password_file)
            if each is not None
        ]
        with self._lock:
            state = tuple(_state(path) for path in files)
            if self._context is None or state != self._seen:
                self._context, self._seen = _context(place), state
            return self._context

    def login(self) -> tuple[str, ...]:
        """Return user and password as AUTH takes them, nothing where there is no password. Raises RedisSetup."""
        place = self._place
        if place.password_file is None:
            return ()
        try:
            secret = (
                disk.read_secret(Path(place.password_file), limit=MAX_PASSWORD_BYTES)
                if place.unseal is None
                else place.unseal(place.password_file)
            )
        except OSError as problem:
            raise RedisSetup(f"{place.password_file} cannot be read: {problem.strerror}") from None
        password = text_of(secret)
        return (place.user, password) if place.user is not None else (password,)


def text_of(secret: Secret) -> str:
    """Return a password without the line's end that editors put there. Raises RedisSetup."""
    with secret.reveal() as raw:
        try:
            return raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise RedisSetup("a password file is not UTF-8") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _state(path: str) -> tuple[int, int, int]:
    try:
        found = Path(path).stat()
    except OSError as problem:
        raise RedisSetup(f"{path} cannot be read: {problem.strerror}") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _context(place: Place) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if place.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=_trusted(place, place.ca_file))
        if place.cert_file is not None and place.key_file is not None and place.unseal is not None:
            with as_path(place.unseal(place.key_file)) as key_file:
                context.load_cert_chain(place.cert_file, key_file, password=_no_passphrase)
        elif place.cert_file is not None:
            if place.key_file is not None:
                disk.check_private(Path(place.key_file))
            context.load_cert_chain(place.cert_file, place.key_file, password=_no_passphrase)
    except (OSError, ValueError) as problem:  # SSLError is an OSError
        reason = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or type(problem).__name__
        raise RedisSetup(f"OpenSSL does not take the files for {place.spelled}: {reason}") from None
    return context


def _trusted(place: Place, path: str) -> str | bytes:
    """Return the certificates of a CA file or trust store, told apart by content: PEM, PKCS #12, JKS."""
    data = disk.read_bounded(Path(path), limit=MAX_PEM_BYTES)
    if not data.startswith((JKS, SEQUENCE)):
        return data.decode("ascii")
    if place.trust_store_password_file is None:
        raise RedisSetup(f"{path} is a trust store with a password, and redisSecureTrustStorePasswordFile is not set")
    secret = disk.read_secret(Path(place.trust_store_password_file), limit=MAX_PASSWORD_BYTES)
    password = Secret(text_of(secret).encode())
    entries = read_jks(data, password) if data.startswith(JKS) else read_pkcs12(data, password)
    found = [each.certificate for each in entries if isinstance(each, TrustedEntry)]
    if not found:
        raise RedisSetup(f"{path} holds no certificate of a CA")
    return b"".join(found)


def _no_passphrase() -> str:
    raise ValueError("the private key is encrypted")
