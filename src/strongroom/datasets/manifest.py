"""The manifest of a sealed data set: which files it consists of, byte for byte, and the data key they are sealed under.

Pure but for fresh nonces. `_strongroom.json` lies beside the files. It is authenticated under the data key, which opens
under a primary key alone, and pins every file: by its node 0 where it is sealed, by SHA-256 where Parquet's own
encryption holds. Whoever keeps the folder can remove, add, swap, cut or bring back files, and is found out by name.
Each commit has one generation more and names the manifest before it, so that an older folder as a whole is told by
who remembers a generation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.datasets.names import BadKeyName, KeyId
from strongroom.datasets.paths import MAX_PATH_BYTES, BadDataPath, check_data_path
from strongroom.datasets.wrapping import MAX_WRAPPED_CHARS
from strongroom.errors import BadInput, Refused, Tampered
from strongroom.secret import Secret
from strongroom.wire import strict_json

FILE_NAME: Final = "_strongroom.json"
FORMAT: Final = "strongroom data set v1"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_FILES: Final = 200_000
MAX_NAME_CHARS: Final = 128
MAX_SCHEMA_CHARS: Final = 1024 * 1024
PIN_BYTES: Final = 32
_MAC_INFO: Final = b"strongroom/data set/manifest/1"
_SCHEMA_INFO: Final = b"strongroom/data set/schema/1"
_NONCE_BYTES: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_FIELDS: Final = frozenset({
    "format", "name", "kind", "pins", "generation", "previous", "key_id", "data_key", "schema", "created", "files",
    "mac",
})  # fmt: skip
_FILE_FIELDS: Final = frozenset({"path", "size", "pin"})


class BadDataManifest(BadInput):
    """A data set's manifest is not in its form."""

    code = "SR-DATA-MANIFEST"
    fix = "Take the folder as it was written; strongroom data inspect shows what a manifest says."


class DataManifestForged(Tampered):
    """A data set's manifest was changed since it was written, or belongs to another data key."""

    code = "SR-DATA-MANIFEST-MAC"
    fix = "Take the folder from where it was written; somebody changed this copy."


class DataFilesChanged(Tampered):
    """Files of a data set are missing, were added, cut, exchanged or are older than its manifest."""

    code = "SR-DATA-FILES"
    fix = "Take the folder from where it was written. Nothing of it was read."


class DataSetOld(Refused):
    """A data set is whole, but of an earlier generation than is asked for: somebody may have put an old copy back."""

    code = "SR-DATA-GENERATION"
    fix = "Take the present copy; if the old one is meant, ask for its generation (min_generation)."


class Kind(StrEnum):
    """What the files of a data set are."""

    CSV = "csv"
    JSON = "json"
    TEXT = "text"
    PARQUET = "parquet"
    FILE = "file"


