"""Sealed files on disk: with `disk`, what touches the world in this room (files, helper processes, entropy).

Output gets its name only when it is whole; a failed run leaves nothing behind, and `disk` says what a killed one does.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from itertools import product
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import BinaryIO, Final, cast

from strongroom.sealing import workers as crew
from strongroom.sealing.disk import NEW_FILE, PLAIN_MODE, SEALED_MODE, Descriptor, InputFile, OutputFile
from strongroom.sealing.keys import NONCE_BYTES, WRAP_KEY_BYTES, check_wrap_key, wrap_key_of
from strongroom.sealing.layout import GROUP_PLAIN_BYTES, HEAD_BYTES, NODE_BYTES, group_start
from strongroom.sealing.node0 import pin_of, seal_metadata
from strongroom.sealing.paths import AsOpened, stored_form
from strongroom.sealing.reader import SealedReader, Summary, open_source
from strongroom.sealing.writer import Spine, copy_sealed, write_node0
from strongroom.secret import Secret

PARALLEL_BYTES: Final = 256 * 1024 * 1024  # below this, starting helpers costs more than they bring
CHUNKS_BEHIND: Final = 4  # 48 MiB: how much of a large file may stay in the page cache


class Helpers:
    """Processes that share a job by chunks. They hold no wrap key, get their job through a pipe, and end with us."""

    def __init__(self, job: crew.Job, count: int, source: Descriptor, sink: Descriptor | None) -> None:
        self._processes: list[Popen[bytes]] = []
        fds = [source.fd] if sink is None else [source.fd, sink.fd]
        hello = job.to_lines(path=sys.path, fds=fds)
        command = [sys.executable, "-I", "-S", "-c", crew.BOOT]
        try:
            for _ in range(count):
                process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, bufsize=0, pass_fds=fds)
                self._processes.append(process)
                crew.send(cast("BinaryIO", process.stdin), hello)
        except BaseException:
            self.end()
            raise

    def results(self, chunks: Iterator[range]) -> Iterator[tuple[range, bytes]]:
        """Yield every chunk with its result, in the order in which helpers finish."""
        pipes = {cast("BinaryIO", each.stdout): cast("BinaryIO", each.stdin) for each in self._processes}
        return crew.share(pipes, chunks, wait)  # type: ignore[arg-type]  # `wait` takes and returns files, too

    def end(self) -> None:
        """End every helper, wait for it, and close its pipes."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    cast("BinaryIO", pipe).close()


def help_out() -> None:
    """Be a helper: read the open files and the job from standard input, then answer requests until they end."""
    job, fds = crew.Job.of_line(sys.stdin.buffer.readline())
    source, sink = Descriptor(fds[0]), Descriptor(fds[1]) if len(fds) > 1 else None
    with suppress(BrokenPipeError):  # nobody is left to answer to
        crew.serve(sys.stdin.buffer, sys.stdout.buffer, job.work(source, sink, os.urandom))


def do_groups(
    job: crew.Job,
    source: InputFile,
    sink: OutputFile | None,
    *,
    workers: int,
    progress: crew.Progress | None,
    take: Callable[[range, bytes], None] = lambda _groups, _result: None,
) -> None:
    """Do all groups of a job, here or in `workers` helpers (0: one per core for large files); `take` every result."""
    chunks, done, behind = job.chunks(), 0, list[range]()
    if workers == 0:
        workers = len(os.sched_getaffinity(0)) if job.size >= PARALLEL_BYTES and sys.executable else 1
    with ExitStack() as stack:
        if workers > 1:
            helpers = Helpers(job, workers, source, sink)
            stack.callback(helpers.end)
            results = helpers.results(chunks)
        else:
            work = job.work(source, sink, os.urandom)
            results = ((chunk, work(chunk)) for chunk in chunks)
        for chunk, result in results:
            take(chunk, result)
            done, behind = done + len(chunk), [*behind, chunk]
            if len(behind) == CHUNKS_BEHIND:
                leave_behind([source, *filter(None, [sink])], behind)
                behind = []
            if progress is not None:
                progress(min(job.size, done * GROUP_PLAIN_BYTES), job.size)


def leave_behind(files: Sequence[Descriptor], behind: Iterable[range]) -> None:
    """Let the page cache forget groups that are done with (offsets need only be about right).

    A large file would fill it with pages nobody reads soon; on virtual machines fresh ones can cost more CPU than
    encryption does (measured: 2.6 s per GiB written, recycled ones 0.3 s).
    """
    os.fdatasync(files[-1].fd)  # only what is written can be forgotten
    for file, groups in product(files, behind):
        os.posix_fadvise(file.fd, group_start(groups.start), len(groups) * GROUP_PLAIN_BYTES, os.POSIX_FADV_DONTNEED)


def read_wrap_key(path: str | os.PathLike[str]) -> Secret:
    """Read a wrap key: exactly 16 raw bytes, else `WrapKeyLength`. A pipe will do: -w <(decrypt-my-key)."""
    with Path(path).open("rb") as stream:
        return wrap_key_of(stream.read(4 * WRAP_KEY_BYTES), what=os.fspath(path))


def new_wrap_key(path: str | os.PathLike[str]) -> Secret:
    """Make a fresh wrap key file, readable by its owner alone; never replaces a file (`FileExistsError`)."""
    raw = secrets.token_bytes(WRAP_KEY_BYTES)
    with closing(Descriptor(os.open(path, NEW_FILE, PLAIN_MODE))) as file:
        file.write_at(raw, 0)
        os.fsync(file.fd)
    return Secret(raw)


