"""Redis' protocol as hiredis reads and writes it, and what Redis' own errors mean. Opens no socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from strongroom.errors import Refused, StrongroomError
from strongroom.streaming.link.place import NoRedisLibrary, RedisAway, RedisRefused

try:
    import hiredis
except ModuleNotFoundError:  # the extra is not installed: the errors here are known all the same
    hiredis = None  # type: ignore[assignment]  # asked for by check_library

Word: TypeAlias = "str | bytes | int | float"
Command: TypeAlias = "tuple[Word, ...]"
Reply: TypeAlias = Any  # bytes, int, None, ReplyError, or a list of them

NOTHING_YET: Final = object()  # what a reader gives while a reply is not whole

# Words of errors that pass by themselves: starting, in a script, failing over, a disk that is full.
PASSING: Final = frozenset(
    {"LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "MISCONF", "NOREPLICAS"}
)
UNKNOWN_TO_REDIS: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"})


class RedisUnexpected(Refused):
    """Redis refuses a command in a way that no part of the queue foresees."""

    code = "SR-REDIS-REPLY"
    fix = "Use Redis 7.0 or newer (or Valkey), and a job name whose keys nobody else writes."


class ReplyError(Exception):
    """An error that Redis replied; a value here, never raised past this room."""

    @property
    def word(self) -> str:
        """The word that says what kind of error it is."""
        return str(self).partition(" ")[0]


def check_library() -> None:
    """Raise NoRedisLibrary where the extra `streaming` is not installed."""
    if hiredis is None:
        raise NoRedisLibrary("the library that speaks to Redis (hiredis) is not installed")


def new_reader() -> Any:  # noqa: ANN401  # hiredis has no types
    """Return an empty reader of replies: errors are values, text stays bytes."""
    return hiredis.Reader(protocolError=ConnectionError, replyError=ReplyError, notEnoughData=NOTHING_YET)


def packed(commands: Sequence[Command]) -> bytes:
    """Return commands as Redis reads them."""
    pack = hiredis.pack_command
    return b"".join([pack(command) for command in commands])  # type: ignore[arg-type]  # its stub wants one element


def meaning_of(error: ReplyError, place: str) -> StrongroomError:
    """Return what an error of Redis' is to us."""
    said = str(error)[:200]
    if error.word in UNKNOWN_TO_REDIS:
        return RedisRefused(f"{place} refuses: {said}")
    if error.word in PASSING:
        return RedisAway(f"{place} does not work yet: {said}")
    return RedisUnexpected(f"{place} replies: {said}")
