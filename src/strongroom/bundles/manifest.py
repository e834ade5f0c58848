"""bundle.json: what a bundle holds, signed by the owner. Pure.

The signature (Ed25519) covers the file's bytes as they are, behind a domain of its own, and is checked before a byte
of it is interpreted. Every file is pinned by its sealed node 0, so nothing can be swapped, rolled back or left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.errors import BadInput, Tampered
from strongroom.wire import strict_json

MANIFEST: Final = "bundle.json"
SIGNATURE: Final = "bundle.sig"
FORMAT: Final = 1
SIGNATURE_BYTES: Final = 64
MAX_MANIFEST_BYTES: Final = 8 * 1024 * 1024
MAX_FILES: Final = 10_000
MAX_DEPTH: Final = 16  # folders below each other
MAX_VERSION: Final = 2**63 - 1  # TensorFlow Serving's versions are int64
PIN_BYTES: Final = 32
ENGINES: Final = ("onnx", "tensorflow", "openvino")
_DOMAIN: Final = b"strongroom bundle manifest v1\0"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]*", re.ASCII)
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class BadModelName(BadInput):
    """A model's name or version cannot be used."""

    code = "SR-MODEL-NAME"
    fix = "Use letters, digits, dot, dash and underscore for the name, and a version between 1 and 2^63-1."


class BundleMalformed(Tampered):
    """A bundle's manifest does not follow its format."""

    code = "SR-BUNDLE-MALFORMED"
    fix = "Take the bundle from the owner again."


class BundleSignatureInvalid(Tampered):
    """A bundle's manifest is not signed by its owner, or was changed."""

    code = "SR-BUNDLE-SIGNATURE"
    fix = "Take the bundle from the owner again, and compare the owner's public key."


