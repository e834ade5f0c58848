"""Questions and answers of the domain name system, as much as pods ask for. Pure. Source: RFC 1035 section 4."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

A, CNAME, AAAA, IN = 1, 5, 28, 1
MAX_UDP_BYTES: Final = 512
TTL_S: Final = 2
_HEADER: Final = struct.Struct(">HHHHHH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_DESIRED = 0x8000, 0x0400, 0x0200, 0x0100


class Code(IntEnum):
    """What became of a question (RCODE)."""

    OK = 0
    FORMAT_ERROR = 1
    NO_SUCH_NAME = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


class NotAQuestion(ValueError):
    """A datagram is no question of one name."""


@dataclass(frozen=True, slots=True)
class Question:
    """One name that somebody asks for, in lower case and without the last dot."""

    number: int
    name: str
    kind: int
    recursion: bool
    raw: bytes  # as it was asked, to be repeated in the answer


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an answer: an IPv4 address, or another name."""

    name: str
    kind: int
    value: str


def parse(data: bytes) -> Question:
    """Read a question. Raises NotAQuestion for anything else, whatever it is."""
    if len(data) < _HEADER.size or len(data) > 4096:
        raise NotAQuestion("length")
    number, flags, questions, _, _, _ = _HEADER.unpack_from(data)
    if flags & _RESPONSE or flags & 0x7800 or questions != 1:
        raise NotAQuestion("not one standard question")
    labels, at = [], _HEADER.size
    while True:
        if at >= len(data):
            raise NotAQuestion("name without end")
        size = data[at]
        if size > 63 or at + 1 + size > len(data):
            raise NotAQuestion("label")
        at += 1 + size
        if not size:
            break
        labels.append(data[at - size : at])
    if at + 4 > len(data) or sum(map(len, labels)) + len(labels) > 254:
        raise NotAQuestion("question without type, or name too long")
    kind, _ = struct.unpack_from(">HH", data, at)
    try:
        name = b".".join(labels).decode("ascii").lower()
    except UnicodeDecodeError:
        raise NotAQuestion("name is not ASCII") from None
    return Question(number, name, kind, bool(flags & _RECURSION_DESIRED), data[_HEADER.size : at + 4])


def answer(question: Question, code: Code, records: Sequence[Record] = ()) -> bytes:
    """Return an answer that fits one datagram; what does not fit is left away and the answer says so."""
    flags = _RESPONSE | _AUTHORITATIVE | (_RECURSION_DESIRED if question.recursion else 0) | code
    body, count = b"", 0
    for record in records:
        line = _record(record)
        if _HEADER.size + len(question.raw) + len(body) + len(line) > MAX_UDP_BYTES:
            flags |= _TRUNCATED
            break
        body, count = body + line, count + 1
    return _HEADER.pack(question.number, flags, 1, count, 0, 0) + question.raw + body


def _record(record: Record) -> bytes:
    value = ipaddress.IPv4Address(record.value).packed if record.kind == A else encode_name(record.value)
    return encode_name(record.name) + struct.pack(">HHIH", record.kind, IN, TTL_S, len(value)) + value


def encode_name(name: str) -> bytes:
    """Return a name as labels with their lengths."""
    labels = [label.encode("ascii") for label in name.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