def open(  # noqa: A001 - the room's verb: sealing.open(path, key)
    path: str | os.PathLike[str],
    key: Secret,
    *,
    stored_path: str | AsOpened | None = AsOpened.PATH,
    strict: bool = False,
    pin: bytes | None = None,
    weak_key: bool = False,
) -> SealedReader:
    """Open a sealed file for random access; raises as `reader.open_source`. Close it, or use it in a `with` block.

    `stored_path` is what the file must be bound to: by default the path as given; None skips the check, by name.
    """
    expected = os.fspath(path) if isinstance(stored_path, AsOpened) else stored_path
    source = InputFile(path)
    try:
        return open_source(
            source, key, stored_path=expected, strict=strict, pin=pin, weak_key=weak_key, close=source.close
        )
    except BaseException:
        source.close()
        raise


def encrypt_file(
    source: Path,
    target: Path,
    key: Secret,
    *,
    stored_path: str,
    version: int = 1,
    workers: int = 0,
    progress: crew.Progress | None = None,
) -> Summary:
    """Seal `source` as `target`, bound to the normalised `stored_path`, in format `version` (every Gramine reads 1).

    Raises WeakKey, BadStoredPath, BadOutput, NotAFile, ChangedMeanwhile, OSError; then `target` is as it was.
    """
    check_wrap_key(key)
    path = stored_form(stored_path)
    with closing(InputFile(source)) as plain, OutputFile(target, plain, mode=SEALED_MODE) as output:
        spine = Spine(plain.size)
        do_groups(crew.Job(size=plain.size), plain, output, workers=workers, progress=progress, take=spine.place_all)
        root = spine.finish(output, os.urandom)
        summary = write_node0(plain, output, key, path=path, root=root, entropy=os.urandom, version=version)
        plain.check_unchanged()
        output.commit()
        return summary


def decrypt_file(
    source: Path,
    target: Path,
    key: Secret,
    *,
    stored_path: str | None,
    strict: bool = False,
    weak_key: bool = False,
    workers: int = 0,
    progress: crew.Progress | None = None,
) -> Summary:
    """Open `source` into `target` (mode 0600); `stored_path=None` skips the path check, by name.

    Raises as `reader.open_source` and RootTampered, TableTampered, DataTampered; then `target` is as it was.
    """
    with closing(InputFile(source)) as sealed, OutputFile(target, sealed, mode=PLAIN_MODE) as output:
        reader = open_source(sealed, key, stored_path=stored_path, strict=strict, weak_key=weak_key)
        output.write_at(reader.read(HEAD_BYTES), 0)
        job = crew.Job(size=reader.size, root=reader.metadata.root)
        do_groups(job, sealed, output, workers=workers, progress=progress)
        output.commit()
        return reader.summary


def verify_file(
    source: Path,
    key: Secret,
    *,
    stored_path: str | None,
    strict: bool = False,
    weak_key: bool = False,
    workers: int = 0,
    progress: crew.Progress | None = None,
) -> Summary:
    """Verify every node of `source` without writing plaintext anywhere; raises as `decrypt_file`."""
    with closing(InputFile(source)) as sealed:
        reader = open_source(sealed, key, stored_path=stored_path, strict=strict, weak_key=weak_key)
        job = crew.Job(size=reader.size, root=reader.metadata.root)
        do_groups(job, sealed, None, workers=workers, progress=progress)
        return reader.summary


def rewrite_file(
    source: Path,
    target: Path,
    key: Secret,
    *,
    new_key: Secret | None = None,
    stored_path: str | None = None,
    old_path: str | None = None,
    weak_key: bool = False,
) -> Summary:
    """Write `source` as `target` (which may be `source`) under another wrap key, or bound to another stored path.

    Only node 0 changes; the data nodes keep their keys. So a new wrap key does not revoke: whoever had the old one may
    have kept the node keys. Only sealing anew revokes. Refuses a file whose last write was cut off, and one that is
    not bound to `old_path` now (None skips that check, by name).
    """
    check_wrap_key(next_key := key if new_key is None else new_key)
    with closing(InputFile(source)) as sealed:
        reader = open_source(sealed, key, stored_path=old_path, strict=True, weak_key=weak_key)
        metadata = reader.metadata
        if stored_path is not None:
            metadata = replace(metadata, path=stored_form(stored_path))
        node0 = seal_metadata(metadata, next_key, nonce=os.urandom(NONCE_BYTES), version=reader.summary.version)
        mode = stat.S_IMODE(sealed.stat.st_mode) & 0o777
        with OutputFile(target, sealed, mode=mode, in_place=True) as output:
            copy_sealed(sealed, output, size=reader.size, node0=node0)
            sealed.check_unchanged()
            output.commit()
        return Summary.of(node0, metadata)


def read_node0(path: str | os.PathLike[str]) -> tuple[bytes, int]:
    """Return node 0 of a sealed file (or what there is of it) and the file's length in bytes."""
    with closing(InputFile(path)) as source:
        node0 = bytearray(NODE_BYTES)
        return bytes(node0[: source.read_into(memoryview(node0), 0)]), source.size


def pin_file(path: str | os.PathLike[str]) -> bytes:
    """Return the pin (32 bytes) of a sealed file; no key is needed, and nothing is proved."""
    node0, length = read_node0(path)
    return pin_of(node0, length=length)
