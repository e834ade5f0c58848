"""The options of format "sealed", checked. Pure.

Names are Spark's where Spark has them (header, delimiter or sep, nullValue, multiLine, compression, timeZone). An
option that nobody knows is refused: one that is ignored would read other rows than were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from strongroom.analytics.source.faults import BadSourceOption
from strongroom.datasets.manifest import Kind
from strongroom.datasets.names import check_key_name

DEFAULT_FILE_BYTES: Final = 64 * 1024 * 1024
MIN_FILE_BYTES: Final = 64 * 1024
MAX_FILE_BYTES: Final = 1024 * 1024 * 1024
MAX_COLUMNS: Final = 10_000


class Partitioning(StrEnum):
    """What one task reads."""

    FILES = "files"
    ROWGROUPS = "rowgroups"


class OnDenied(StrEnum):
    """What becomes of a column whose key was not released."""

    ERROR = "error"
    NULL = "null"


class Decimals(StrEnum):
    """How decimals of up to 18 digits come to Spark."""

    EXACT = "exact"
    NUMBERS = "numbers"  # BIGINT of the last digit, see numbers.py


class Compression(StrEnum):
    """How Parquet inside of a sealed file is compressed."""

    SNAPPY = "snappy"
    ZSTD = "zstd"
    GZIP = "gzip"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for. `keys`: a reference (open_keys), empty for the agent of this process; never a key."""

    path: str
    kind: Kind | None = None
    key: str = ""
    name: str = ""
    keys: str = ""
    schema: str = ""
    columns: tuple[str, ...] = ()
    min_generation: int = 0
    partitioning: Partitioning = Partitioning.FILES
    on_denied: OnDenied = OnDenied.ERROR
    decimals: Decimals = Decimals.EXACT
    pushdown: bool = False
    header: bool = False
    delimiter: str = ","
    null_value: str = ""
    multi_line: bool = True
    infer_schema: bool = False
    merge_schema: bool = False
    time_zone: str = "UTC"
    compression: Compression = Compression.SNAPPY
    file_bytes: int = DEFAULT_FILE_BYTES

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Options:
        """Read Spark's options, whose names are in any case. Raises BadSourceOption, BadKeyName."""
        left = {name.lower(): value for name, value in given.items()}
        take = left.pop
        path, key, delimiter = take("path", ""), take("key", ""), take("delimiter", left.pop("sep", ","))
        if not path:
            raise BadSourceOption("format sealed needs a path")
        if len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii():
            raise BadSourceOption("delimiter is one ASCII character, no quote and no line end")
        kind = take("kind", "")
        found = cls(
            path=path,
            kind=_choice("kind", kind, Kind) if kind else None,
            key=check_key_name(key) if key else "",
            name=take("name", ""),
            keys=take("keys", ""),
            schema=take("schema", ""),
            columns=_columns(take("columns", left.pop("cols", ""))),
            min_generation=_number("min_generation", take("min_generation", "0"), 0, 2**63 - 1),
            partitioning=_choice("partitioning", take("partitioning", "files"), Partitioning),
            on_denied=_choice("on_denied", take("on_denied", "error"), OnDenied),
            decimals=_choice("decimals", take("decimals", "exact"), Decimals),
            pushdown=_flag("pushdown", take("pushdown", "false")),
            header=_flag("header", take("header", "false")),
            delimiter=delimiter,
            null_value=take("nullvalue", ""),
            multi_line=_flag("multiLine", take("multiline", "true")),
            infer_schema=_flag("inferSchema", take("inferschema", "false")),
            merge_schema=_flag("mergeSchema", take("mergeschema", "false")),
            time_zone=take("timezone", "UTC"),
            compression=_choice("compression", take("compression", "snappy"), Compression),
            file_bytes=_number(
                "file_bytes", take("file_bytes", str(DEFAULT_FILE_BYTES)), MIN_FILE_BYTES, MAX_FILE_BYTES
            ),
        )
        if left:
            raise BadSourceOption(f"format sealed has no option {min(left)[:60]!r}")
        return found


Choice = TypeVar("Choice", bound=StrEnum)


def _choice(name: str, value: str, kinds: type[Choice]) -> Choice:
    try:
        return kinds(value.lower())
    except ValueError:
        raise BadSourceOption(f"{name} is one of {', '.join(kinds)}, not {value[:40]!r}") from None


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadSourceOption(f"{name} is true or false, not {value[:40]!r}")
    return value.lower() == "true"


def _number(name: str, value: str, least: int, most: int) -> int:
    number = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else -1
    if not least <= number <= most:
        raise BadSourceOption(f"{name} is a number from {least} to {most}, not {value[:40]!r}")
    return number


def _columns(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text.strip() else ()
    if not all(names) or len(set(names)) != len(names) or len(names) > MAX_COLUMNS:
        raise BadSourceOption("columns are names separated by commas, each once")
    return names
