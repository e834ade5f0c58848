"""Open a part's mounted Secret into the memory of its pod, and again whenever the Secret changes.

World: two folders. Certificates are copied as they are, sealed files are opened at the place they are bound to. As in
`generate`, one rename puts all new files in the place of all old ones.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from strongroom import sealing
from strongroom.errors import BadInput, Refused, Tampered
from strongroom.pki import disk
from strongroom.pki.keystores.generate import CA, DATA, PIN
from strongroom.pki.keystores.sealing_keys import keys_path, password_path
from strongroom.secret import Secret

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 64
STORE_PASSWORD: Final = "store.password"  # noqa: S105  # a file's name
SEALED: Final = b"GRAFS_PF"
PUBLIC_ENDINGS: Final = (".crt", ".csr")


class NoMountedKeys(BadInput):
    """The folder in which a part's Secret should be mounted is missing or empty, or holds what our Secrets do not."""

    code = "SR-KEYS-MOUNT"
    fix = (
        "Make it with strongroom keys generate, apply keys/keys.yaml, and mount the Secret that is named for the part."
    )


class ClearKeys(Refused):
    """A private file of a part lies in clear where the cluster's operator can read it."""

    code = "SR-KEYS-CLEAR"
    fix = "Apply keys/keys.yaml, whose private files are sealed; without any TEE say --clear, which protects nothing."


class SwappedAuthority(Tampered):
    """The CA certificate beside a part's sealed keys is not the one that was sealed with them."""

    code = "SR-KEYS-CA"
    fix = "Somebody changed the Secret: apply keys/keys.yaml again, and find out who may write Secrets there."


def open_part(source: Path, target: Path, part: str, key: Secret | None, *, store_password: Path | None = None) -> None:
    """Write what `source` holds to `target`, opened with `key`; with None private files have to be in clear already.

    `store_password`: the key stores' password, from the mounted Secret ssl-password; it is opened beside them.

    Raises NoMountedKeys, ClearKeys, SwappedAuthority, WrongPath, WrongKeyOrTampered and others of sealed files.
    """
    opened = {path.name: _opened(path, keys_path(part, path.name), key) for path in _files(source)}
    pin = opened.pop(PIN, None)
    if key is not None and opened:
        _check_authority(source, opened.get(CA), pin)
    if store_password is not None:
        opened[STORE_PASSWORD] = _opened(store_password, password_path(), key)
    _publish(source, target, opened)


def open_mounted(source: Path, target: Path, ca: bytes) -> None:
    """Copy what Gramine's own mount shows opened; `ca` is the CA certificate, since that mount shows sealed files only.

    Raises NoMountedKeys, WrongKeyOrTampered's kin as OSError.
    """
    opened = {path.name: _shown(path) for path in _files(source, sealed_only=True)}
    if opened:
        opened[CA] = Secret(ca)
        opened.pop(PIN, None)
    _publish(source, target, opened)


def _check_authority(source: Path, shown: Secret | None, pin: Secret | None) -> None:
    """Refuse a CA that the cluster's operator put there: the part would trust whoever that CA vouches for."""
    if pin is None:
        raise NoMountedKeys(f"{source} holds no {PIN}")
    if shown != pin:
        raise SwappedAuthority(f"{source / CA} is not the certificate that was sealed as {PIN}")


def _publish(source: Path, target: Path, opened: Mapping[str, Secret]) -> None:
    if not opened:
        raise NoMountedKeys(f"{source} holds no files")
    target.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
    name = f"..{secrets.token_hex(8)}"
    with disk.new_folder(target / name) as new:
        for file, secret in opened.items():
            disk.write_secret(new / file, secret)
    before = os.readlink(target / DATA) if (target / DATA).is_symlink() else None  # noqa: PTH115  # a name, not a path
    fresh = target / f"{name}.link"
    fresh.symlink_to(name)
    fresh.replace(target / DATA)
    for file in opened:
        if not (target / file).is_symlink():
            (target / file).symlink_to(Path(DATA) / file)
    if before is not None:
        shutil.rmtree(target / before, ignore_errors=True)


def state(source: Path, *, sealed_only: bool = False) -> object:
    """Return what changes whenever the files of a mounted Secret do; `sealed_only` where Gramine opens them."""
    found = _files(source, sealed_only=sealed_only)
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in found)


def _shown(path: Path) -> Secret:
    raw = disk.read_bounded(path, limit=MAX_FILE_BYTES)
    if raw.startswith(SEALED):
        raise NoMountedKeys(f"{path} is still sealed", fix='Mount it as type = "encrypted" in the manifest.')
    return Secret(raw)


def _files(source: Path, *, sealed_only: bool = False) -> Iterator[Path]:
    try:
        names = sorted(path.name for path in source.iterdir() if not path.name.startswith(".."))
        if sealed_only:  # the others cannot even be looked at through such a mount
            names = [name for name in names if not name.endswith(PUBLIC_ENDINGS)]
    except (FileNotFoundError, NotADirectoryError):
        raise NoMountedKeys(f"{source} is not there") from None
    if len(names) > MAX_FILES:
        raise NoMountedKeys(f"{source} holds more than {MAX_FILES} files")
    return (source / name for name in names if (source / name).is_file())


def _opened(path: Path, stored_path: str, key: Secret | None) -> Secret:
    raw = disk.read_bounded(path, limit=MAX_FILE_BYTES)
    if path.suffix in PUBLIC_ENDINGS:
        return Secret(raw)
    if key is None:
        if raw.startswith(SEALED):
            raise NoMountedKeys(f"{path} is sealed, and nothing here may open it", fix="Leave --clear out.")
        return Secret(raw)
    if not raw.startswith(SEALED):
        raise ClearKeys(f"{path} is in clear")
    return Secret(sealing.unseal_bytes(raw, key, stored_path=stored_path))
