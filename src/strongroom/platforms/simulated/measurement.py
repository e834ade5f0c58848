"""Measure what a manifest would start: entrypoint, arguments, passed environment and trusted files.

Reads files; nothing else. mr_enclave is SHA-256 over a domain-separated, length-framed listing, so that no two
different launches share one; a trust domain's mr_td covers the same listing. Relative paths start at the manifest's
folder and enter the measurement as written: a folder may move without changing who its program is. Unlike hardware,
this platform cannot stop a file from being changed between measuring and reading it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput, Tampered
from strongroom.gramine.manifest import Manifest, TrustedFile
from strongroom.platforms.simulated.identities import EnclaveIdentity

_DOMAIN: Final = b"strongroom simulated enclave v1"
_Items = tuple[str | bytes, ...]
_BUFFER_BYTES: Final = 1024 * 1024
_LEFT_OUT: Final = "__pycache__"  # written by whoever ran the code last; run measured Python with -B


class LaunchFileUnusable(BadInput):
    """A file that the manifest names is missing, cannot be read, or is of a kind that cannot be measured."""

    code = "SR-LAUNCH-FILE"
    fix = "Correct the path in the manifest; relative paths start at the manifest's folder."


class TrustedFileChanged(Tampered):
    """A trusted file on this machine is not the one whose SHA-256 the manifest gives."""

    code = "SR-TRUSTED-FILE-CHANGED"
    fix = "Restore the file; if the change is wanted, put its new SHA-256 into the manifest and trust that."


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a launch would be known by, and the environment that was measured. Hashes have 32 bytes."""

    mr_enclave: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    debug: bool
    environment: Mapping[str, str]

    @property
    def identity(self) -> EnclaveIdentity:
        """What quotes of this launch say about it."""
        return EnclaveIdentity(
            mr_enclave=self.mr_enclave,
            mr_signer=self.mr_signer,
            isv_prod_id=self.isv_prod_id,
            isv_svn=self.isv_svn,
            debug=self.debug,
        )

    def to_json_object(self) -> dict[str, object]:
        """Return the measurement under the names that Gramine's tools print."""
        return {
            "mr_enclave": self.mr_enclave.hex(),
            "mr_signer": self.mr_signer.hex(),
            "isv_prod_id": self.isv_prod_id,
            "isv_svn": self.isv_svn,
            "debug": self.debug,
        }


def measure(manifest: Manifest, base: Path, environ: Mapping[str, str], *, mr_signer: bytes) -> Measurement:
    """Measure `manifest`, whose folder is `base`, with pass-through variables taken from `environ`.

    Raises LaunchFileUnusable or TrustedFileChanged.
    """
    listing = list_launch(manifest, base, environ)
    return Measurement(
        mr_enclave=digest_items(hashlib.sha256(_DOMAIN), listing.items),
        mr_signer=mr_signer,
        isv_prod_id=manifest.isvprodid,
        isv_svn=manifest.isvsvn,
        debug=manifest.debug,
        environment=listing.environment,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Everything that a launch is measured by, section by section, each as the items that are hashed."""

    entrypoint: _Items
    argv: _Items
    env: _Items
    trusted_files: _Items
    environment: Mapping[str, str]

    @property
    def items(self) -> _Items:
        """All sections in order."""
        return self.entrypoint + self.argv + self.env + self.trusted_files


def list_launch(manifest: Manifest, base: Path, environ: Mapping[str, str]) -> Listing:
    """Return what `manifest` would launch, files read and hashed; raises as `measure` does."""
    environment = passed_environment(manifest, environ)
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    entrypoint = _digest(base / manifest.entrypoint, buffer)
    return Listing(
        entrypoint=tuple(_section("entrypoint", [(manifest.entrypoint, entrypoint)])),
        argv=tuple(_section("argv", [(each,) for each in manifest.argv])),
        env=tuple(_section("environment", sorted(environment.items()))),
        trusted_files=tuple(_section("trusted files", sorted(_trusted(manifest.trusted_files, base, buffer)))),
        environment=environment,
    )


def digest_items(state: hashlib._Hash, items: Iterable[str | bytes]) -> bytes:
    """Return the digest of `state` after every item with its length."""
    for item in items:
        encoded = item if isinstance(item, bytes) else os.fsencode(item)
        state.update(len(encoded).to_bytes(8, "little") + encoded)
    return state.digest()


def passed_environment(manifest: Manifest, environ: Mapping[str, str]) -> dict[str, str]:
    """Return every variable that the program will see: those with values, and those passed through that exist."""
    declared = {name: environ.get(name) if each.passthrough else each.value for name, each in manifest.env.items()}
    return {name: value for name, value in declared.items() if value is not None}


def _section(title: str, rows: Sequence[tuple[str | bytes, ...]]) -> Iterator[str | bytes]:
    """Yield a section's title, its number of rows, and its fields; every row of a section has equally many."""
    yield title
    yield len(rows).to_bytes(8, "little")
    for row in rows:
        yield from row


def _trusted(files: Iterable[TrustedFile], base: Path, buffer: memoryview) -> set[tuple[str, bytes]]:
    """Return (URI, SHA-256) of every trusted file, directories expanded; a file reached twice counts once."""
    found: set[tuple[str, bytes]] = set()
    for entry in files:
        path = base / entry.path
        if entry.is_directory:
            found.update((entry.uri + name, digest) for name, digest in _below(path, buffer))
            continue
        digest = _digest(path, buffer)
        if entry.sha256 is not None and digest.hex() != entry.sha256:
            raise TrustedFileChanged(f"{path} has SHA-256 {digest.hex()}; the manifest wants {entry.sha256}")
        found.add((entry.uri, digest))
    return found


def _below(folder: Path, buffer: memoryview) -> Iterator[tuple[str, bytes]]:
    """Yield (relative path, SHA-256) of all files below `folder`, in no particular order.

    Names stay strings here: a folder of packages has fifty thousand files.
    """
    if not folder.is_dir():
        raise LaunchFileUnusable(f"{folder} is not a directory")
    top = os.path.join(folder, "")  # noqa: PTH118
    for parent, folders, names in os.walk(top, onerror=_unreadable):
        folders[:] = [name for name in folders if name != _LEFT_OUT]
        for name in folders:
            if (Path(parent) / name).is_symlink():
                yield _linked_folder(folder, Path(parent) / name)
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            yield path.removeprefix(top), _digest(path, buffer)


def _linked_folder(folder: Path, link: Path) -> tuple[str, bytes]:
    """Measure a link to a directory by where it points: below `folder`, whose files are measured, or not at all."""
    if not link.resolve().is_relative_to(folder.resolve()):
        raise LaunchFileUnusable(
            f"{link} leads out of {folder}, so its files would not be measured",
            fix="List the directory that the link leads to in sgx.trusted_files, and remove the link.",
        )
    target = os.fsencode(link.readlink())
    return f"{link.relative_to(folder).as_posix()}/", hashlib.sha256(target).digest()  # no file's name ends so


def _unreadable(problem: OSError) -> None:
    raise LaunchFileUnusable(f"{problem.filename}: {problem.strerror}")


def _digest(path: Path | str, buffer: memoryview) -> bytes:
    """Return the SHA-256 of a regular file, read by way of `buffer`: a new one for each costs more than the hashing."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise LaunchFileUnusable(f"{path} is not a regular file")
        state = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            while size := file.readinto(buffer):
                state.update(buffer[:size])
        return state.digest()
    except OSError as problem:
        raise LaunchFileUnusable(f"{path}: {problem.strerror}") from None
