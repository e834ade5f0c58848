"""Paths inside of a data set: relative, in Spark's manner, the same on every file system. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.errors import BadInput

MAX_PATH_BYTES: Final = 512  # what a sealed file can be bound to
MAX_DEPTH: Final = 16
_HIDDEN: Final = ("_", ".")  # Spark's own notes (_SUCCESS, ._x.crc) are no data, and no data is called so


class BadDataPath(BadInput):
    """A path is none of a file in a data set."""

    code = "SR-DATA-PATH"
    fix = "Name files below the folder with / between the parts, none of them beginning with _ or ."


def check_data_path(path: str) -> str:
    """Return a path below a data set's folder, such as `day=1/part-0.csv`. Raises BadDataPath."""
    parts = path.split("/")
    plain = path.isprintable() and "\\" not in path and "\0" not in path
    try:
        short = len(path.encode()) <= MAX_PATH_BYTES and len(parts) <= MAX_DEPTH
    except UnicodeEncodeError:
        plain = short = False
    if not plain or not short or any(not part or part.startswith(_HIDDEN) for part in parts):
        raise BadDataPath(f"{path[:200]!a} is no path of a data file")
    return path


def is_note(path: str) -> bool:
    """Whether a path is one of Spark's or ours that holds no data: some part begins with _ or with a dot."""
    return any(part.startswith(_HIDDEN) for part in path.split("/"))
