"""Publish a model version: seal every file under the version's own key, sign what was sealed, look again, then move.

World: reads the model directory, writes `<target>/<name>/<version>` in one step. The key is the caller's to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom import sealing
from strongroom.bundles import intake, leak_scan
from strongroom.bundles.intake import SourceFile
from strongroom.bundles.manifest import (
    MANIFEST,
    SIGNATURE,
    BundleManifest,
    FileEntry,
    Signature,
    check_model,
    sign,
    stored_path,
)
from strongroom.pki import disk
from strongroom.secret import Secret

PUBLIC_FOLDER_MODE = 0o755
Progress = Callable[[int, int], None]  # plaintext bytes done, plaintext bytes in all


def publish(
    source: Path,
    target: Path,
    *,
    name: str,
    version: int,
    key: Secret,
    signer: Ed25519PrivateKey,
    engine: str,
    signatures: Mapping[str, Signature],
    now: datetime,
    entropy: Callable[[int], bytes],
    progress: Progress | None = None,
) -> BundleManifest:
    """Seal every file below `source` and write `<target>/<name>/<version>/{files, bundle.json, bundle.sig}`.

    Raises `BadModelName`, `WeakKey`, `Unpublishable`, `AlreadyThere` (a published version never changes) or
    `LeakFound`; on any failure nothing is left behind.
    """
    check_model(name, version)
    sealing.check_wrap_key(key)
    place = target / name / str(version)
    if place.resolve().is_relative_to(source.resolve()):
        raise intake.Unpublishable(f"{place} lies inside the model directory", fix="Publish to a folder elsewhere.")
    files = intake.collect(source)
    with disk.new_folder(place, mode=PUBLIC_FOLDER_MODE) as folder:
        sealed = _Meter(files, progress)
        manifest = BundleManifest(
            name=name,
            version=version,
            publication=entropy(16).hex(),
            created=now,
            engine=engine,
            files=tuple(_seal(file, folder, stored_path(name, version, file.path), key, sealed) for file in files),
            signatures=dict(signatures),
        )
        rendered = manifest.render()
        manifest = BundleManifest.parse(rendered)  # what was written can be read: a caller's odd metadata stops here
        disk.write_public(folder / MANIFEST, rendered)
        disk.write_public(folder / SIGNATURE, sign(rendered, signer))
        leak_scan.check(folder, files, key)
    return manifest


class _Meter:
    """Turn the progress of one file after another into that of the whole."""

    def __init__(self, files: list[SourceFile], progress: Progress | None) -> None:
        self._total = sum(file.size for file in files)
        self._before = 0
        self._progress = progress

    def advance(self, done: int, _size: int) -> None:
        if self._progress is not None:
            self._progress(self._before + done, self._total)

    def finish(self, size: int) -> None:
        self._before += size
        self.advance(0, 0)


def _seal(file: SourceFile, folder: Path, stored: str, key: Secret, meter: _Meter) -> FileEntry:
    place = folder / file.path
    place.parent.mkdir(parents=True, exist_ok=True)
    sealed = sealing.encrypt_file(file.place, place, key, stored_path=stored, progress=meter.advance)
    meter.finish(sealed.size)
    return FileEntry(path=file.path, size=sealed.size, sealed_size=place.stat().st_size, pin=sealed.pin)
