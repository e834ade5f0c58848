"""Redis' wire protocol as a server of a few commands needs it: requests in, replies out. Pure, sans-IO.

A request is an array of bulk strings (RESP2 and RESP3 alike); inline commands are not read. Every length is checked
before anything is kept, and no byte is looked at twice. Source: redis.io/docs/latest/develop/reference/protocol-spec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from strongroom.errors import BadInput

Command: TypeAlias = tuple[bytes, ...]

MAX_ARGUMENTS: Final = 1 << 17  # DEL of all results at once is the longest that the original sends
MAX_COMMAND_BYTES: Final = 48 << 20  # a record of 32 MiB in base64, and its names
_LINE: Final = 12  # '*' or '$', up to nine digits, CR and LF
_CRLF: Final = b"\r\n"


class NotRedisProtocol(BadInput):
    """What came in on the plaintext port is not a request in Redis' protocol, or is larger than one may be."""

    code = "SR-QUEUE-COMPAT-PROTOCOL"
    fix = "Talk to this port with the original's client (redis-py); it takes records of up to maxRecordBytes."


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """How much one command may be: arguments, and bytes of all of them."""

    arguments: int = MAX_ARGUMENTS
    total_bytes: int = MAX_COMMAND_BYTES


class Requests:
    """Reads requests from bytes as they come. `waiting` says whether half a request is held."""

    def __init__(self, limits: CommandLimits = CommandLimits()) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._at = 0
        self._missing = 0  # arguments of the request at hand that have not been read
        self._arguments: list[bytes] = []
        self._bytes = 0  # of the arguments at hand
        self._bulk: int | None = None  # length of the argument that is awaited

    @property
    def waiting(self) -> bool:
        """Whether a request has begun and not ended."""
        return bool(self._missing or self._buffer)

    @property
    def held_bytes(self) -> int:
        """How many bytes of a request that has not ended are kept."""
        return self._bytes + len(self._buffer)

    def receive(self, data: bytes) -> list[Command]:
        """Take bytes and return the requests that they complete, in order. Raises NotRedisProtocol."""
        self._buffer += data
        commands: list[Command] = []
        while True:
            if not self._missing:
                if not self._begin():
                    break
            elif self._bulk is None:
                if not self._size():
                    break
            elif not self._argument():
                break
            if self._arguments and not self._missing:
                commands.append(tuple(self._arguments))
                self._arguments, self._bytes = [], 0
        del self._buffer[: self._at]
        self._at = 0
        return commands

    def _begin(self) -> bool:
        count = self._number(ord("*"), self._limits.arguments)
        self._missing = count or 0
        return count is not None

    def _size(self) -> bool:
        self._bulk = self._number(ord("$"), self._limits.total_bytes - self._bytes)
        return self._bulk is not None

    def _argument(self) -> bool:
        size = self._bulk or 0
        end = self._at + size
        if len(self._buffer) < end + len(_CRLF):
            return False
        if self._buffer[end : end + len(_CRLF)] != _CRLF:
            raise NotRedisProtocol("an argument does not end where it said")
        self._arguments.append(bytes(memoryview(self._buffer)[self._at : end]))
        self._at = end + len(_CRLF)
        self._bytes += size
        self._missing -= 1
        self._bulk = None
        return True

    def _number(self, kind: int, largest: int) -> int | None:
        """Return the number on the line that begins here, None where the line has not ended."""
        if self._at == len(self._buffer):
            return None
        if self._buffer[self._at] != kind:
            raise NotRedisProtocol("a request is an array of bulk strings")
        end = self._buffer.find(_CRLF, self._at, self._at + _LINE)
        if end < 0:
            if len(self._buffer) - self._at >= _LINE:
                raise NotRedisProtocol("a length has no end")
            return None
        digits = bytes(self._buffer[self._at + 1 : end])
        if not digits.isdigit():
            raise NotRedisProtocol("a length is not a number")
        number = int(digits)
        if number > largest:
            raise NotRedisProtocol(f"a request is larger than the {largest} that are left for it")
        self._at = end + len(_CRLF)
        return number


def simple(text: str) -> bytes:
    """Return a simple string, such as OK."""
    return b"+" + _one_line(text) + _CRLF


def error(text: str) -> bytes:
    """Return an error; its first word is the kind that clients look at."""
    return b"-" + _one_line(text) + _CRLF


def integer(number: int) -> bytes:
    """Return a number."""
    return b":%d\r\n" % number


def bulk(data: bytes) -> bytes:
    """Return a bulk string."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def array(replies: Iterable[bytes]) -> bytes:
    """Return an array of replies that are encoded already."""
    parts = list(replies)
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def mapping(fields: Mapping[bytes, bytes], *, protocol: int) -> bytes:
    """Return a map of encoded values: as such in RESP3, as an array of keys and values in RESP2."""
    parts = [bulk(key) + value for key, value in fields.items()]
    head = b"%%%d\r\n" % len(parts) if protocol == 3 else b"*%d\r\n" % (2 * len(parts))
    return head + b"".join(parts)


def _one_line(text: str) -> bytes:
    return text.replace("\r", " ").replace("\n", " ").encode()
