"""Open a bundle on the operator's side: signature, name, completeness, pins; then read sealed files in memory.

World: reads one folder, which the operator controls. Nothing of it is believed before the owner's signature holds.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom import sealing
from strongroom.bundles.listing import below
from strongroom.bundles.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    SIGNATURE_BYTES,
    BundleMalformed,
    BundleManifest,
    FileEntry,
    WrongBundle,
    open_signed,
)
from strongroom.errors import BadInput, Refused, Tampered
from strongroom.pki import disk
from strongroom.secret import Secret


class NotABundle(BadInput):
    """A folder holds no bundle."""

    code = "SR-NOT-A-BUNDLE"
    fix = "Name the folder that strongroom model publish wrote, with bundle.json and bundle.sig in it."


class BundleIncomplete(Tampered):
    """Files of a bundle are missing, or there are others than its manifest names."""

    code = "SR-BUNDLE-INCOMPLETE"
    fix = "Copy the whole bundle again; a version is served complete or not at all."


class WrongBundleKey(Refused):
    """The key opens none of the bundle's files, which are as their owner sealed them: it is another version's key."""

    code = "SR-BUNDLE-KEY"
    fix = "Have the owner's policy release the key of this model version."


class NoSuchFile(BadInput):
    """A bundle holds no file of this name."""

    code = "SR-BUNDLE-NO-FILE"
    fix = "Name one of the files in bundle.json."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBundle:
    """A bundle whose manifest is the owner's, which is complete, and whose files open with this key."""

    folder: Path
    manifest: BundleManifest
    key: Secret

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The files, sorted by path."""
        return self.manifest.files

    def open(self, path: str) -> sealing.SealedReader:
        """Open one file for random access; its pin is checked on the very bytes that are read. Close it."""
        entry = next((entry for entry in self.files if entry.path == path), None)
        if entry is None:
            raise NoSuchFile(f"the bundle holds no file {path[:160]!r}")
        stored = self.manifest.stored_path(path)
        try:
            return sealing.open(self.folder / path, self.key, stored_path=stored, pin=entry.pin)
        except sealing.WrongKeyOrTampered:
            raise WrongBundleKey(f"the key does not open {stored}") from None  # the pin held: nothing was tampered

    def read(self, path: str) -> bytes:
        """Return the plaintext of one file."""
        with self.open(path) as reader:
            return reader.read()


def open_bundle(folder: Path, *, key: Secret, owner: Ed25519PublicKey, name: str, version: int) -> OpenBundle:
    """Open the bundle of exactly this model and version, step by step; the first step that fails decides.

    Raises `NotABundle`, `BundleSignatureInvalid`, `BundleMalformed`, `WrongBundle`, `BundleIncomplete`,
    `WrongBundleKey`, or what `sealing.open` raises for a file.
    """
    # 1. The owner signed this manifest.
    manifest = open_signed(_read(folder, MANIFEST), _read(folder, SIGNATURE, SIGNATURE_BYTES), owner=owner)
    # 2. It is for the model and version that was asked for.
    if (manifest.name, manifest.version) != (name, version):
        raise WrongBundle(f"the bundle is {manifest.name}/{manifest.version}, asked for was {name[:128]}/{version}")
    # 3. Every file is there, with its size, and no other.
    check_complete(folder, manifest)
    # 4. Every file is the pinned one, bound to its path, and opens with the key.
    bundle = OpenBundle(folder=folder, manifest=manifest, key=key)
    for entry in manifest.files:
        bundle.open(entry.path).close()
    return bundle


def check_complete(folder: Path, manifest: BundleManifest) -> None:
    """Raise `BundleIncomplete` unless `folder` holds the manifest's files, each a regular one of its size."""
    wanted = {entry.path: entry.sealed_size for entry in manifest.files}
    files = wanted.keys() | {MANIFEST, SIGNATURE}
    folders = {parent.as_posix() for path in wanted for parent in PurePosixPath(path).parents}
    missing = set(files)
    for path, information in below(folder):
        if stat.S_ISDIR(information.st_mode) and path in folders:
            continue
        if path not in files:
            raise BundleIncomplete(f"{path[:160]!r} is not in the manifest")
        if not stat.S_ISREG(information.st_mode):
            raise BundleIncomplete(f"{path} is not a regular file")
        if path in wanted and information.st_size != wanted[path]:
            raise BundleIncomplete(f"{path} has {information.st_size} bytes, the manifest says {wanted[path]}")
        missing.discard(path)
    if missing:
        raise BundleIncomplete(f"{len(missing)} files are missing, the first is {min(missing)}")


def _read(folder: Path, name: str, limit: int = MAX_MANIFEST_BYTES) -> bytes:
    try:
        return disk.read_bounded(folder / name, limit=limit)
    except (FileNotFoundError, NotADirectoryError):
        raise NotABundle(f"{folder} holds no {name}") from None
    except disk.FileTooLong as problem:
        raise BundleMalformed(problem.sentence) from None
