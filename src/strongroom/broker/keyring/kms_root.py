"""A root key in a key service: a small interface, a registry by name, and one worked example over HTTPS.

World: the network. TLS is always verified, there is no switch for it; the credential travels in a header and is read
from a 0600 file for each request, so that another program can renew it (threat KD-23).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import json
import re
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from strongroom.broker.keyring.envelope import EnvelopeTampered
from strongroom.broker.keyring.root_key import RootUnreachable, RootUnusable
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.wire import strict_json

PREFIX: Final = "kms:"  # strongroom.toml: root = "kms:vault-transit"
MAX_SETTINGS_BYTES: Final = 16 * 1024
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_TOKEN_BYTES: Final = 8 * 1024
MAX_WRAPPED_BYTES: Final = 8 * 1024
TIMEOUT_S: Final = 15.0
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_MOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)
_TOKEN: Final = re.compile(rb"[\x21-\x7e]{1,8192}\n?")
_WRAPPED: Final = re.compile(r"vault:v[0-9]{1,9}:[A-Za-z0-9+/=]{1,4096}", re.ASCII)


class KeyService(Protocol):
    """What a key service has to offer: authenticated encryption with a context, under a key that it keeps."""

    @property
    def key_name(self) -> str:
        """The key in the service's words; stays the same when the service moves to another address."""

    @property
    def description(self) -> str:
        """For people; holds no credential."""

    def wrap(self, key: Secret, context: bytes) -> bytes:
        """Raises RootUnreachable."""

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Raises EnvelopeTampered where the service refuses what was wrapped, RootUnreachable."""


Settings = Mapping[str, object]
Opener = Callable[[Settings, Path], KeyService]
_registry: dict[str, Opener] = {}


def register(name: str, opener: Opener) -> None:
    """Make a key service known: `opener` gets its settings and the folder that relative paths in them start from."""
    _registry[name] = opener


class KmsRoot:
    """A root key that a key service keeps."""

    def __init__(self, name: str, service: KeyService) -> None:
        self._service = service
        digest = hashlib.sha256(f"{name}\0{service.key_name}".encode()).hexdigest()
        self.id = f"kms-{digest[:16]}"
        self.description = service.description

    def wrap(self, key: Secret, context: bytes) -> bytes:
        """Ask the service."""
        return self._service.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Ask the service. Raises EnvelopeTampered."""
        if len(wrapped) > MAX_WRAPPED_BYTES:
            raise EnvelopeTampered(f"{len(wrapped)} wrapped bytes are more than a key service makes")
        return self._service.unwrap(wrapped, context)

    def close(self) -> None:
        """Nothing is held between requests."""


