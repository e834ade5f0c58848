"""A record and its result as Redis holds them, to and from this room's values: what workers and clients call. Pure.

A record has the fields `uri`, `serde` and `data` of the original, and ours: `reply`, `deadline` (milliseconds since
1970), `accept` (`raw`), `kid` (of a sealed one), `d:NAME` and `m:NAME` (of a raw one). A result has `value`, `id`,
`ts`, `code` and `message` on errors, `dtype`, `shapes` and `names`, and `d:NAME`, `m:NAME` where raw was asked for.
Source: spec `cluster-serving.md` sections 3, 11.2 to 11.6 and 11.8.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from strongroom.clusterserving import raw
from strongroom.clusterserving.arrow_request import as_input, decode_inputs, encode_inputs
from strongroom.clusterserving.faults import BadRecord, ServingError, TooLarge, Unauthorized, UnsupportedSerde
from strongroom.clusterserving.instances import parse_instances
from strongroom.clusterserving.limits import DEFAULT_LIMITS, Limits
from strongroom.clusterserving.names import MAX_URI_BYTES, check_uri
from strongroom.clusterserving.result import ResultSealer, error_fields, result_fields
from strongroom.clusterserving.result_reading import ResultOpener, read_result
from strongroom.clusterserving.values import Inputs, Record
from strongroom.secret import Secret

__all__ = [
    "Opened",
    "Opener",
    "RecordSealer",
    "ResultOpener",
    "ResultSealer",
    "error_fields",
    "read_record",
    "read_result",
    "request_fields",
    "result_fields",
    "uri_of",
]

ARROW, JSON, RAW = 0, 1, 2  # what lies inside a sealed record: `sealed.InnerSerde`
SERDES: Final = ("", "stream", "raw", "sealed")
_MAX_WORD: Final = 64  # bytes of a field that is one word


@dataclass(frozen=True, slots=True)
class Opened:
    """What a sealed record holds: the form of its payload (ARROW, JSON, RAW), the key for its result, the payload."""

    inner: int
    response_key: Secret
    payload: bytes


class Opener(Protocol):
    """The worker's queue keys."""

    def open(self, kid: str, data: bytes, uri: str, entry_id: str) -> Opened:
        """Open a sealed record; another entry with the same bytes is a replay.

        Raises UnsealFailed; `sealed.UnknownQueueKey` where another worker may hold the key.
        """


class RecordSealer(Protocol):
    """A queue's public key, and the job and model that records are bound to."""

    def seal(self, inner: int, payload: bytes, *, uri: str, response_key: Secret) -> tuple[str, bytes]:
        """Return `kid` and the sealed `data`."""


def request_fields(
    uri: str,
    inputs: Mapping[str, Any] | bytes,
    *,
    serde: str | None = None,
    reply: str | None = None,
    deadline_ms: int | None = None,
    accept_raw: bool = False,
    seal_to: RecordSealer | None = None,
    response_key: Secret | None = None,
) -> dict[str, str | bytes]:
    """Return the fields of a record, in the order in which they are sent.

    `inputs`: arrays, lists of texts, `{"b64": …}` and this room's values by name; for serde `stream` the body itself,
    as bytes. With `seal_to` the record is sealed (its payload raw, or the body), and `response_key` must be fresh.
    Raises InvalidUri, BadRecord, UnsupportedSerde.
    """
    fields: dict[str, str | bytes] = {"uri": check_uri(uri)}
    if serde == "sealed" or seal_to is not None:
        if seal_to is None or response_key is None:
            raise BadRecord("a sealed record needs the queue's public key and a fresh key for its result", uri=uri)
        inner = JSON if isinstance(inputs, bytes) else RAW
        payload = inputs if isinstance(inputs, bytes) else raw.to_bytes(_values(inputs))
        fields["serde"] = "sealed"
        fields["kid"], fields["data"] = seal_to.seal(inner, payload, uri=uri, response_key=response_key)
    elif isinstance(inputs, bytes):
        fields["data"], fields["serde"] = inputs, "stream"
    elif not serde:
        fields["data"] = binascii.b2a_base64(encode_inputs(inputs), newline=False)
    elif serde == "raw":
        fields["serde"] = "raw"
        fields.update(raw.to_fields(_values(inputs)))
    else:
        raise UnsupportedSerde(f"inputs cannot be sent as {serde[:_MAX_WORD]!r}", uri=uri)
    if reply is not None:
        fields["reply"] = reply
    if deadline_ms is not None:
        fields["deadline"] = str(deadline_ms)
    if accept_raw:
        fields["accept"] = "raw"
    return fields


