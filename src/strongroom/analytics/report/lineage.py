"""What came of what: the manifests that a job read, its program, the manifest it wrote; under the output's key.

Pure but for the keys. A record is authenticated under a key derived from the output's data key, so that whoever could
not have written the output could not have written its record, and who may read the output can check it. Records chain
by manifests: an input is the output of an earlier record, or a source (threat AN-12). A record does not say that the
program computed what it should: that is what its digest, and the measurement that admitted the job, are for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.report.facts import DataSet, Job
from strongroom.datasets.manifest import Manifest
from strongroom.datasets.names import BadKeyName, KeyId
from strongroom.errors import BadInput, Refused, Tampered
from strongroom.secret import Secret
from strongroom.wire import strict_json

FORMAT: Final = "strongroom lineage v1"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_RECORDS: Final = 10_000
MAX_INPUTS: Final = 10_000
_INFO: Final = b"strongroom/data set/lineage/1"
_MAC: Final = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = {"application", "program", "digest", "ended", "inputs", "output", "key_id", "data_key", "mac"}


class BadLineage(BadInput):
    """A lineage is not in its form."""

    code = "SR-LINEAGE"
    fix = "Take lineage.json as the job's report has it."


class LineageBroken(Tampered):
    """A lineage does not hold: a record was changed, or an input or output is another one than it names."""

    code = "SR-LINEAGE-BROKEN"
    fix = "Take data and report from where they were written; strongroom data inspect shows a folder's manifest."


class NotInLineage(Refused):
    """A data set that was to be held against a lineage is none that its records name, or of another generation."""

    code = "SR-LINEAGE-OTHER"
    fix = "Check data sets that the job read or wrote, as its report names them; --with adds the records of others."


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """One generation of a data set, by its manifest's MAC in hexadecimal."""

    name: str
    generation: int
    mac: str

    def __post_init__(self) -> None:
        """Hold the form. Raises BadLineage."""
        if not _MAC.fullmatch(self.mac) or not 1 <= self.generation < 2**63 or not 1 <= len(self.name) <= 128:
            raise BadLineage("a link names a data set, its generation and its manifest's MAC")

    def __str__(self) -> str:
        return f"{self.name} generation {self.generation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one output was made of. `digest`: SHA-256 of the program, hexadecimal or empty."""

    application: str
    program: str
    digest: str
    ended: str
    inputs: tuple[Link, ...]
    output: Link
    key_id: KeyId
    wrapped_data_key: str
    mac: str = ""

    def authenticated(self, keys: KeyService) -> Self:
        """Return the same under the output's data key. Raises KeyNotGranted, WrappedKeyRefused."""
        return replace(self, mac=self._mac(keys))

    def check(self, keys: KeyService) -> None:
        """Raise LineageBroken unless this was written by who had the output's data key; as `authenticated`."""
        if not hmac.compare_digest(self.mac, self._mac(keys)):
            raise LineageBroken(f"the record of {self.output} was changed")

    def _mac(self, keys: KeyService) -> str:
        data_key = keys.unwrap(self.key_id, self.wrapped_data_key)
        # How the key is wrapped is left out: rewrapping changes neither the data nor who wrote it.
        body = {name: value for name, value in _body(self).items() if name not in {"key_id", "data_key", "mac"}}
        with _derived(data_key).reveal() as key:
            return hmac.new(key, _canonical(body), hashlib.sha256).hexdigest()


def records_of(job: Job, read: Sequence[DataSet], written: Sequence[DataSet], keys: KeyService) -> tuple[Record, ...]:
    """Return the records of a job, one an output that has a key of these. Raises BadLineage, KeyNotGranted kin."""
    inputs = tuple(sorted({Link(each.name, each.generation, each.mac) for each in read}))
    return tuple(
        Record(
            application=job.application, program=job.program, digest=job.digest, ended=job.ended, inputs=inputs,
            output=Link(each.name, each.generation, each.mac), key_id=KeyId.parse(each.key_id),
            wrapped_data_key=each.wrapped,
        ).authenticated(keys)
        for each in written
        if each.wrapped
    )  # fmt: skip


def check_named(records: Sequence[Record], manifests: Iterable[Manifest]) -> None:
    """Raise NotInLineage for a manifest that no record calls its output or one of its inputs."""
    named = {(each.name, each.generation) for record in records for each in (record.output, *record.inputs)}
    for manifest in manifests:
        if (manifest.name, manifest.generation) in named:
            continue
        others = sorted(generation for name, generation in named if name == manifest.name)
        what = f"generation {', '.join(map(str, others[:8]))} of it" if others else "no data set of this name"
        raise NotInLineage(f"{manifest.name} is of generation {manifest.generation}, and the records name {what}")