class WrongBundle(Tampered):
    """A bundle of another model or version lies where this one was expected."""

    code = "SR-BUNDLE-OTHER"
    fix = "Put the bundle back to models/NAME/VERSION as its owner published it."


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A tensor of a signature: element type in numpy's words and shape, -1 where it is open, None for any rank."""

    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A callable of the model: named inputs to named outputs."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A sealed file: path inside the bundle, sizes in bytes, and the pin of its node 0."""

    path: str
    size: int
    sealed_size: int
    pin: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """What a bundle holds, completely."""

    name: str
    version: int
    publication: str  # 32 hex digits, random: tells two publications of equal content apart in a log
    created: datetime
    engine: str
    files: tuple[FileEntry, ...]
    signatures: Mapping[str, Signature] = field(default_factory=dict)

    def stored_path(self, path: str) -> str:
        """Return the path that the sealed file `path` is bound to."""
        return stored_path(self.name, self.version, path)

    def render(self) -> bytes:
        """Return the manifest as canonical JSON: sorted, without blanks, ASCII, one line."""
        value = {
            "complete": {"bytes": sum(entry.size for entry in self.files), "files": len(self.files)},
            "created": self.created.astimezone(UTC).strftime(_TIME),
            "engine": self.engine,
            "files": [
                {"path": entry.path, "pin": entry.pin.hex(), "sealed_size": entry.sealed_size, "size": entry.size}
                for entry in self.files
            ],
            "format": FORMAT,
            "name": self.name,
            "publication": self.publication,
            "signatures": {name: _signature_object(signature) for name, signature in self.signatures.items()},
            "version": self.version,
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a manifest whose signature was checked; raise `BundleMalformed`, also for another spelling."""
        value = strict_json.loads(data, what=MANIFEST, error=BundleMalformed, max_bytes=MAX_MANIFEST_BYTES, max_depth=8)
        top = _Object(value, MANIFEST)
        if top.number("format") != FORMAT:
            raise BundleMalformed(f"{MANIFEST} has the format {top.number('format')}, this version reads {FORMAT}")
        manifest = cls(
            name=top.text("name"),
            version=top.number("version"),
            publication=_hex(top.text("publication"), 16).hex(),
            created=_time(top.text("created")),
            engine=top.text("engine"),
            files=tuple(_file(_Object(entry, "a file")) for entry in top.array("files")),
            signatures={name: _signature(entry) for name, entry in top.member("signatures").values.items()},
        )
        _check(manifest)
        if manifest.render() != data:
            raise BundleMalformed(f"{MANIFEST} is not in its canonical form, or does not count its files right")
        return manifest


def sign(manifest: bytes, signer: Ed25519PrivateKey) -> bytes:
    """Return the owner's signature (64 bytes) over the bytes of a manifest."""
    return signer.sign(_DOMAIN + manifest)


def open_signed(manifest: bytes, signature: bytes, *, owner: Ed25519PublicKey) -> BundleManifest:
    """Return the manifest if the owner signed exactly these bytes."""
    if len(manifest) > MAX_MANIFEST_BYTES or len(signature) != SIGNATURE_BYTES:
        raise BundleSignatureInvalid(f"the signature has {len(signature)} bytes, {SIGNATURE_BYTES} were expected")
    try:
        owner.verify(signature, _DOMAIN + manifest)
    except InvalidSignature:
        raise BundleSignatureInvalid(f"{MANIFEST} is not signed by this owner") from None
    return BundleManifest.parse(manifest)


def check_model(name: str, version: int) -> None:
    """Raise `BadModelName` unless name and version can be part of a path and of a secret's name."""
    if not _NAME.fullmatch(name):
        raise BadModelName(f"{name[:80]!r} cannot be a model's name")
    if not 1 <= version <= MAX_VERSION:
        raise BadModelName(f"{version} cannot be a model's version")


def stored_path(name: str, version: int, path: str) -> str:
    """Return the path that a bundle's file is bound to."""
    return f"models/{name}/{version}/{path}"


def is_plain_path(path: str) -> bool:
    """Return whether `path` is relative, stays inside, names no hidden file and prints as it is."""
    parts = path.split("/")
    return (
        path.isprintable()
        and "\\" not in path
        and len(parts) <= MAX_DEPTH
        and all(part and not part.startswith(".") for part in parts)
        and path not in {MANIFEST, SIGNATURE}
    )


def _check(manifest: BundleManifest) -> None:
    try:
        check_model(manifest.name, manifest.version)
    except BadModelName as problem:
        raise BundleMalformed(problem.sentence) from None
    if manifest.engine not in ENGINES:
        raise BundleMalformed(f"{manifest.engine[:40]!r} is not an engine")
    paths = [entry.path for entry in manifest.files]
    if not 0 < len(paths) <= MAX_FILES:
        raise BundleMalformed(f"a bundle holds between 1 and {MAX_FILES} files, this one says {len(paths)}")
    if sorted(set(paths)) != paths:
        raise BundleMalformed("the files are not sorted, or one is there twice")
    for path in paths:
        if not is_plain_path(path):
            raise BundleMalformed(f"{path[:80]!r} cannot be a path in a bundle")


def _file(entry: _Object) -> FileEntry:
    found = FileEntry(
        path=entry.text("path"),
        size=entry.number("size"),
        sealed_size=entry.number("sealed_size"),
        pin=_hex(entry.text("pin"), PIN_BYTES),
    )
    if not 0 <= found.size < found.sealed_size <= MAX_VERSION:
        raise BundleMalformed(f"the sizes of {found.path[:80]!r} cannot be")
    return found


def _signature(value: object) -> Signature:
    entry = _Object(value, "a signature")
    return Signature(inputs=_tensors(entry.member("inputs")), outputs=_tensors(entry.member("outputs")))


def _tensors(entry: _Object) -> dict[str, TensorSpec]:
    found = {}
    for name, value in entry.values.items():
        tensor = _Object(value, "a tensor")
        is_any = "shape" in tensor.values and tensor.values["shape"] is None
        shape = None if is_any else tuple(map(_size, tensor.array("shape")))
        found[name] = TensorSpec(dtype=tensor.text("dtype"), shape=shape)
    return found


def _size(value: object) -> int:
    if type(value) is not int or not -1 <= value <= MAX_VERSION:
        raise BundleMalformed("a shape is not a list of sizes")
    return value


def _signature_object(signature: Signature) -> dict[str, object]:
    return {
        side: {
            name: {"dtype": spec.dtype, "shape": None if spec.shape is None else list(spec.shape)}
            for name, spec in tensors.items()
        }
        for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
    }


def _hex(text: str, size: int) -> bytes:
    if len(text) != 2 * size or not _HEX.fullmatch(text):
        raise BundleMalformed(f"{text[:80]!r} is not {2 * size} hex digits")
    return bytes.fromhex(text)


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise BundleMalformed(f"{text[:40]!r} is not a time like 2026-03-01T12:00:00Z") from None


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object whose members are taken with their types."""

    raw: object
    where: str

    @property
    def values(self) -> dict[str, object]:
        if not isinstance(self.raw, dict):
            raise BundleMalformed(f"{self.where} is not an object")
        return self.raw

    def text(self, name: str) -> str:
        value = self._take(name)
        if not isinstance(value, str):
            raise BundleMalformed(f"{self.where}: {name} is not text")
        return value

    def number(self, name: str) -> int:
        value = self._take(name)
        if type(value) is not int:
            raise BundleMalformed(f"{self.where}: {name} is not a whole number")
        return value

    def array(self, name: str) -> Sequence[object]:
        value = self._take(name)
        if not isinstance(value, list):
            raise BundleMalformed(f"{self.where}: {name} is not a list")
        return value

    def member(self, name: str) -> _Object:
        return _Object(self._take(name), name)

    def _take(self, name: str) -> object:
        if name not in self.values:
            raise BundleMalformed(f"{self.where}: {name} is missing")
        return self.values[name]