def _values(inputs: Mapping[str, Any]) -> Inputs:
    return {name: as_input(name, value) for name, value in inputs.items()}


def read_record(
    entry_id: str,
    fields: Mapping[bytes, bytes],
    *,
    limits: Limits = DEFAULT_LIMITS,
    opener: Opener | None = None,
    require_sealed: bool = False,
) -> Record:
    """Read a record as a worker gets it. Raises a leaf of ServingError, with `uri` set, and what `opener` raises.

    InvalidUri is raised without a uri: there is no name under which a result could stand.
    """
    uri = uri_of(fields)
    try:
        return _read_record(entry_id, uri, fields, limits=limits, opener=opener, require_sealed=require_sealed)
    except ServingError as problem:
        problem.uri = uri
        raise


def uri_of(fields: Mapping[bytes, bytes]) -> str:
    """Return the record's name. Raises InvalidUri."""
    return check_uri(fields.get(b"uri", b"")[: MAX_URI_BYTES + 1].decode("utf-8", "surrogateescape"))


def _read_record(
    entry_id: str,
    uri: str,
    fields: Mapping[bytes, bytes],
    *,
    limits: Limits,
    opener: Opener | None,
    require_sealed: bool,
) -> Record:
    size = sum(map(len, fields.values()))
    if size > limits.max_record_bytes:
        raise TooLarge(f"the record has {size} bytes, and {limits.max_record_bytes} are allowed")
    serde = _word(fields, b"serde")
    if require_sealed and serde != "sealed":
        raise Unauthorized("this queue takes sealed records only")
    response_key = None
    if serde == "raw":
        instances: tuple[Inputs, ...] = (raw.from_fields(fields, limits),)
    else:
        data = fields.get(b"data")
        if data is None:
            raise BadRecord("the record has no data")
        if serde == "":
            try:
                instances = (decode_inputs(binascii.a2b_base64(data, strict_mode=True), limits),)
            except binascii.Error:
                raise BadRecord("the record's data are not in base64") from None
        elif serde == "stream":
            instances = parse_instances(data, limits)
        elif serde == "sealed":
            if opener is None:
                raise Unauthorized("this worker holds no queue key: it takes no sealed records")
            opened = opener.open(_word(fields, b"kid"), data, uri, entry_id)
            response_key = opened.response_key
            instances = _inside(opened, limits)
        else:
            raise UnsupportedSerde(f"serde {serde!r} is not read")
    return Record(
        entry_id=entry_id, uri=uri, instances=instances, reply=_reply(fields), deadline_ms=_deadline(fields),
        accept_raw=_word(fields, b"accept") == "raw", response_key=response_key,
    )  # fmt: skip


def _inside(opened: Opened, limits: Limits) -> tuple[Inputs, ...]:
    """Return what a sealed record holds. An error says no more than its word: it is written where anybody reads it."""
    try:
        return _unsealed(opened, limits)
    except ServingError as problem:
        raise type(problem)("what lies inside the sealed record cannot be read") from None


def _unsealed(opened: Opened, limits: Limits) -> tuple[Inputs, ...]:
    if opened.inner == JSON:
        return parse_instances(opened.payload, limits)
    if opened.inner == RAW:
        return (raw.from_bytes(opened.payload, limits),)
    if opened.inner == ARROW:
        return (decode_inputs(opened.payload, limits),)
    raise UnsupportedSerde(f"form {opened.inner} inside a sealed record is not read")


def _word(fields: Mapping[bytes, bytes], name: bytes) -> str:
    found = fields.get(name, b"")
    if len(found) > _MAX_WORD or not found.isascii():
        raise BadRecord(f"the field {name.decode()} is no word")
    return found.decode()


def _reply(fields: Mapping[bytes, bytes]) -> str | None:
    found = fields.get(b"reply", b"")
    try:
        return check_uri(found.decode()) if found else None
    except UnicodeDecodeError:
        raise BadRecord("the field reply is not UTF-8") from None


def _deadline(fields: Mapping[bytes, bytes]) -> int | None:
    found = fields.get(b"deadline", b"")
    if not found:
        return None
    if not found.isdigit() or len(found) > 15:
        raise BadRecord("the field deadline is no number of milliseconds")
    return int(found)
