# What `_json_numbers.c` offers where it was compiled.

from typing import Literal

# The shape of the list in `raw[start:stop]` and its numbers, packed as `struct` does; None if it is not regular.
# Not regular are lists of different lengths or depths, empty ones, more than 32 levels, anything that is no number of
# the kind, and a few numbers that are written in an uncommon way. Raises ValueError for an impossible range.
def nested(
    raw: bytes | bytearray | memoryview, start: int, stop: int, kind: Literal["f", "d", "q", "Q"], /
) -> tuple[tuple[int, ...], bytearray] | None: ...
