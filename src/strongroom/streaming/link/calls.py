"""What is asked of Redis for each operation of a queue, and what the replies mean. Opens no socket.

An operation is a `Call`: commands that go out together, and how their replies read. `Round` says which of them have to
be sent again and why; the pumps in `queue` only wait and send. Source: spec `cluster-serving.md` sections 3 and 11.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from strongroom.clusterserving import scripts
from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.faults import Conflict, NotReady, QueueFull, ServingError, TooLarge
from strongroom.clusterserving.names import Job
from strongroom.clusterserving.scripts import Script
from strongroom.errors import StrongroomError
from strongroom.streaming.link.place import RedisAway
from strongroom.streaming.link.records import (
    Admission,
    Backlog,
    Fields,
    RawFields,
    WorkerSeen,
    size_of,
)
from strongroom.streaming.link.replies import PASSING, Command, Reply, ReplyError, Word, meaning_of

T = TypeVar("T")
PAGE: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a queue takes and how long it keeps what. Times in milliseconds."""

    max_records: int = 10_000
    max_bytes: int = 256 * 1024 * 1024
    max_record_bytes: int = 32 * 1024 * 1024
    result_ttl_ms: int = 3_600_000
    reply_ttl_ms: int = 3_600_000
    idempotency_ttl_ms: int = 3_600_000
    max_dead: int = 1000

    @classmethod
    def of(cls, config: QueueConfig) -> Bounds:
        """Return what a configuration says."""
        return cls(
            max_records=config.max_stream_length, max_bytes=config.max_stream_bytes,
            max_record_bytes=config.max_record_bytes, result_ttl_ms=config.result_ttl_ms,
            reply_ttl_ms=config.result_ttl_ms, max_dead=config.max_dead_letters,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """Commands of one operation and what their replies mean.

    `repeatable`: sending all of it twice does no harm. `wait_ms`: how long it may wait inside Redis.
    """

    commands: tuple[Command, ...]
    read: Callable[[list[Reply]], T]
    repeatable: bool = True
    wait_ms: int = 0
    script: Script | None = None


@dataclass(slots=True)
class Round:
    """The state of one call: which commands still need a reply, and what has come."""

    call: Call[Any]
    place: str
    replies: list[Reply] = field(init=False)
    left: list[int] = field(init=False)
    _loads: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.replies = [None] * len(self.call.commands)
        self.left = list(range(len(self.call.commands)))

    def commands(self) -> list[Command]:
        """Return what has to be sent now."""
        return [self.call.commands[index] for index in self.left]

    def take(self, replies: Sequence[Reply]) -> str | None:
        """Keep the replies that stand; return None when all do, else why the others have to be sent again."""
        again, why = [], None
        for index, reply in zip(self.left, replies, strict=True):
            self.replies[index] = reply
            if isinstance(reply, ReplyError) and (reply.word in PASSING or reply.word == "NOSCRIPT"):
                again.append(index)
                why = reply.word if why in {None, "NOSCRIPT"} else why
        self.left = again
        return why

    def loaded(self, reply: Reply) -> bool:
        """Return whether Redis has taken the script that it had lost, for the first time in this call."""
        first, self._loads = self._loads == 0, self._loads + 1
        return first and not isinstance(reply, ReplyError)

    def given_up(self) -> StrongroomError:
        """Return why no more tries are made."""
        last = next((each for each in self.replies if isinstance(each, ReplyError)), None)
        return meaning_of(last, self.place) if last is not None else RedisAway(f"{self.place} gives no answer")


class ClientCalls:
    """What clients and fronts ask of one job's queue."""

    def __init__(self, job: Job, bounds: Bounds, place: str) -> None:
        self.job = job
        self.bounds = bounds
        self._place = place

    def admit(self, admissions: Sequence[Admission]) -> Call[list[str | ServingError]]:
        """Take records in; each gives its entry id, or the error that refused it."""
        refused: dict[int, ServingError] = {}
        commands: list[Command] = []
        for index, admission in enumerate(admissions):
            try:
                commands.append(self._admission(admission))
            except ServingError as problem:
                refused[index] = problem

        def read(replies: list[Reply]) -> list[str | ServingError]:
            outcomes = iter(replies)
            return [refused[i] if i in refused else self._admitted(next(outcomes)) for i in range(len(admissions))]

        repeatable = all(each.idempotency_key is not None for each in admissions)
        return Call(tuple(commands), read, repeatable=repeatable, script=scripts.ADMIT)

    def _admission(self, admission: Admission) -> Command:
        bounds, job = self.bounds, self.job
        size = size_of(admission.fields)
        if size > bounds.max_record_bytes:
            raise TooLarge(f"a record of {size} bytes; the queue takes {bounds.max_record_bytes}")
        key, digest = job.stream, ""
        if admission.idempotency_key is not None:
            key = job.idempotency(admission.idempotency_key)
            digest = admission.digest or digest_of(admission.fields)
        lives = "" if admission.expires_in_ms is None else admission.expires_in_ms
        words: list[Word] = [
            "EVALSHA", scripts.ADMIT.sha, 3, job.stream, key, job.bytes,
            bounds.max_records, bounds.max_bytes, size, bounds.idempotency_ttl_ms, digest, lives,
        ]  # fmt: skip
        for name, value in admission.fields.items():
            words += (name, value)
        return tuple(words)

    def _admitted(self, reply: Reply) -> str | ServingError:
        if not isinstance(reply, ReplyError):
            return str(reply[1].decode())
        if reply.word == "CONFLICT":
            return Conflict("the idempotency key was used for another record")
        if reply.word == "QUEUEFULL":
            return QueueFull(f"the queue {self.job.name} holds as many {str(reply).partition(' ')[2]} as it may")
        if reply.word == "OOM":
            return QueueFull("Redis' memory is full")
        if reply.word == "NOSTREAM":
            return NotReady(f"the queue {self.job.name} is not there: no worker has been started")
        raise meaning_of(reply, self._place)

    def results(
        self, uris: Sequence[str], *, entry_ids: Sequence[str | None] | None, after: str
    ) -> Call[list[RawFields | None]]:
        """Read results, None where there is none yet; `after`: keep, delete, or milliseconds that they live on."""
        wanted = entry_ids if entry_ids is not None else [None] * len(uris)
        commands: tuple[Command, ...] = tuple(
            ("EVALSHA", scripts.TAKE.sha, 1, self.job.result(uri), entry_id or "", after)
            for uri, entry_id in zip(uris, wanted, strict=True)
        )
        return Call(commands, lambda got: [pairs(sound(each)) or None for each in got],
                    repeatable=after != "delete", script=scripts.TAKE)  # fmt: skip

    def forget(self, uris: Sequence[str]) -> Call[int]:
        """Delete results; give how many there were."""
        return Call((("UNLINK", *(self.job.result(uri) for uri in uris)),), lambda got: int(sound(got[0])))

    def replies(self, client: str, count: int, wait_ms: int) -> Call[list[str]]:
        """Take up to `count` uris from a client's reply list, waiting for the first."""
        key = self.job.reply(client)
        commands: list[Command] = [("BLPOP", key, max(wait_ms, 1) / 1000)] if wait_ms else []
        commands.append(("LPOP", key, count))

        def read(got: list[Reply]) -> list[str]:
            first = [sound(got[0])[1]] if wait_ms and sound(got[0]) else []
            return [each.decode("utf-8", "replace") for each in (*first, *(sound(got[-1]) or ()))]

        return Call(tuple(commands), read, repeatable=False, wait_ms=wait_ms)

    def backlog(self) -> Call[Backlog]:
        """Say how much waits."""
        job = self.job

        def read(got: list[Reply]) -> Backlog:
            records = int(sound(got[0]))
            return Backlog(records, max(int(sound(got[1]) or 0), 0) if records else 0)

        return Call((("XLEN", job.stream), ("GET", job.bytes)), read)

    def worker_names(self) -> Call[dict[str, int]]:
        """Give every worker that was seen, with the milliseconds (Redis' clock) when it was."""
        return Call((("HGETALL", self.job.workers),), lambda got: {
            name.decode("utf-8", "replace"): int(seen) if seen.isdigit() else 0
            for name, seen in pairs(sound(got[0])).items()
        })  # fmt: skip

    def worker_states(self, names: dict[str, int]) -> Call[tuple[WorkerSeen, ...]]:
        """Give the heartbeats of workers."""
        commands = (("MGET", *(self.job.worker(name) for name in names)),) if names else ()

        def read(got: list[Reply]) -> tuple[WorkerSeen, ...]:
            states = sound(got[0]) if names else []
            return tuple(
                WorkerSeen(name, seen, _heartbeat(state))
                for (name, seen), state in zip(names.items(), states, strict=True)
            )

        return Call(commands, read)

    def clock(self) -> Call[int]:
        """Give Redis' time in milliseconds since 1970."""
        return Call((("TIME",),), lambda got: int(sound(got[0])[0]) * 1000 + int(sound(got[0])[1]) // 1000)

    def scan(self, cursor: str) -> Call[tuple[str, list[str]]]:
        """Give some of the uris that have a result, and the cursor that goes on; `0` ends."""
        pattern = f"{self.job.result_prefix}*"

        def read(got: list[Reply]) -> tuple[str, list[str]]:
            following, keys = sound(got[0])
            return following.decode(), [self.job.uri_of(key.decode("utf-8", "replace")) for key in keys]

        return Call((("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE, "TYPE", "hash"),), read)


def sound(reply: Reply) -> Reply:
    """Return a reply that is no error. Raises RedisRefused, RedisAway or RedisUnexpected for one that is."""
    if isinstance(reply, ReplyError):
        raise meaning_of(reply, "Redis")
    return reply


def pairs(reply: Reply) -> RawFields:
    """Return names and values that stand in one list as a dictionary; empty for none."""
    return dict(zip(reply[::2], reply[1::2], strict=True)) if reply else {}


def digest_of(fields: Fields) -> str:
    """Return what an idempotency key is bound to: the SHA-256 (hex) of a record's fields but its deadline."""
    digest = hashlib.sha256()
    for name in sorted(fields):
        value = fields[name]
        if name == scripts.DEADLINE_FIELD:
            continue
        for part in (name.encode(), value if isinstance(value, bytes) else value.encode()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _heartbeat(state: bytes | None) -> dict[str, Any] | None:
    """Return what a worker says of itself; an unreadable one says nothing, but it is alive."""
    if state is None:
        return None
    try:
        found = json.loads(state)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
