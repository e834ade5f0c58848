"""Gather what the image `models` carries: sealed, signed versions and the sealed ssl.cfg, and nothing else.

World: reads the workspace's published models, writes the build's folder. Every version's manifest has to carry the
owner's signature and list every file; what it does not list does not enter.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.bundles import manifest as bundle
from strongroom.bundles.listing import below
from strongroom.deploy.description import Model
from strongroom.deploy.images.scan import SEALED_MAGIC
from strongroom.errors import BadInput, Refused
from strongroom.pki import disk

SSL_CONFIG: Final = "ssl.cfg"


class NothingPublished(BadInput):
    """There is no sealed model to put into an image."""

    code = "SR-IMAGE-NO-MODEL"
    fix = "Publish one into the workspace: strongroom model publish DIR --name NAME --version 1 --out WORKSPACE/models."


class NotSealed(Refused):
    """A file that would enter the image of the models is readable, or no part of a signed version."""

    code = "SR-IMAGE-NOT-SEALED"
    fix = "Take the file away, or publish the version again; an image carries sealed files only."


def gather(workspace: Path, models: Sequence[Model], target: Path, *, owner: Ed25519PublicKey) -> list[str]:
    """Copy the models' sealed versions to `target/NAME/VERSION/…`; return NAME/VERSION of each, sorted.

    Raises NothingPublished, NotSealed, BundleSignatureInvalid or BundleMalformed.
    """
    found = []
    target.mkdir(parents=True)
    for model in models:
        folder = workspace / model.path
        for version in versions_of(workspace, model):
            _copy_version(folder / version, target / model.name / version, model.name, owner=owner)
            found.append(f"{model.name}/{version}")
        _copy_ssl_config(folder.parent / SSL_CONFIG, target / SSL_CONFIG)
    if not found:
        raise NothingPublished("strongroom.toml names no model, and the workspace holds none")
    return sorted(found)


def versions_of(workspace: Path, model: Model) -> list[str]:
    """Return the versions of a model that were published, sorted as text. Raises NothingPublished."""
    folder = workspace / model.path
    found = sorted(each.name for each in folder.iterdir() if each.name.isdecimal()) if folder.is_dir() else []
    if not found:
        raise NothingPublished(f"{folder} holds no version of {model.name}")
    return found


def _copy_version(source: Path, target: Path, name: str, *, owner: Ed25519PublicKey) -> None:
    signed = disk.read_bounded(source / bundle.MANIFEST, limit=bundle.MAX_MANIFEST_BYTES)
    signature = disk.read_bounded(source / bundle.SIGNATURE, limit=bundle.SIGNATURE_BYTES)
    listed = bundle.open_signed(signed, signature, owner=owner)
    if (listed.name, str(listed.version)) != (name, source.name):
        raise NotSealed(f"{source} holds {listed.name} version {listed.version}")
    wanted = {entry.path for entry in listed.files} | {bundle.MANIFEST, bundle.SIGNATURE}
    there = {path for path, status in below(source) if not stat.S_ISDIR(status.st_mode)}
    if there != wanted:
        raise NotSealed(f"{source} differs from its manifest in {sorted(there ^ wanted)[:3]}")
    for path in sorted(wanted):
        if path not in {bundle.MANIFEST, bundle.SIGNATURE}:
            _check_sealed(source / path)
        _copy(source / path, target / path)


def _copy_ssl_config(source: Path, target: Path) -> None:
    if source.exists() and not target.exists():
        _check_sealed(source)
        _copy(source, target)


def _check_sealed(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise NotSealed(f"{path} is no regular file")
    with path.open("rb") as stream:
        if stream.read(len(SEALED_MAGIC)) != SEALED_MAGIC:
            raise NotSealed(f"{path} is not sealed")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
    target.chmod(0o644)
