"""Work by groups, here or in helper processes: what a job is, how it is cut into chunks, and the talk over two pipes.

Groups are independent: a helper seals its own and returns what the tree must remember, or opens its own from the root
entry down. Talk: two JSON lines (the second is the job); then requests of two u64 (first group, end) and replies of one
status byte, a u32 length and the payload. Pure: the pipes and files are handed in.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, Final

from strongroom.errors import StrongroomError, Unreachable
from strongroom.sealing.layout import group_start, table_count
from strongroom.sealing.nodes import DataTampered, RootTampered, TableTampered
from strongroom.sealing.reader import SealedTree
from strongroom.sealing.source import ChangedMeanwhile, Sink, Source
from strongroom.sealing.writer import Entropy, GroupSealer

GROUPS_PER_CHUNK: Final = 32  # 12 MiB: coarse enough for the talk to cost nothing, fine enough to share work evenly
BOOT: Final = (  # what a helper runs: no site packages of its own, no environment, the modules of its parent
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from strongroom.sealing.files import help_out; help_out()"
)
QUEUED: Final = 4  # requests a helper has at hand, so that it never waits for us while we wait for the disk
REQUEST: Final = struct.Struct("<QQ")
REPLY: Final = struct.Struct("<BI")
DONE, FAILED, SYSTEM_ERROR = range(3)
TRAVELLING: Final = {error.code: error for error in (RootTampered, TableTampered, DataTampered, ChangedMeanwhile)}

Work = Callable[[range], bytes]
Progress = Callable[[int, int], None]  # plaintext bytes done, plaintext bytes in all


class HelperLost(Unreachable):
    """A helper process of a parallel run ended without an answer; nothing was written."""

    code = "SR-SEALING-HELPER"
    fix = "Look for what ended it (out of memory?), or run with one worker."


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to do with the groups of a file of `size` plaintext bytes: seal them, or open them below `root`."""

    size: int
    root: bytes | None = field(default=None, repr=False)  # None: seal

    def to_lines(self, *, path: Sequence[str], fds: Sequence[int]) -> bytes:
        """Return what a helper must know: one JSON line for `BOOT` (where modules lie), one for `of_line`."""
        root = None if self.root is None else self.root.hex()
        job = {"size": self.size, "root": root, "fds": fds}
        return json.dumps(path).encode() + b"\n" + json.dumps(job).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> tuple[Job, list[int]]:
        """Parse the second line of `to_lines`, which comes from our own parent process: the job, and its open files."""
        words = json.loads(line)
        root = None if words["root"] is None else bytes.fromhex(words["root"])
        return cls(size=words["size"], root=root), words["fds"]

    def work(self, source: Source, sink: Sink | None, entropy: Entropy) -> Work:
        """Return the function that does a range of groups and returns its results; `sink=None` only verifies."""
        if self.root is not None:
            tree = SealedTree(source, root=self.root, size=self.size)
            return lambda groups: open_groups(tree, sink, groups)
        if sink is None:
            raise ValueError("sealing needs a sink")
        sealer = GroupSealer(source, sink, size=self.size, entropy=entropy)
        return lambda groups: b"".join(map(sealer.seal, groups))

    def chunks(self) -> Iterator[range]:
        """Yield the groups of the file in ranges of at most `GROUPS_PER_CHUNK`."""
        tables = table_count(self.size)
        for first in range(0, tables, GROUPS_PER_CHUNK):
            yield range(first, min(tables, first + GROUPS_PER_CHUNK))


def open_groups(tree: SealedTree, sink: Sink | None, groups: range) -> bytes:
    """Verify and open `groups`, writing their plaintext at its offsets; return nothing to remember."""
    offset = group_start(groups.start)
    for piece in tree.pieces(offset, min(tree.size, group_start(groups.stop))):
        if sink is not None:
            sink.write_at(piece, offset)
        offset += len(piece)
    return b""


def send(requests: BinaryIO, message: bytes) -> None:
    """Send a message to a helper; that a helper is dead is found out by `receive`."""
    with suppress(BrokenPipeError):
        requests.write(message)
        requests.flush()


def share(
    pipes: Mapping[BinaryIO, BinaryIO],
    chunks: Iterator[range],
    wait: Callable[[Sequence[BinaryIO]], Iterable[BinaryIO]],
) -> Iterator[tuple[range, bytes]]:
    """Share `chunks` among helpers (replies pipe: requests pipe); yield each with its result, as they finish.

    `wait` returns those of the given pipes that have something to say.
    """
    busy: dict[BinaryIO, deque[range]] = {replies: deque() for replies in pipes}

    def ask(replies: BinaryIO) -> None:
        for chunk in islice(chunks, 1):
            send(pipes[replies], REQUEST.pack(chunk.start, chunk.stop))
            busy[replies].append(chunk)

    for replies in [*pipes] * QUEUED:
        ask(replies)
    while waiting := [replies for replies, asked in busy.items() if asked]:
        for replies in wait(waiting):
            result = receive(replies)
            done = busy[replies].popleft()
            ask(replies)
            yield done, result


def serve(requests: BinaryIO, replies: BinaryIO, work: Work) -> None:
    """Answer requests until they end: a helper's whole life."""
    while len(message := requests.read(REQUEST.size)) == REQUEST.size:
        try:
            status, payload = DONE, work(range(*REQUEST.unpack(message)))
        except StrongroomError as error:
            status, payload = FAILED, json.dumps([error.code, error.sentence]).encode()
        except OSError as problem:
            status, payload = SYSTEM_ERROR, json.dumps([problem.errno or 0, problem.strerror or ""]).encode()
        replies.write(REPLY.pack(status, len(payload)) + payload)
        replies.flush()


def receive(replies: BinaryIO) -> bytes:
    """Return the payload of a helper's next reply, or raise what it raised; `HelperLost` if it is gone."""
    status, length = REPLY.unpack(read_all(replies, REPLY.size))
    payload = read_all(replies, length)
    if status == SYSTEM_ERROR:
        raise OSError(*json.loads(payload))
    if status == FAILED:
        code, sentence = json.loads(payload)
        raise TRAVELLING[code](sentence) if code in TRAVELLING else HelperLost(f"a helper failed: {sentence}")
    return payload


def read_all(replies: BinaryIO, count: int) -> bytes:
    """Read exactly `count` bytes from an unbuffered pipe, or raise `HelperLost`."""
    parts = []
    while count:
        part = replies.read(count)
        if not part:
            raise HelperLost("a helper process ended before it had done its part")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
