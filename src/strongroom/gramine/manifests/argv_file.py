"""Arguments as `loader.argv_src_file` has them: each ends with a NUL byte, as gramine-argv-serializer writes it. Pure.

Releases before 1.3 have no `loader.argv`; there, this file is a trusted one, so it is measured all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.errors import BadInput


class ArgumentsUnfit(BadInput):
    """An argument cannot be part of a program's command line, or a serialised command line is not one."""

    code = "SR-ARGV-FILE"
    fix = "Give arguments without NUL characters, at least the program's own name."


def serialise(argv: Sequence[str]) -> bytes:
    """Return the file's bytes. Raises ArgumentsUnfit."""
    if not argv or any("\0" in word for word in argv):
        raise ArgumentsUnfit("arguments need a program's name and must not hold NUL characters")
    try:
        return b"".join(word.encode("utf-8") + b"\0" for word in argv)
    except UnicodeEncodeError:
        raise ArgumentsUnfit("an argument is not Unicode text") from None


def parse(data: bytes) -> tuple[str, ...]:
    """Return the arguments in a file's bytes. Raises ArgumentsUnfit."""
    if not data.endswith(b"\0"):
        raise ArgumentsUnfit("the last argument does not end with a NUL byte")
    try:
        return tuple(data[:-1].decode("utf-8").split("\0"))
    except UnicodeDecodeError as problem:
        raise ArgumentsUnfit(f"the arguments are not UTF-8 at byte {problem.start}") from None
