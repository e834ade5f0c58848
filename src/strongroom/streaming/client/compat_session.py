"""One connection of the plaintext port: commands in order, replies in order. Reads and writes no socket.

What a command wants is in `compat_commands`; what the queue does for it is behind `Upstream`. A transaction of redis-py
is answered as one reply, but is not one step in Redis: the original reads and deletes results in it, nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from strongroom.clusterserving.faults import QueueFull, ServingError
from strongroom.clusterserving.names import Job
from strongroom.errors import Refused, StrongroomError, Unreachable
from strongroom.streaming.client import resp
from strongroom.streaming.client.compat_commands import (
    GREETING,
    Admit,
    Fetch,
    Forget,
    Hello,
    ListResults,
    Memory,
    NotAllowed,
    Quit,
    Say,
    Transaction,
    Wish,
    read_command,
)
from strongroom.streaming.client.resp import Command

FULL_WAIT_S: Final = 3.0  # redis-py gives up after 5 s; the original drops a record that is refused, so it waits first
FULL_PAUSE_S: Final = 0.02
MAX_QUEUED: Final = 1 << 17  # commands in a transaction
KEY_BYTES: Final = 100  # what a key costs here besides its own bytes
FETCHED_AT_ONCE: Final = 256  # results, where they are small
FETCHED_BYTES: Final = 1 << 20  # about so much at once, where they are not
FIRST_FETCHED: Final = 8
TOO_MUCH: Final = resp.error("ERR too_large: what is asked for together is more than this port holds; ask for less")


class Upstream(Protocol):
    """What the port needs of the queue behind it. Methods raise StrongroomErrors."""

    async def admit(self, record: Admit) -> str:
        """Take a record in and return its entry id. Raises QueueFull."""

    async def fetch(self, keys: Sequence[bytes]) -> list[Mapping[bytes, bytes]]:
        """Return results by their keys, an empty one where there is none."""

    async def forget(self, keys: Sequence[bytes]) -> int:
        """Delete results and return how many there were."""

    async def list_results(self) -> list[bytes]:
        """Return the keys of all results of the job."""

    async def memory(self) -> tuple[int, int]:
        """Return bytes of memory that Redis uses, and may use (0: no bound)."""


class Session:
    """Answers one client. `closing` is set once it said good-bye; `protocol` is 2 or 3."""

    def __init__(
        self, upstream: Upstream, job: Job, max_record_bytes: int, *, room: Callable[[], int] = lambda: 0
    ) -> None:
        """`room`: for how many bytes of replies there is room; below 0 nothing more is asked of the queue."""
        self._upstream = upstream
        self._job = job
        self._limit = max_record_bytes
        self._room = room
        self.reply_bytes = 0  # of replies that are not with the socket yet
        self._largest = FETCHED_BYTES // FIRST_FETCHED  # result that was seen
        self._queued: list[Wish] | None = None
        self._spoiled = False  # the transaction holds a command that was refused
        self.protocol = 2
        self.closing = False
        self.refused = 0
        self.held_bytes = 0  # of a transaction that was not executed yet

    async def answer(self, commands: Sequence[Command]) -> list[bytes]:
        """Return the replies to commands that came together, one each, in order."""
        replies: list[bytes] = []
        fetches: list[Fetch] = []
        for command in commands:
            wish = self._read(command)
            if isinstance(wish, Fetch) and self._queued is None:
                fetches.append(wish)  # neighbours go to Redis together
                continue
            replies += await self._fetch_all(fetches)
            fetches = []
            replies.append(wish if isinstance(wish, bytes) else await self._guarded(wish))
            if self.closing:
                break
        return replies + await self._fetch_all(fetches)

    def _read(self, command: Command) -> Wish | bytes:
        try:
            return read_command(command, self._job, self._limit)
        except StrongroomError as problem:
            self._spoiled = self._queued is not None
            self.refused += 1
            return error_reply(problem)

    async def _guarded(self, wish: Wish) -> bytes:
        if isinstance(wish, ListResults) and self._room() < 0:
            return TOO_MUCH
        try:
            reply = await self._transact(wish)
        except StrongroomError as problem:
            return error_reply(problem)
        if not isinstance(wish, Transaction):  # what is in one was counted already
            self.reply_bytes += len(reply)
        return reply

    async def _transact(self, wish: Wish) -> bytes:
        if not isinstance(wish, Transaction):
            return await self._do(wish) if self._queued is None else self._queue(wish)
        queued, spoiled = self._queued, self._spoiled
        self._spoiled, self.held_bytes = False, 0
        if wish.word == "multi":
            self._queued = []
            return resp.simple("OK") if queued is None else resp.error("ERR MULTI calls can not be nested")
        self._queued = None
        if queued is None:
            return resp.error(f"ERR {wish.word.upper()} without MULTI")
        if wish.word == "discard":
            return resp.simple("OK")
        if spoiled:
            return resp.error("EXECABORT Transaction discarded because of previous errors.")
        return resp.array(await self._run(queued))

    def _queue(self, wish: Wish) -> bytes:
        if self._queued is None or not isinstance(wish, (Fetch, Forget)) or len(self._queued) == MAX_QUEUED:
            self._spoiled = True
            raise NotAllowed(f"a transaction holds HGETALL and DEL alone, at most {MAX_QUEUED} of them")
        keys = wish.keys if isinstance(wish, Forget) else (wish.key,)
        self.held_bytes += sum(map(len, keys)) + KEY_BYTES * len(keys)
        self._queued.append(wish)
        return resp.simple("QUEUED")

    async def _run(self, wishes: Sequence[Wish]) -> list[bytes]:
        replies: list[bytes] = []
        fetches: list[Fetch] = []
        for wish in wishes:
            if isinstance(wish, Fetch):
                fetches.append(wish)
                continue
            replies += await self._fetch_all(fetches)
            fetches = []
            replies.append(await self._guarded(wish))
        return replies + await self._fetch_all(fetches)

    async def _do(self, wish: Wish) -> bytes:
        match wish:
            case Say(text, failed):
                return resp.error(text) if failed else resp.simple(text)
            case Hello(protocol):
                return self._greet(protocol)
            case Admit():
                return resp.bulk((await self._admit(wish)).encode())
            case Forget(keys):
                return resp.integer(await self._upstream.forget(keys))
            case ListResults():
                return resp.array(resp.bulk(key) for key in await self._upstream.list_results())
            case Memory():
                used, most = await self._upstream.memory()
                return resp.bulk(f"# Memory\r\nused_memory:{used}\r\nmaxmemory:{most}\r\n".encode())
            case Quit():
                self.closing = True
                return resp.simple("OK")
            case Fetch():
                return (await self._fetch_all([wish]))[0]
            case Transaction():
                raise NotAllowed("a transaction does not stand in another")

    async def _admit(self, record: Admit) -> str:
        """Take a record in; where the queue is full, hold the client up before it is told."""
        loop = asyncio.get_running_loop()
        end = loop.time() + FULL_WAIT_S
        while True:
            try:
                return await self._upstream.admit(record)
            except QueueFull:
                if loop.time() >= end:
                    raise
            await asyncio.sleep(FULL_PAUSE_S)

    async def _fetch_all(self, fetches: Sequence[Fetch]) -> list[bytes]:
        replies: list[bytes] = []
        while len(replies) < len(fetches):
            if self._room() < 0:
                return replies + [TOO_MUCH] * (len(fetches) - len(replies))
            most = max(1, min(FETCHED_AT_ONCE, FETCHED_BYTES // max(1, self._largest)))
            part = fetches[len(replies) : len(replies) + most]
            try:
                found = await self._upstream.fetch([each.key for each in part])
            except StrongroomError as problem:
                replies += [error_reply(problem)] * len(part)
                continue
            written = [
                resp.mapping({name: resp.bulk(value) for name, value in fields.items()}, protocol=self.protocol)
                for fields in found
            ]
            self._largest = max(map(len, written))
            self.reply_bytes += sum(map(len, written))
            replies += written
        return replies

    def _greet(self, protocol: int | None) -> bytes:
        self.protocol = protocol or self.protocol
        facts = {
            b"server": resp.bulk(b"redis"),
            b"version": resp.bulk(".".join(map(str, GREETING)).encode()),
            b"proto": resp.integer(self.protocol),
            b"id": resp.integer(1),
            b"mode": resp.bulk(b"standalone"),
            b"role": resp.bulk(b"master"),
            b"modules": resp.array(()),
        }
        return resp.mapping(facts, protocol=self.protocol)


def error_reply(problem: StrongroomError) -> bytes:
    """Return an error in Redis' form: the first word tells redis-py what kind it is."""
    if isinstance(problem, NotAllowed):
        return resp.error(f"NOPERM {problem.sentence}")
    if isinstance(problem, QueueFull):
        return resp.error("ERR queue_full: the queue holds as much as it may; the record was not taken")
    if isinstance(problem, ServingError):
        return resp.error(f"ERR {problem.fault}: {problem.sentence}")
    if isinstance(problem, Unreachable):
        return resp.error("LOADING the queue cannot be reached at the moment")  # redis-py calls it a lost connection
    return resp.error("NOPERM the queue refused this" if isinstance(problem, Refused) else "ERR the queue failed")
