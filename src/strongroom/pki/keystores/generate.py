"""The folder `keys/`: CA certificate, leafs, key stores, and keys.yaml; made at once, renewed in one step.

World: that folder. It is laid out as Kubernetes lays out a mounted Secret: every name is a link through `..data`, and
one rename of that link puts all new files in the place of all old ones, so that nobody ever reads a new certificate
beside an old key. What the renewal replaced stays for those who are reading it, until the next renewal.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.errors import BadInput
from strongroom.pki import disk, keys
from strongroom.pki.authority import Authority
from strongroom.pki.keystores import logins
from strongroom.pki.keystores import parts as known
from strongroom.pki.keystores.issuing import MOST_DAYS, Made, issue, trust_stores
from strongroom.pki.keystores.parts import SERVER, KeyKind, Part
from strongroom.pki.keystores.passwords import MOST, check_password, new_password
from strongroom.pki.keystores.sealing_keys import KEYS_NAME, sealed_secrets
from strongroom.secret import Secret

CA: Final = "ca.crt"
PIN: Final = "ca.pin"  # the same once more, sealed: a part knows by it that nobody swapped the other
DATA: Final = "..data"
SETTINGS: Final = "keys.json"
YAML: Final = "keys.yaml"
PART_FILE: Final = "tls"  # keys/redis/tls.crt, tls.key, …
_MAX_SETTINGS_BYTES: Final = 256 * 1024


class NotAKeysFolder(BadInput):
    """A folder was not made by strongroom keys generate, so that there is nothing to renew in it."""

    code = "SR-KEYS-FOLDER"
    fix = "Make one with strongroom keys generate --out FOLDER, without --renew."


class TooManyDays(BadInput):
    """A leaf certificate was asked for that would be valid for longer than browsers accept."""

    code = "SR-KEYS-DAYS"
    fix = "Ask for 1 to 397 days, and renew in time: strongroom keys generate --renew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a renewal has to know again."""

    parts: tuple[Part, ...]
    kind: KeyKind = KeyKind.EC
    days: int = 90
    secret_name: str = KEYS_NAME

    def __post_init__(self) -> None:
        """Raises TooManyDays."""
        if not 1 <= self.days <= MOST_DAYS:
            raise TooManyDays(f"{self.days} days are none of 1 to {MOST_DAYS}")


def generate(
    folder: Path, authority: Authority, password: Secret, settings: Settings, *, sealing_key: Secret, now: datetime
) -> None:
    """Make the folder. Raises AlreadyThere, WeakStorePassword, BadName, AuthorityEndsFirst."""
    check_password(password)
    users = {part.name: new_password() for part in logins.users(settings.parts)}
    with disk.new_folder(folder) as new:
        name = _fill(new, authority, password, settings, users, sealing_key=sealing_key, now=now)
        (new / DATA).symlink_to(name)
        _link_names(new, name)


def renew(folder: Path, authority: Authority, password: Secret, *, sealing_key: Secret, now: datetime) -> Settings:
    """Replace every leaf and store in one step, under the same CA; return the settings it was made with.

    Raises NotAKeysFolder, KeyMismatch where the CA is another one, and what `generate` raises.
    """
    settings = read_settings(folder)
    check_password(password)
    before = disk.read_bounded(folder / CA, limit=keys.MAX_PEM_BYTES)
    if before != authority.certificate_pem:
        raise keys.KeyMismatch(f"{folder} was made under another CA", fix="Name the workspace it was made with.")
    old = os.readlink(folder / DATA)  # noqa: PTH115  # a name, not a path
    users = {part.name: _login(_place(folder, part)) for part in logins.users(settings.parts)}
    name = _fill(folder, authority, password, settings, users, sealing_key=sealing_key, now=now)
    fresh = folder / f"..link-{secrets.token_hex(8)}"
    fresh.symlink_to(name)
    fresh.replace(folder / DATA)  # from here on every reader sees the new files
    _link_names(folder, name)
    disk.sync_folder(folder)
    for each in folder.glob("..2*"):
        if each.name not in {old, name}:
            shutil.rmtree(each)
    return settings


