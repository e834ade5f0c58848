"""Which commands the plaintext port of `queue serve --compat` answers: those that the original's client sends. Pure.

`read_command` turns a request into what is to be done, or raises NotAllowed. Everything that a request names is held
against the one job that the port serves. Source: what bigdl-serving 2.4.0 and redis-py 5 to 8 were seen to send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from strongroom.clusterserving.faults import InvalidUri, TooLarge
from strongroom.clusterserving.names import GROUP, Job
from strongroom.errors import Refused
from strongroom.streaming.client.resp import Command

RECORD_FIELDS: Final = frozenset((b"uri", b"data", b"serde"))
GREETING: Final = 7, 0, 15  # the version of Redis that is claimed: XGROUP, streams and HELLO as the client knows them


class NotAllowed(Refused):
    """A program sent the plaintext port something that the original's client does not send."""

    code = "SR-QUEUE-COMPAT-COMMAND"
    fix = "The port is for the original's client and one job alone; for all else connect to Redis over TLS."


@dataclass(frozen=True, slots=True)
class Say:
    """Answered here, without asking Redis: `text` is a simple string, or an error where it says so."""

    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Hello:
    """The greeting, in version 2 or 3 of the protocol; None keeps the version."""

    protocol: int | None


@dataclass(frozen=True, slots=True)
class Admit:
    """A record for the stream."""

    uri: str
    fields: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A result, all of its fields, by its key."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """Results to delete, by their keys."""

    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ListResults:
    """The keys of all results of the job."""


@dataclass(frozen=True, slots=True)
class Memory:
    """How much memory Redis uses and may use: all that the client reads of INFO."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """`multi`, `exec` or `discard`: redis-py wraps pipelines in them."""

    word: str


@dataclass(frozen=True, slots=True)
class Quit:
    """The client says good-bye."""


Wish: TypeAlias = Say | Hello | Admit | Fetch | Forget | ListResults | Memory | Transaction | Quit


def read_command(command: Command, job: Job, max_record_bytes: int) -> Wish:
    """Return what a request wants of this job. Raises NotAllowed, InvalidUri, TooLarge."""
    word = command[0].upper()
    reader = _READERS.get(word)
    if reader is None:
        raise NotAllowed(f"{_shown(command[0])} is not answered on this port")
    return reader(command, job, max_record_bytes)


def _ping(command: Command, _job: Job, _limit: int) -> Wish:
    if len(command) != 1:
        raise NotAllowed("PING takes nothing here")
    return Say("PONG")


def _select(command: Command, _job: Job, _limit: int) -> Wish:
    if command[1:] != (b"0",):
        raise NotAllowed("there is database 0 alone")
    return Say("OK")


def _client(command: Command, _job: Job, _limit: int) -> Wish:
    if len(command) not in (3, 4) or command[1].upper() not in (b"SETINFO", b"SETNAME"):
        raise NotAllowed("of CLIENT there are SETINFO and SETNAME alone")
    return Say("OK")


def _hello(command: Command, _job: Job, _limit: int) -> Wish:
    if len(command) == 1:
        return Hello(None)
    if command[1] not in (b"2", b"3"):
        return Say("NOPROTO unsupported protocol version", failed=True)
    if len(command) != 2:
        raise NotAllowed("there are no users on this port")
    return Hello(int(command[1]))


def _transaction(command: Command, _job: Job, _limit: int) -> Wish:
    if len(command) != 1:
        raise NotAllowed("MULTI, EXEC and DISCARD take nothing")
    return Transaction(command[0].decode().lower())


def _quit(_command: Command, _job: Job, _limit: int) -> Wish:
    return Quit()


def _group(command: Command, job: Job, _limit: int) -> Wish:
    wanted = (b"XGROUP", b"CREATE", job.stream.encode(), GROUP.encode())
    if len(command) not in (5, 6) or (command[0].upper(), command[1].upper(), *command[2:4]) != wanted:
        raise NotAllowed("the one group is there already; no other is made")
    return Say("BUSYGROUP Consumer Group name already exists", failed=True)


def _info(_command: Command, _job: Job, _limit: int) -> Wish:
    return Memory()


def _add(command: Command, job: Job, limit: int) -> Wish:
    if len(command) < 5 or len(command) % 2 == 0 or command[1:3] != (job.stream.encode(), b"*"):
        raise NotAllowed("XADD is for this job's stream, with * and fields, and no options")
    fields = tuple(zip(command[3::2], command[4::2], strict=True))
    names = [name for name, _ in fields]
    if len(set(names)) != len(names) or not {b"uri", b"data"} <= set(names) <= RECORD_FIELDS:
        raise NotAllowed("a record has the fields uri and data, and may have serde")
    if sum(len(value) for _, value in fields) > limit:
        raise TooLarge(f"a record of this queue has at most {limit} bytes")
    uri = _text(dict(fields)[b"uri"])
    job.result(uri)
    return Admit(uri, fields)


def _fetch(command: Command, job: Job, _limit: int) -> Wish:
    if len(command) != 2:
        raise NotAllowed("HGETALL takes one key")
    return Fetch(_own(command[1], job))


def _forget(command: Command, job: Job, _limit: int) -> Wish:
    if len(command) < 2:
        raise NotAllowed("DEL takes keys")
    return Forget(tuple(_own(key, job) for key in command[1:]))


def _keys(command: Command, job: Job, _limit: int) -> Wish:
    if command[1:] != (f"{job.result_prefix}*".encode(),):
        raise NotAllowed("KEYS is for the results of this job")
    return ListResults()


def _own(key: bytes, job: Job) -> bytes:
    """Return the key of a result as it is. Raises NotAllowed for any other key, InvalidUri."""
    prefix = job.result_prefix.encode()
    if not key.startswith(prefix):
        raise NotAllowed("this key is no result of this job")
    job.result(_text(key[len(prefix) :]))
    return key


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidUri("a uri is UTF-8") from None


def _shown(word: bytes) -> str:
    return repr(word[:32].decode("ascii", "replace"))


_READERS: Final[dict[bytes, Callable[[Command, Job, int], Wish]]] = {
    b"PING": _ping,
    b"SELECT": _select,
    b"CLIENT": _client,
    b"HELLO": _hello,
    b"MULTI": _transaction,
    b"EXEC": _transaction,
    b"DISCARD": _transaction,
    b"QUIT": _quit,
    b"XGROUP": _group,
    b"INFO": _info,
    b"XADD": _add,
    b"HGETALL": _fetch,
    b"DEL": _forget,
    b"KEYS": _keys,
}
