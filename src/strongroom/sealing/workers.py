"""Work by groups, here or in helper processes: what a job is, how it is cut into chunks, and the talk over two pipes.

Groups are independent: a helper seals its own and returns what the tree must remember, or opens its own from the root
entry down. Talk: one JSON line with the job; then requests of two u64 (first group, end) and replies of one status
byte, a u32 length and the payload. Pure: the pipes and files are handed in.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from strongroom.errors import StrongroomError, Unreachable
from strongroom.sealing.layout import group_start, table_count
from strongroom.sealing.nodes import DataTampered, RootTampered, TableTampered
from strongroom.sealing.reader import SealedTree
from strongroom.sealing.source import ChangedMeanwhile, Sink, Source
from strongroom.sealing.writer import Entropy, GroupSealer, Spine, result_bytes

GROUPS_PER_CHUNK: Final = 32  # 12 MiB: coarse enough for the talk to cost nothing, fine enough to share work evenly
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

    def to_line(self) -> bytes:
        """Return the job as one JSON line."""
        root = None if self.root is None else self.root.hex()
        return json.dumps({"size": self.size, "root": root}).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Job:
        """Parse `to_line`'s line, which comes from our own parent process."""
        words = json.loads(line)
        return cls(size=words["size"], root=None if words["root"] is None else bytes.fromhex(words["root"]))

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


def place_results(spine: Spine, groups: range, results: bytes, *, size: int) -> None:
    """Hand the joined results of sealing `groups` to the spine."""
    tables, at = table_count(size), 0
    for table in groups:
        count = result_bytes(table, tables)
        spine.place(table, results[at : at + count])
        at += count


def send(requests: BinaryIO, message: bytes) -> None:
    """Send a message to a helper; that a helper is dead is found out by `receive`."""
    with suppress(BrokenPipeError):
        requests.write(message)
        requests.flush()


def share(
    pipes: Mapping[BinaryIO, BinaryIO],
    chunks: Iterator[range],
    wait: Callable[[Collection[BinaryIO]], Iterable[BinaryIO]],
) -> Iterator[tuple[range, bytes]]:
    """Share `chunks` among helpers (replies pipe: requests pipe); yield each with its result, as they finish.

    `wait` returns those of the given pipes that have something to say.
    """
    busy: dict[BinaryIO, range] = {}
    for (replies, requests), chunk in zip(pipes.items(), chunks, strict=False):
        send(requests, REQUEST.pack(chunk.start, chunk.stop))
        busy[replies] = chunk
    while busy:
        for replies in wait(busy):
            done, result = busy.pop(replies), receive(replies)
            following = next(chunks, None)
            if following is not None:
                send(pipes[replies], REQUEST.pack(following.start, following.stop))
                busy[replies] = following
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
    head = replies.read(REPLY.size)
    status, length = REPLY.unpack(head) if len(head) == REPLY.size else (DONE, 1)
    payload = replies.read(length)
    if len(head) < REPLY.size or len(payload) < length:
        raise HelperLost("a helper process ended before it had done its part")
    if status == SYSTEM_ERROR:
        raise OSError(*json.loads(payload))
    if status == FAILED:
        code, sentence = json.loads(payload)
        raise TRAVELLING[code](sentence) if code in TRAVELLING else HelperLost(f"a helper failed: {sentence}")
    return payload