class Pins(StrEnum):
    """What pins a file, and so how it is encrypted."""

    NODE0 = "node0"  # a sealed file: SHA-256 of its node 0, which the wrap key and the tree below bind to every byte
    SHA256 = "sha256"  # a Parquet file under Parquet's own encryption: SHA-256 of all of it


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """One file: its path below the folder, its size in bytes as it lies there, and what pins its content."""

    path: str
    size: int
    pin: bytes

    def __post_init__(self) -> None:
        """Hold the form. Raises BadDataPath, BadDataManifest."""
        check_data_path(self.path)
        if len(self.pin) != PIN_BYTES or not 0 <= self.size < 2**63:
            raise BadDataManifest(f"{self.path[:200]!r} has no pin of {PIN_BYTES} bytes or no size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a data set says of itself. `previous`: the MAC of the generation before, empty for the first."""

    name: str
    kind: Kind
    generation: int
    key_id: KeyId
    wrapped_data_key: str
    files: tuple[FileEntry, ...]
    created: datetime
    pins: Pins = Pins.NODE0
    sealed_schema: bytes = b""
    previous: bytes = b""
    mac: bytes = field(default=b"", compare=False)

    def __post_init__(self) -> None:
        """Hold the form however a manifest was made. Raises BadDataManifest."""
        if not _NAME.fullmatch(self.name):
            raise BadDataManifest(f"{self.name[:80]!r} is no name of a data set")
        if not 1 <= self.generation < 2**63:
            raise BadDataManifest(f"generation {self.generation} is none")
        if len(self.files) > MAX_FILES:
            raise BadDataManifest(f"a data set has {MAX_FILES} files at most")
        paths = [entry.path for entry in self.files]
        if paths != sorted(set(paths)):
            raise BadDataManifest("the files of a data set are named once each, in order")

    def authenticated(self, data_key: Secret) -> Self:
        """Return the same under its data key."""
        return replace(self, mac=_mac(self, data_key))

    def to_bytes(self) -> bytes:
        """Return the file's content. Raises ValueError without a MAC: nobody could check such a manifest."""
        if not self.mac:
            raise ValueError("a manifest is written with its MAC")
        return _canonical({**_body(self), "mac": self.mac.hex()}) + b"\n"

    def check(self, data_key: Secret) -> None:
        """Raise DataManifestForged unless this was written under the data key."""
        if not hmac.compare_digest(self.mac, _mac(self, data_key)):
            raise DataManifestForged(f"the manifest of data set {self.name} was changed")

    def check_generation(self, least: int) -> None:
        """Raise DataSetOld unless the data set is of a generation or later."""
        if self.generation < least:
            raise DataSetOld(f"data set {self.name} is of generation {self.generation}, asked for is {least} or later")

    def check_listing(self, sizes: Mapping[str, int]) -> None:
        """Raise DataFilesChanged unless the folder has these files and no others, each of its size.

        `sizes`: path below the folder -> bytes, of every file but the manifest.
        """
        listed = {entry.path: entry.size for entry in self.files}
        faults = [f"{_shown(path)} is missing" for path in listed.keys() - sizes.keys()]
        faults += [f"{_shown(path)} was added" for path in sizes.keys() - listed.keys()]
        faults += [
            f"{_shown(path)} has {sizes[path]} bytes instead of {size}"
            for path, size in listed.items()
            if path in sizes and sizes[path] != size
        ]
        if faults:
            more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
            raise DataFilesChanged(f"data set {self.name}: {'; '.join(sorted(faults)[:3])}{more}")

    def entry(self, path: str) -> FileEntry:
        """Return one file. Raises DataFilesChanged where it is none of this data set's."""
        at = bisect_left(self.files, path, key=lambda entry: entry.path)
        if at == len(self.files) or self.files[at].path != path:
            raise DataFilesChanged(f"data set {self.name}: {_shown(path)} is none of its files")
        return self.files[at]

    def check_pin(self, path: str, pin: bytes) -> None:
        """Raise DataFilesChanged unless a file's content is the one that was committed."""
        if not hmac.compare_digest(self.entry(path).pin, pin):
            raise DataFilesChanged(
                f"data set {self.name}: {_shown(path)} is not the file that was written, or an older one"
            )

    def with_schema(self, schema: str, data_key: Secret) -> Self:
        """Return the same with a schema that holders of the data key can read."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        with _derived(data_key, _SCHEMA_INFO).reveal() as key:
            return replace(self, sealed_schema=nonce + AESGCM(key).encrypt(nonce, schema.encode(), None))

    def schema(self, data_key: Secret) -> str:
        """Return the schema, empty where none was written. Raises DataManifestForged."""
        if not self.sealed_schema:
            return ""
        with _derived(data_key, _SCHEMA_INFO).reveal() as key:
            try:
                nonce, sealed = self.sealed_schema[:_NONCE_BYTES], self.sealed_schema[_NONCE_BYTES:]
                return AESGCM(key).decrypt(nonce, sealed, None).decode()
            except (InvalidTag, ValueError):
                raise DataManifestForged(f"the schema of data set {self.name} was changed") from None


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest; nothing in it counts before `check`. Raises BadDataManifest."""
    body = strict_json.loads(data, what="the manifest", error=BadDataManifest, max_bytes=MAX_BYTES, max_depth=4)
    if not isinstance(body, dict) or body.keys() != _FIELDS or body["format"] != FORMAT:
        raise BadDataManifest(f"this is no manifest of a data set, or not of format {FORMAT!r}")
    texts = ("name", "kind", "pins", "key_id", "data_key", "schema", "created", "previous", "mac")
    if not all(isinstance(body[each], str) for each in texts) or type(body["generation"]) is not int:
        raise BadDataManifest("a manifest's fields are texts, and its generation is a number")
    if len(body["data_key"]) > MAX_WRAPPED_CHARS or len(body["schema"]) > 2 * MAX_SCHEMA_CHARS:
        raise BadDataManifest("a wrapped key or a schema is too long")
    try:
        manifest = Manifest(
            name=body["name"], kind=Kind(body["kind"]), pins=Pins(body["pins"]), generation=body["generation"],
            key_id=KeyId.parse(body["key_id"]), wrapped_data_key=body["data_key"], files=_files(body["files"]),
            created=datetime.strptime(body["created"], _TIME).replace(tzinfo=UTC),
            sealed_schema=_base64(body["schema"]), previous=_hex(body["previous"], 0, PIN_BYTES),
            mac=_hex(body["mac"], PIN_BYTES),
        )  # fmt: skip
    except (BadKeyName, BadDataPath) as problem:
        raise BadDataManifest(problem.sentence) from None
    except ValueError as problem:
        raise BadDataManifest(f"a manifest's field has no such value: {problem}") from None
    if manifest.to_bytes() != data:  # then two texts would be one manifest, and a changed byte could go unnoticed
        raise BadDataManifest("a manifest is not in its one spelling")
    return manifest


def _files(rows: object) -> tuple[FileEntry, ...]:
    if not isinstance(rows, list) or len(rows) > MAX_FILES:
        raise BadDataManifest(f"a manifest lists up to {MAX_FILES} files")
    return tuple(_file(row) for row in rows)


def _file(row: object) -> FileEntry:
    if not isinstance(row, dict) or row.keys() != _FILE_FIELDS:
        raise BadDataManifest("a file of a manifest has a path, a size and a pin")
    path, size, pin = row["path"], row["size"], row["pin"]
    if not isinstance(path, str) or type(size) is not int or not isinstance(pin, str):
        raise BadDataManifest("a file of a manifest has a path, a size and a pin")
    return FileEntry(path, size, _hex(pin, PIN_BYTES))


def _hex(text: str, *lengths: int) -> bytes:
    if len(text) not in [2 * each for each in lengths] or text != text.lower():
        raise BadDataManifest("a digest of a manifest is not in lower-case hexadecimal digits")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadDataManifest("a digest of a manifest is not hexadecimal") from None


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadDataManifest("the schema of a manifest is not base64") from None


def _body(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": FORMAT, "name": manifest.name, "kind": str(manifest.kind), "pins": str(manifest.pins),
        "generation": manifest.generation, "previous": manifest.previous.hex(),
        "key_id": str(manifest.key_id), "data_key": manifest.wrapped_data_key,
        "schema": base64.b64encode(manifest.sealed_schema).decode(),
        "created": manifest.created.astimezone(UTC).strftime(_TIME),
        "files": [{"path": each.path, "size": each.size, "pin": each.pin.hex()} for each in manifest.files],
    }  # fmt: skip


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _mac(manifest: Manifest, data_key: Secret) -> bytes:
    # The wrapped key and its id are left out: rewrapping changes neither the data nor who could have written it.
    body = {name: value for name, value in _body(manifest).items() if name not in ("key_id", "data_key")}
    with _derived(data_key, _MAC_INFO).reveal() as key:
        return hmac.new(key, _canonical(body), hashlib.sha256).digest()


def _derived(data_key: Secret, info: bytes) -> Secret:
    with data_key.reveal() as raw:
        return Secret(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(raw))


def _shown(path: str) -> str:
    return path if path.isprintable() and len(path) <= MAX_PATH_BYTES else ascii(path[:MAX_PATH_BYTES])


def total_bytes(files: Sequence[FileEntry]) -> int:
    """Return the bytes of all files together."""
    return sum(each.size for each in files)
