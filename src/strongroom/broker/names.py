"""What a secret is called, in one spelling: in rules, in the store, in the ledger and in KBS paths (threat KD-18).

Pure. Nothing is decoded, folded or tidied: `%2e`, `..`, an empty part, a leading dot, a letter that is not ASCII or a
version written `01` is refused, so that two different texts never name one secret. Upper and lower case differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Self

from strongroom.workspace.secret_store import MAX_VERSION, BadSecretName

MAX_NAME_CHARS: Final = 128
MAX_TEXT_CHARS: Final = 256  # longer texts are refused before they are looked at
DEFAULT_TENANT: Final = "default"
KBS_SCHEME: Final = "kbs:///"
FORMS: Final = "model/NAME/VERSION, secret/NAME, tls/NAME or password/NAME"
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_CHARS - 1}}}", re.ASCII)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_FIX: Final = f"Write {FORMS}; names are letters, digits, dot, dash and underscore, versions count from 1."
_TENANT_FIX: Final = "A tenant's name is 1 to 63 small letters, digits and dashes, and does not begin with a dash."
_KBS_FIX: Final = "Write TENANT/TYPE/TAG with TYPE model (TAG is NAME.VERSION), secret, tls or password."


class SecretKind(StrEnum):
    """What a secret is for."""

    MODEL = "model"  # the wrap key of one model version
    SECRET = "secret"  # noqa: S105  # the kind's name: anything
    TLS = "tls"  # a TLS identity
    PASSWORD = "password"  # noqa: S105  # the kind's name


@dataclass(frozen=True, slots=True, order=True)
class SecretName:
    """The full name of one secret of a tenant; only a model's has a version."""

    kind: SecretKind
    name: str
    version: int | None = None

    def __post_init__(self) -> None:
        """Hold the grammar however a name was made. Raises BadSecretName."""
        _check_name(self.name)
        if (self.version is not None) != (self.kind is SecretKind.MODEL):
            raise BadSecretName(f"{self.kind} secrets and versions do not go together so", fix=_FIX)
        if self.version is not None and not 1 <= self.version <= MAX_VERSION:
            raise BadSecretName(f"version {self.version} is not between 1 and {MAX_VERSION}", fix=_FIX)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `model/NAME/VERSION`, `secret/NAME`, `tls/NAME` or `password/NAME`. Raises BadSecretName."""
        parts = _parts(text)
        if len(parts) == 3 and parts[0] == SecretKind.MODEL:
            return cls(SecretKind.MODEL, parts[1], _version(parts[2]))
        if len(parts) == 2 and parts[0] in _UNVERSIONED:
            return cls(SecretKind(parts[0]), parts[1])
        raise _not_a_name(text)

    @classmethod
    def from_kbs(cls, kind: str, tag: str) -> Self:
        """Read the last two parts of a KBS path, as they stand in it. Raises BadSecretName."""
        if kind == SecretKind.MODEL:
            name, dot, version = tag[: MAX_TEXT_CHARS + 1].rpartition(".")
            if not dot or len(tag) > MAX_TEXT_CHARS:
                raise BadSecretName(f"{tag[:160]!r} is not NAME.VERSION", fix=_KBS_FIX)
            return cls(SecretKind.MODEL, name, _version(version))
        if kind in _UNVERSIONED:
            return cls(SecretKind(kind), tag)
        raise BadSecretName(f"{kind[:160]!r} is no type of secret", fix=_KBS_FIX)

    def to_kbs(self, tenant: str = DEFAULT_TENANT) -> str:
        """Return the `kbs:///TENANT/TYPE/TAG` of this secret of a tenant. Raises BadSecretName."""
        tag = self.name if self.version is None else f"{self.name}.{self.version}"
        return f"{KBS_SCHEME}{check_tenant(tenant)}/{self.kind}/{tag}"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.version is None else f"{self.kind}/{self.name}/{self.version}"


_UNVERSIONED: Final = frozenset(SecretKind) - {SecretKind.MODEL}


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a rule may release: one secret, or the versions of a model from `low` to `high` (None: no upper end)."""

    kind: SecretKind
    name: str
    low: int | None = None  # None: the kind has no versions
    high: int | None = None

    def __post_init__(self) -> None:
        """Hold the grammar. Raises BadSecretName."""
        SecretName(self.kind, self.name, self.low)
        if self.high is not None:
            SecretName(self.kind, self.name, self.high)
            if self.low is not None and self.high < self.low:
                raise BadSecretName(f"the versions {self.low}-{self.high} are none", fix="Write the lower one first.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a secret's name, `model/NAME/LOW-HIGH` or `model/NAME/LOW-`. Raises BadSecretName."""
        parts = _parts(text)
        if len(parts) == 3 and parts[0] == SecretKind.MODEL and "-" in parts[2]:
            low, _, high = parts[2].partition("-")
            return cls(SecretKind.MODEL, parts[1], _version(low), _version(high) if high else None)
        return cls.of(SecretName.parse(text))

    @classmethod
    def of(cls, secret: SecretName) -> Self:
        """Return the pattern that one secret alone matches."""
        return cls(secret.kind, secret.name, secret.version, secret.version)

    @property
    def single(self) -> SecretName | None:
        """The one secret that matches; None where there are several."""
        return _named(self.kind, self.name, self.low) if self.low == self.high else None

    def matches(self, secret: SecretName) -> bool:
        """Return whether the pattern names this secret."""
        return self.kind is secret.kind and self.name == secret.name and self._spans(secret.version)

    def speaks_of_model(self, name: str, version: int | None) -> bool:
        """Return whether it names this version of a model, or with None any version of it."""
        return self.kind is SecretKind.MODEL and self.name == name and (version is None or self._spans(version))

    def _spans(self, version: int | None) -> bool:
        if version is None or self.low is None:
            return version is self.low
        return self.low <= version and (self.high is None or version <= self.high)

    def covers(self, other: Pattern) -> bool:
        """Return whether every secret that matches `other` matches this pattern too."""
        if (self.kind, self.name) != (other.kind, other.name):
            return False
        if self.low is None or other.low is None:
            return True
        below = self.high is None or (other.high is not None and other.high <= self.high)
        return self.low <= other.low and below

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.kind}/{self.name}"
        if self.low == self.high:
            return f"{self.kind}/{self.name}/{self.low}"
        return f"{self.kind}/{self.name}/{self.low}-{'' if self.high is None else self.high}"


