"""The queue behind the plaintext port: over TLS, as a user of Redis that may do what the original's client does.

World: sockets, through `link`. All clients of the port share one connection; what they send together leaves together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.faults import ServingError
from strongroom.clusterserving.names import Job
from strongroom.errors import BadInput
from strongroom.streaming.client.compat_commands import Admit
from strongroom.streaming.client.compat_port import CompatLimits, CompatPort
from strongroom.streaming.link.calls import Call, ClientCalls, pairs, sound
from strongroom.streaming.link.place import Place
from strongroom.streaming.link.queue import AsyncQueue, Bounds
from strongroom.streaming.link.records import Admission
from strongroom.streaming.link.replies import Command, Reply

INFO_AGE_S: Final = 0.1  # the original asks before each record
PATIENCE_S: Final = 3.0  # Redis may be away for so long; redis-py gives up after 5 s
MAX_LISTED: Final = 100_000
DELETED_AT_ONCE: Final = 1000


class CompatSetup(BadInput):
    """The plaintext port for the original's client has no user of its own at this Redis."""

    code = "SR-QUEUE-COMPAT-USER"
    fix = "Set compatUser, compatPasswordFile, compatCertFile and compatKeyFile: the user cs-compat of docs/queue.md."


class QueueUpstream:
    """What the port needs of a queue, by `AsyncQueue`."""

    def __init__(self, queue: AsyncQueue) -> None:
        self._queue = queue
        self._calls = ClientCalls(queue.job, queue.bounds, queue.place.spelled)
        self._memory: tuple[float, tuple[int, int]] | None = None
        self._listing = asyncio.Lock()

    async def admit(self, record: Admit) -> str:
        """Take a record in and return its entry id. Raises QueueFull, NotReady, TooLarge."""
        admission = Admission({name.decode(): value for name, value in record.fields})
        outcome = (await self._queue.run(self._calls.admit([admission])))[0]
        if isinstance(outcome, ServingError):
            raise outcome
        return outcome

    async def fetch(self, keys: Sequence[bytes]) -> list[Mapping[bytes, bytes]]:
        """Return results by their keys, an empty one where there is none."""
        commands = tuple(("HGETALL", key) for key in keys)
        return await self._queue.run(Call(commands, lambda got: [pairs(sound(each)) for each in got]))

    async def forget(self, keys: Sequence[bytes]) -> int:
        """Delete results and return how many there were."""
        parts = [keys[at : at + DELETED_AT_ONCE] for at in range(0, len(keys), DELETED_AT_ONCE)]
        commands: tuple[Command, ...] = tuple(("UNLINK", *part) for part in parts)
        return await self._queue.run(Call(commands, lambda got: sum(int(sound(each)) for each in got)))

    async def list_results(self) -> list[bytes]:
        """Return the keys of all results of the job, at most MAX_LISTED; one client at a time goes through the keys."""
        found: dict[bytes, None] = {}
        cursor = ""
        async with self._listing:
            while cursor != "0" and len(found) < MAX_LISTED:
                cursor, uris = await self._queue.run(self._calls.scan(cursor or "0"))
                found |= dict.fromkeys(self._queue.job.result_prefix.encode() + uri.encode() for uri in uris)
        return list(found)

    async def memory(self) -> tuple[int, int]:
        """Return bytes of memory that Redis uses and may use, as of a moment ago."""
        now_s = time.monotonic()
        if self._memory is None or now_s - self._memory[0] > INFO_AGE_S:
            self._memory = now_s, await self._queue.run(Call((("INFO", "memory"),), read_memory))
        return self._memory[1]


def read_memory(got: list[Reply]) -> tuple[int, int]:
    """Return used and largest memory in bytes from INFO's answer; what is not said counts as 0."""
    lines = bytes(sound(got[0])).decode("utf-8", "replace").splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    used, most = (told.get(word, "") for word in ("used_memory", "maxmemory"))
    return (int(used) if used.isdecimal() else 0), (int(most) if most.isdecimal() else 0)


def compat_place(config: QueueConfig) -> Place:
    """Return how the port reaches Redis: as its own user. Raises CompatSetup where only the worker has one."""
    place = Place.of(config)
    if config.compat_user is None and config.redis_user is not None:
        raise CompatSetup(f"the worker is {config.redis_user} to Redis; the port would have more rights than it needs")
    return replace(
        place, user=config.compat_user, password_file=config.compat_password_file,
        cert_file=config.compat_cert_file or place.cert_file, key_file=config.compat_key_file or place.key_file,
    )  # fmt: skip


@asynccontextmanager
async def compat_port(config: QueueConfig, port: int) -> AsyncIterator[CompatPort]:
    """Answer the original's client on a loopback port for as long as the block runs.

    `port` 0 takes a free one: `CompatPort.port` says which. Raises CompatSetup, CompatPortTaken.
    """
    job: Job = config.job
    bounds = Bounds(
        max_records=config.max_stream_length, max_bytes=config.max_stream_bytes,
        max_record_bytes=config.max_record_bytes,
    )  # fmt: skip
    limits = CompatLimits(max_record_bytes=config.max_record_bytes)
    async with (
        AsyncQueue(compat_place(config), job, bounds, patience_s=PATIENCE_S) as queue,
        CompatPort(QueueUpstream(queue), job, port, limits=limits) as opened,
    ):
        yield opened
