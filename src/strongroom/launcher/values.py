"""The forms of values that may come from outside: numbers, addresses, ids, sizes. Pure; linear in their input."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

Form = Callable[[str], bool]

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,45}\]", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}", re.ASCII)
_DURATION: Final = re.compile(r"[0-9]{1,12}(us|ms|s|m|min|h|d)?", re.ASCII)
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,15})([bkmgtBKMGT]?)[bB]?", re.ASCII)
_UNITS: Final[Mapping[str, int]] = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_PATH: Final = re.compile(r"/[A-Za-z0-9_.+/-]{0,1023}", re.ASCII)
MAX_PORT: Final = 65535


def number(value: str) -> bool:
    """Whether it is a whole number."""
    return _DIGITS.fullmatch(value) is not None


def port(value: str) -> bool:
    """Whether it is a TCP port; 0 is a free one."""
    return number(value) and int(value) <= MAX_PORT


def ports(value: str) -> bool:
    """Whether it is a port, or a range of ports as 6200-6300."""
    first, dash, last = value.partition("-")
    return port(first) and (not dash or port(last))


def host(value: str) -> bool:
    """Whether it is a host's name or address."""
    return _HOST.fullmatch(value) is not None


def identifier(value: str) -> bool:
    """Whether it is an id of an application, executor, pod or task manager."""
    return _ID.fullmatch(value) is not None


def duration(value: str) -> bool:
    """Whether it is a span of time, as 120s."""
    return _DURATION.fullmatch(value) is not None


def decimal(value: str) -> bool:
    """Whether it is a number, as 2.0."""
    return _DECIMAL.fullmatch(value) is not None


def truth(value: str) -> bool:
    """Whether it is true or false."""
    return value in {"true", "false"}


def exactly(wanted: str) -> Form:
    """Return the form of one value."""
    return lambda value: value == wanted


def spark_url(value: str) -> bool:
    """Whether it is spark://NAME@HOST:PORT."""
    rest = value.removeprefix("spark://")
    name, at, address = rest.rpartition("@")
    where, colon, digits = address.rpartition(":")
    is_named = bool(at) and identifier(name)
    return rest != value and is_named and bool(colon) and host(where) and port(digits) and digits != "0"


def size_bytes(value: str) -> int | None:
    """Return the bytes that text as 1024M, 512m, 536870902 or 134217728b means; None for anything else."""
    match = _SIZE.fullmatch(value)
    return int(match[1]) << _UNITS[match[2].lower()] if match else None


def path_below(value: str, *folders: str) -> bool:
    """Whether it is a plain absolute path to something in one of the folders, or to a folder itself.

    No commas, which separate files for some readers, and no escapes, which become dots and slashes for others.
    """
    parts = value.split("/")[1:]
    if not _PATH.fullmatch(value) or any(part in {"", ".", ".."} for part in parts[:-1]) or parts[-1] in {".", ".."}:
        return False
    return any(value.rstrip("/") == folder or value.startswith(f"{folder}/") for folder in folders)