def read_settings(folder: Path) -> Settings:
    """Return what a folder was made with. Raises NotAKeysFolder."""
    try:
        os.readlink(folder / DATA)  # noqa: PTH115  # only that there is one matters
        document = json.loads(disk.read_bounded(folder / SETTINGS, limit=_MAX_SETTINGS_BYTES))
        return Settings(
            parts=known.from_json(document["parts"]), kind=KeyKind(document["key"]), days=int(document["days"]),
            secret_name=str(document["secret"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise NotAKeysFolder(f"{folder} has no {SETTINGS} that strongroom keys generate wrote") from None


def ends(folder: Path) -> datetime:
    """Return when the first of a folder's leafs ends. Raises NotAKeysFolder, BadCertificate."""
    found = [_place(folder, part) / f"{_file_name(part)}.crt" for part in read_settings(folder).parts]
    certificates = [keys.load_certificates(disk.read_bounded(path, limit=keys.MAX_PEM_BYTES))[0] for path in found]
    return min(each.not_valid_after_utc for each in certificates)


def is_due(folder: Path, *, now: datetime, before: timedelta) -> bool:
    """Return whether a leaf ends within `before`."""
    return ends(folder) - now <= before


def _login(place: Path) -> Secret:
    """Return the password that a part has already: Redis knows it, and a renewal is about certificates."""
    return disk.read_secret(place / logins.FILE, limit=MOST)


def _fill(
    folder: Path, authority: Authority, password: Secret, settings: Settings, users: Mapping[str, Secret], *,
    sealing_key: Secret, now: datetime,
) -> str:  # fmt: skip
    """Write one generation of files into a folder of its own beneath `folder`, and return that one's name."""
    name = f"..{now.astimezone(UTC):%Y_%m_%d_%H_%M_%S}.{secrets.token_hex(4)}"
    # Whoever has a certificate of this one may join a Flink cluster and run code in it: no part of the queue may.
    flink = Authority.create("Strongroom Flink", now=now, days=settings.days + 1, curve=ec.SECP256R1)
    issuers = {part.name: flink if part.apart else authority for part in settings.parts}
    made = {
        part.name: issue(part, issuers[part.name], password, kind=settings.kind, days=settings.days, now=now,
                         file_name=_file_name(part))
        for part in settings.parts
    }  # fmt: skip
    made = logins.added(made, users)
    made = {part.name: _complete(part, made[part.name], issuers[part.name], password, now) for part in settings.parts}
    with disk.new_folder(folder / name) as new:
        for part in settings.parts:
            _write(_place(new, part), made[part.name])
        disk.write_public(new / YAML, sealed_secrets(made, sealing_key, base=settings.secret_name))
        disk.write_public(new / SETTINGS, _render(settings))
        if not (new / CA).exists():
            disk.write_public(new / CA, authority.certificate_pem)
    return name


def _complete(part: Part, files: Made, issuer: Authority, password: Secret, now: datetime) -> Made:
    """Return a part's files with the certificate that it trusts, and for a JVM in stores."""
    stores = trust_stores(issuer, password, now=now) if part.stores else {}
    pin = {PIN: Secret(issuer.certificate_pem)}
    return Made({**files.public, CA: issuer.certificate_pem}, {**files.private, **stores, **pin})


def _write(place: Path, files: Made) -> None:
    place.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    for name, data in files.public.items():
        disk.write_public(place / name, data)
    for name, secret in files.private.items():
        disk.write_secret(place / name, secret)


def _render(settings: Settings) -> bytes:
    document: dict[str, Any] = {
        "key": settings.kind.value, "days": settings.days, "secret": settings.secret_name,
        "parts": known.to_json(settings.parts),
    }  # fmt: skip
    return json.dumps(document, indent=1).encode() + b"\n"


def _link_names(folder: Path, name: str) -> None:
    for each in sorted((folder / name).iterdir()):
        link = folder / each.name
        if not link.is_symlink():
            link.symlink_to(Path(DATA) / each.name)


def _file_name(part: Part) -> str:
    return SERVER if part.name == SERVER else PART_FILE


def _place(folder: Path, part: Part) -> Path:
    return folder if part.name == SERVER else folder / part.name
