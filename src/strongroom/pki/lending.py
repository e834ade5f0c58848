"""Lend a secret to a library that takes paths only, without writing it to a disk.

World: memory files. The bytes lie in an anonymous memory file under /proc/self/fd, or in a pipe where the kernel has no
memory files; where neither can be opened by path, nothing is lent. Source: decision 3.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from strongroom.errors import Unreachable
from strongroom.secret import Secret


class NoMemoryFile(Unreachable):
    """The operating system offers no way to hand a key to OpenSSL without writing it to a disk."""

    code = "SR-SERVE-NO-MEMORY-FILE"
    fix = "Run on Linux with /proc mounted; memory files (memfd_create) or pipes must open under /proc/self/fd."


@contextlib.contextmanager
def as_path(secret: Secret) -> Iterator[str]:
    """Lend `secret` as a path that can be opened and read once. Raises NoMemoryFile."""
    for lend in (_memory_file, _pipe):
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(lend(secret))
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))  # it can be opened by name
            except (OSError, AttributeError):
                continue
            yield path
            return
    raise NoMemoryFile("neither a memory file nor a pipe can be opened by path")


@contextlib.contextmanager
def _memory_file(secret: Secret) -> Iterator[str]:
    descriptor = os.memfd_create("strongroom", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file, secret.reveal() as raw:
        file.write(raw)
        file.flush()
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            file.seek(0)
            file.write(bytes(len(raw)))


@contextlib.contextmanager
def _pipe(secret: Secret) -> Iterator[str]:
    reader, writer = os.pipe()
    try:
        try:
            os.set_blocking(writer, False)  # what does not fit into the pipe is an error, not a wait without end
            with secret.reveal() as raw:
                if os.write(writer, raw) != len(raw):
                    raise BlockingIOError
        finally:
            os.close(writer)
        yield f"/proc/self/fd/{reader}"
    finally:
        os.close(reader)