def open_kms(name: str, folder: Path) -> KmsRoot:
    """Open the key service `name` as FOLDER/NAME.toml describes it. Raises RootUnusable, FileNotFoundError."""
    if name not in _registry:
        raise RootUnusable(f"there is no key service {name[:64]!r}", fix=f"Known are: {', '.join(sorted(_registry))}.")
    path = folder / f"{name}.toml"
    try:
        settings = tomllib.loads(disk.read_bounded(path, limit=MAX_SETTINGS_BYTES).decode())
    except (ValueError, RecursionError) as problem:
        raise RootUnusable(f"{path} is not TOML: {str(problem)[:160]}") from None
    return KmsRoot(name, _registry[name](settings, folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultTransit:
    """The transit engine of HashiCorp Vault or OpenBao: POST /v1/MOUNT/encrypt|decrypt/KEY with associated_data.

    KEY has to be of the type aes256-gcm96 and not exportable, which its policy in the service says.
    """

    host: str
    port: int
    mount: str
    key: str
    token_file: Path
    context: ssl.SSLContext

    @property
    def key_name(self) -> str:
        """The key with its mount."""
        return f"{self.mount}/{self.key}"

    @property
    def description(self) -> str:
        """Where the key is."""
        return f"key {self.key_name} of the transit service at {self.host}:{self.port}"

    def wrap(self, key: Secret, context: bytes) -> bytes:
        """Encrypt in the service."""
        with key.reveal() as raw:
            wrapped = self._ask(
                "encrypt", {"plaintext": _base64(raw), "associated_data": _base64(context)}, "ciphertext"
            )
        if not _WRAPPED.fullmatch(wrapped):
            raise RootUnreachable(f"{self.host} answered with something that is not wrapped")
        return wrapped.encode("ascii")

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Decrypt in the service."""
        text = wrapped.decode("ascii", "replace")
        if not _WRAPPED.fullmatch(text):
            raise EnvelopeTampered("what is wrapped is not from a transit service")
        answer = self._ask("decrypt", {"ciphertext": text, "associated_data": _base64(context)}, "plaintext")
        try:
            return Secret(base64.b64decode(answer, validate=True))
        except (binascii.Error, ValueError):
            raise RootUnreachable(f"{self.host} answered with something that is not base64") from None

    def _ask(self, action: str, question: dict[str, str], wanted: str) -> str:
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT_S, context=self.context)
        try:
            with self._token().reveal() as token:
                headers = {"X-Vault-Token": token.decode("ascii"), "Content-Type": "application/json"}
                connection.request("POST", f"/v1/{self.mount}/{action}/{self.key}", json.dumps(question), headers)
            answer = connection.getresponse()
            body = answer.read(MAX_ANSWER_BYTES + 1)
        except ssl.SSLCertVerificationError as problem:
            raise RootUnreachable(
                f"the certificate of {self.host} is not trusted: {problem.verify_message}",
                fix="Give the key service's CA as ca_file.",
            ) from None
        except (OSError, http.client.HTTPException) as problem:
            raise RootUnreachable(f"{self.host}:{self.port} does not answer: {type(problem).__name__}") from None
        finally:
            connection.close()
        if answer.status == 400 and action == "decrypt":
            raise EnvelopeTampered(f"{self.host} does not open what was wrapped")
        if answer.status != 200 or len(body) > MAX_ANSWER_BYTES:
            raise RootUnreachable(f"{self.host} answered with status {answer.status}")
        found = strict_json.loads(body, what="the answer", error=RootUnreachable)
        data = found.get("data") if isinstance(found, dict) else None
        value = data.get(wanted) if isinstance(data, dict) else None
        if not isinstance(value, str):
            raise RootUnreachable(f"{self.host} answered without {wanted}")
        return value

    def _token(self) -> Secret:
        content = disk.read_secret(self.token_file, limit=MAX_TOKEN_BYTES)
        with content.reveal() as raw:
            if not _TOKEN.fullmatch(raw):
                raise RootUnusable(f"{self.token_file} does not hold one line with a token")
            return Secret(raw.removesuffix(b"\n"))


def open_vault_transit(settings: Settings, folder: Path) -> VaultTransit:
    """Read `url`, `key`, `token_file`, and perhaps `mount` and `ca_file`. Raises RootUnusable."""
    words = {"url", "key", "token_file", "mount", "ca_file"}
    wrong = sorted(word for word, value in settings.items() if word not in words or not isinstance(value, str))
    missing = sorted({"url", "key", "token_file"} - settings.keys())
    if wrong or missing:
        raise RootUnusable(f"the settings of the key service are not right: {', '.join(wrong or missing)[:120]}")
    texts = {word: str(value) for word, value in settings.items()}
    host, port = _address(texts["url"])
    mount = texts.get("mount", "transit")
    if not _KEY_NAME.fullmatch(texts["key"]) or not _MOUNT.fullmatch(mount) or ".." in mount:
        raise RootUnusable("the key service's key or mount is not a name")
    authorities = folder / texts["ca_file"] if "ca_file" in texts else None
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as problem:  # ssl.SSLError is one
        raise RootUnusable(f"{authorities} cannot be read as certificates: {problem.strerror or problem}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return VaultTransit(
        host=host, port=port, mount=mount, key=texts["key"], token_file=folder / texts["token_file"], context=context
    )


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    bare = (
        not parts.username and not parts.password and parts.path in {"", "/"} and not parts.query and not parts.fragment
    )
    if parts.scheme != "https" or not host or not bare:
        raise RootUnusable(
            "the key service's url is not https://HOST:PORT alone", fix="A credential goes in token_file."
        )
    return host, port


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


register("vault-transit", open_vault_transit)