def verify(records: Sequence[Record], manifests: Iterable[Manifest], keys: KeyService) -> int:
    """Check records against each other and against manifests that were found; return how many links were compared.

    `manifests` are those of folders at hand, each held against its own data key here. A manifest of another
    generation than a record names says nothing about it: see `check_named`. Raises LineageBroken, DataManifestForged,
    KeyNotGranted kin.
    """
    # 1. Each record is what the holder of its output's data key wrote.
    for record in records:
        record.check(keys)
    # 2. Each manifest at hand is whole.
    known: dict[tuple[str, int], str] = {}
    for manifest in manifests:
        manifest.check(keys.unwrap(manifest.key_id, manifest.wrapped_data_key))
        _learn(known, Link(manifest.name, manifest.generation, manifest.mac.hex()))
    # 3. What one record calls its output, another that reads it calls the same; so do the manifests.
    for record in records:
        _learn(known, record.output)
    links = 0
    for record in records:
        for each in record.inputs:
            present = known.get((each.name, each.generation))
            if present is not None:
                _compare(each, present)
                links += 1
    return links


def to_bytes(records: Sequence[Record]) -> bytes:
    """Return the file's content."""
    body = {"format": FORMAT, "records": [_body(each) for each in records]}
    return json.dumps(body, indent=1, sort_keys=True).encode() + b"\n"


def parse(data: bytes) -> tuple[Record, ...]:
    """Read a lineage; nothing in it counts before `verify`. Raises BadLineage."""
    body = strict_json.loads(data, what="a lineage", error=BadLineage, max_bytes=MAX_BYTES, max_depth=6)
    if not isinstance(body, dict) or body.keys() != {"format", "records"} or body["format"] != FORMAT:
        raise BadLineage(f"this is no lineage of format {FORMAT!r}")
    rows = body["records"]
    if not isinstance(rows, list) or len(rows) > MAX_RECORDS:
        raise BadLineage(f"a lineage has up to {MAX_RECORDS} records")
    return tuple(_record(each) for each in rows)


def _record(row: object) -> Record:
    if not isinstance(row, dict) or row.keys() != _FIELDS:
        raise BadLineage(f"a record has {', '.join(sorted(_FIELDS))}")
    if not all(isinstance(row[name], str) for name in _FIELDS - {"inputs", "output"}):
        raise BadLineage("a record's fields are texts")
    if not isinstance(row["inputs"], list) or len(row["inputs"]) > MAX_INPUTS or not _MAC.fullmatch(row["mac"]):
        raise BadLineage(f"a record has up to {MAX_INPUTS} inputs, and a MAC")
    try:
        key_id = KeyId.parse(row["key_id"])
    except BadKeyName as problem:
        raise BadLineage(problem.sentence) from None
    return Record(
        application=row["application"], program=row["program"], digest=row["digest"], ended=row["ended"],
        inputs=tuple(_link(each) for each in row["inputs"]), output=_link(row["output"]), key_id=key_id,
        wrapped_data_key=row["data_key"], mac=row["mac"],
    )  # fmt: skip


def _link(row: object) -> Link:
    if not isinstance(row, dict) or row.keys() != {"name", "generation", "mac"}:
        raise BadLineage("a link has name, generation and mac")
    if not isinstance(row["name"], str) or type(row["generation"]) is not int or not isinstance(row["mac"], str):
        raise BadLineage("a link has name, generation and mac")
    return Link(row["name"], row["generation"], row["mac"])


def _learn(known: dict[tuple[str, int], str], link: Link) -> None:
    _compare(link, known.setdefault((link.name, link.generation), link.mac))


def _compare(link: Link, present: str) -> None:
    if not hmac.compare_digest(link.mac, present):
        raise LineageBroken(f"{link} is {present[:16]}… in one place and {link.mac[:16]}… in another")


def _body(record: Record) -> dict[str, Any]:
    return {
        "application": record.application, "program": record.program, "digest": record.digest, "ended": record.ended,
        "inputs": [_row(each) for each in record.inputs], "output": _row(record.output),
        "key_id": str(record.key_id), "data_key": record.wrapped_data_key, "mac": record.mac,
    }  # fmt: skip


def _row(link: Link) -> dict[str, Any]:
    return {"name": link.name, "generation": link.generation, "mac": link.mac}


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _derived(data_key: Secret) -> Secret:
    with data_key.reveal() as raw:
        return Secret(HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(raw))
