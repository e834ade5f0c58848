"""What a worker asks of a queue: read, take over, complete, bury, say that it lives. Opens no socket.

Source: spec `cluster-serving.md` sections 11.1 and 11.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.clusterserving import scripts
from strongroom.clusterserving.names import GROUP, Job
from strongroom.streaming.link.calls import Bounds, Call, pairs, sound
from strongroom.streaming.link.records import Claimed, Completion, DeadLetter, Entry
from strongroom.streaming.link.replies import Command, Reply, ReplyError, Word

HEARTBEAT_TTL_MS: Final = 10_000
MAX_REPLIES: Final = 100_000
EVERYTHING: Final = "0-0"


class WorkerCalls:
    """What workers, and people who look after them, ask of one job's queue."""

    def __init__(self, job: Job, bounds: Bounds) -> None:
        self.job = job
        self.bounds = bounds

    def make_group(self) -> Call[bool]:
        """Make the stream and its group; False where they are there already, be it that memory is full."""

        def read(got: list[Reply]) -> bool:
            made, groups = got
            if isinstance(made, ReplyError) and made.word == "BUSYGROUP":
                return False
            if isinstance(made, ReplyError) and made.word == "OOM" and not isinstance(groups, ReplyError):
                names = [pairs(each).get(b"name") for each in groups]
                return bool(GROUP.encode() not in names and sound(made))
            return bool(sound(made))

        make = ("XGROUP", "CREATE", self.job.stream, GROUP, EVERYTHING, "MKSTREAM")
        return Call((make, ("XINFO", "GROUPS", self.job.stream)), read)

    def read(self, consumer: str, count: int, wait_ms: int) -> Call[tuple[Entry, ...]]:
        """Take new records, waiting for the first."""
        words: list[Word] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count]
        words += ["BLOCK", wait_ms] if wait_ms else []
        words += ["STREAMS", self.job.stream, ">"]
        return Call((tuple(words),), lambda got: _read(sound(got[0])), wait_ms=wait_ms)

    def own(self, consumer: str, count: int, after: str) -> Call[tuple[tuple[Entry, ...], str | None]]:
        """Take back what this consumer held when it ended, a page behind the entry `after`; and where the next begins.

        Entries that are no longer in the stream are acknowledged by `drop`, not given.
        """
        command = ("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, "STREAMS", self.job.stream, after)

        def read(got: list[Reply]) -> tuple[tuple[Entry, ...], str | None]:
            found = sound(got[0])
            raw = found[0][1] if found else []
            return _entries(raw), raw[-1][0].decode() if len(raw) == count else None

        return Call((command,), read)

    def claim(self, consumer: str, idle_ms: int, count: int, cursor: str) -> Call[Claimed]:
        """Take over records that nobody touched for `idle_ms`."""
        command = ("XAUTOCLAIM", self.job.stream, GROUP, consumer, idle_ms, cursor, "COUNT", count)

        def read(got: list[Reply]) -> Claimed:
            reply = sound(got[0])
            gone = tuple(each.decode() for each in reply[2]) if len(reply) > 2 else ()  # Redis 7
            return Claimed(_entries(reply[1]), reply[0].decode(), gone)

        return Call((command,), read)

    def abandoned(self, idle_ms: int, count: int) -> Call[dict[str, int]]:
        """Give entries that nobody touched for `idle_ms`, oldest first, with how often each was delivered."""
        command = ("XPENDING", self.job.stream, GROUP, "IDLE", idle_ms, "-", "+", count)
        return Call((command,), lambda got: {each[0].decode(): int(each[3]) for each in sound(got[0])})

    def take_over(self, consumer: str, idle_ms: int, entry_id: str, deliveries: int) -> Call[tuple[Entry, ...]]:
        """Take over one abandoned entry; nothing where somebody was first, or it is no longer in the stream."""
        command = ("XCLAIM", self.job.stream, GROUP, consumer, idle_ms, entry_id)

        def read(got: list[Reply]) -> tuple[Entry, ...]:
            return tuple(Entry(each.entry_id, each.fields, deliveries + 1) for each in _entries(sound(got[0])))

        return Call((command,), read, repeatable=False)

    def deliveries(self, consumer: str, entries: Sequence[Entry]) -> Call[tuple[Entry, ...]]:
        """Give the same entries with how often each was delivered."""
        if not entries:
            return Call((), lambda _: ())
        commands: tuple[Command, ...] = tuple(
            ("XPENDING", self.job.stream, GROUP, each.entry_id, each.entry_id, 1, consumer) for each in entries
        )

        def read(got: list[Reply]) -> tuple[Entry, ...]:
            return tuple(
                Entry(each.entry_id, each.fields, int(sound(reply)[0][3]))
                for each, reply in zip(entries, got, strict=True)
                if sound(reply)  # else somebody else has it by now
            )

        return Call(commands, read)

    def keep(self, consumer: str, entry_ids: Sequence[str]) -> Call[int]:
        """Say that this consumer still works on entries, so that nobody claims them; how many are still its own."""
        if not entry_ids:
            return Call((), lambda _: 0)
        command: Command = ("XCLAIM", self.job.stream, GROUP, consumer, 0, *entry_ids, "JUSTID")
        return Call((command,), lambda got: len(sound(got[0])))

    def complete(self, completions: Sequence[Completion]) -> Call[list[bool]]:
        """End records; False for one that somebody else ended first."""
        commands = tuple(self._completion(each) for each in completions)
        return Call(commands, lambda got: [sound(each) == 1 for each in got], script=scripts.COMPLETE)

    def _completion(self, ended: Completion) -> Command:
        job, bounds = self.job, self.bounds
        # A reply list is a key that the client names: no other key of this job, and none of another, is one.
        reply = ended.reply if ended.reply is not None and ended.reply.startswith(job.reply_prefix) else job.stream
        words: list[Word] = [
            "EVALSHA", scripts.COMPLETE.sha, 5, job.stream, job.bytes,
            job.stream if ended.uri is None else job.result(ended.uri), reply,
            job.stream if ended.bury is None else job.dead,
            GROUP, ended.entry.entry_id, ended.entry.size, bounds.result_ttl_ms, bounds.reply_ttl_ms, MAX_REPLIES,
            bounds.max_dead, ended.bury or "", ended.uri or "",
        ]  # fmt: skip
        for name, value in ended.fields.items():
            words += (name, value)
        return tuple(words)

    def drop(self, entry_ids: Sequence[str]) -> Call[int]:
        """Acknowledge entries that are no longer in the stream."""
        return Call((("XACK", self.job.stream, GROUP, *entry_ids),), lambda got: int(sound(got[0])))

    def pending(self) -> Call[dict[str, int]]:
        """Give how many records each consumer holds; only those that hold any."""

        def read(got: list[Reply]) -> dict[str, int]:
            summary = sound(got[0])
            return {name.decode("utf-8", "replace"): int(count) for name, count in (summary[3] or ())}

        return Call((("XPENDING", self.job.stream, GROUP),), read)

    def consumers(self) -> Call[dict[str, int]]:
        """Give every consumer of the group with how many records it holds."""

        def read(got: list[Reply]) -> dict[str, int]:
            found = [pairs(each) for each in sound(got[0])]
            return {each[b"name"].decode("utf-8", "replace"): int(each[b"pending"]) for each in found}

        return Call((("XINFO", "CONSUMERS", self.job.stream, GROUP),), read)

    def leave(self, consumers: Sequence[str], idle_ms: int) -> Call[set[str]]:
        """Remove consumers that hold nothing and did nothing for `idle_ms`; give those that stay."""
        command: Command = ("EVALSHA", scripts.LEAVE.sha, 1, self.job.stream, GROUP, idle_ms, *consumers)
        return Call((command,), lambda got: {each.decode("utf-8", "replace") for each in sound(got[0])},
                    script=scripts.LEAVE)  # fmt: skip

    def heartbeat(self, consumer: str, state: str) -> Call[None]:
        """Say that a worker lives, and what it is."""
        command: Command = (
            "EVALSHA", scripts.BEAT.sha, 2, self.job.worker(consumer), self.job.workers,
            consumer, state, HEARTBEAT_TTL_MS,
        )  # fmt: skip
        return Call((command,), _nothing, script=scripts.BEAT)

    def farewell(self, consumers: Sequence[str]) -> Call[None]:
        """Forget workers."""
        keys = [self.job.worker(each) for each in consumers]
        return Call((("DEL", *keys), ("HDEL", self.job.workers, *consumers)), _nothing)

    def dead_letters(self, count: int, after: str | None) -> Call[tuple[DeadLetter, ...]]:
        """Give dead letters, oldest first."""
        command = ("XRANGE", self.job.dead, f"({after}" if after is not None else "-", "+", "COUNT", count)
        return Call((command,), lambda got: tuple(_letter(each) for each in sound(got[0])))

    def forget_dead(self, letter_ids: Sequence[str]) -> Call[int]:
        """Delete dead letters; how many there were."""
        return Call((("XDEL", self.job.dead, *letter_ids),), lambda got: int(sound(got[0])))

    def dead_count(self) -> Call[int]:
        """Say how many dead letters there are."""
        return Call((("XLEN", self.job.dead),), lambda got: int(sound(got[0])))


def _nothing(got: list[Reply]) -> None:
    for each in got:
        sound(each)


def _read(found: Reply) -> tuple[Entry, ...]:
    return _entries(found[0][1]) if found else ()


def _entries(raw: Reply) -> tuple[Entry, ...]:
    """Return entries; those that were deleted since come as nothing and are left out."""
    return tuple(Entry(each[0].decode(), pairs(each[1])) for each in raw if each is not None and each[1] is not None)


def _letter(raw: Reply) -> DeadLetter:
    fields = pairs(raw[1])
    entry_id = fields.pop(scripts.DEAD_ID.encode(), b"").decode("ascii", "replace")
    code = fields.pop(scripts.DEAD_CODE.encode(), b"").decode("utf-8", "replace")
    buried = fields.pop(scripts.DEAD_MS.encode(), b"0")
    return DeadLetter(raw[0].decode(), entry_id, code, int(buried) if buried.isdigit() else 0, fields)