def check_tenant(text: str) -> str:
    """Return a tenant's name as it is. Raises BadSecretName."""
    if not _TENANT.fullmatch(text):
        raise BadSecretName(f"{text[:160]!r} is not the name of a tenant", fix=_TENANT_FIX)
    return text


def parse_kbs(path: str) -> tuple[str, SecretName]:
    """Return tenant and secret of `kbs:///TENANT/TYPE/TAG`, or of these three parts alone. Raises BadSecretName.

    `path` is taken as it stands: hand in the path before anything was decoded, and `%61` is no second spelling of `a`.
    """
    parts = path.removeprefix(KBS_SCHEME).split("/", 3)
    if len(path) > MAX_TEXT_CHARS + len(KBS_SCHEME) or len(parts) != 3:
        raise BadSecretName(f"{path[:160]!r} is not the path of a secret", fix=_KBS_FIX)
    return check_tenant(parts[0]), SecretName.from_kbs(parts[1], parts[2])


@lru_cache(maxsize=1024)
def _named(kind: SecretKind, name: str, version: int | None) -> SecretName:
    return SecretName(kind, name, version)


def _not_a_name(text: str) -> BadSecretName:
    return BadSecretName(f"{text[:160]!r} is not the name of a secret", fix=_FIX)


def _parts(text: str) -> list[str]:
    if len(text) > MAX_TEXT_CHARS:
        raise _not_a_name(text)
    return text.split("/", 3)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadSecretName(f"{name[:160]!r} is not a name", fix=_FIX)


def _version(text: str) -> int:
    if not _VERSION.fullmatch(text) or int(text) > MAX_VERSION:
        raise BadSecretName(f"{text[:160]!r} is not a version from 1 to {MAX_VERSION}", fix=_FIX)
    return int(text)
