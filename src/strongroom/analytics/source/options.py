"""The options of format "sealed", checked. Pure.

Names are Spark's where Spark has them (header, delimiter or sep, quote, escape, quoteAll, nullValue, multiLine,
compression, timeZone). CSV is Spark's too: within quotes, a backslash stands before a quote and before a backslash,
unless escape says otherwise; a doubled quote is read as one as well. Spark's other options are taken where they say
what happens anyway (spark_options.py); otherwise these, and those that nobody knows, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from strongroom.analytics.source.faults import BadSourceOption, with_remedy
from strongroom.analytics.source.spark_options import check_known, check_of_kind
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
    quote: str = '"'  # none where empty
    escape: str = "\\"  # as the quote: a quote in quotes is doubled, and nothing else is special (RFC 4180)
    quote_all: bool = False
    null_value: str = ""
    multi_line: bool = True
    infer_schema: bool = False
    merge_schema: bool = False
    time_zone: str = "UTC"
    compression: Compression = Compression.SNAPPY
    file_bytes: int = DEFAULT_FILE_BYTES
    given: tuple[tuple[str, str], ...] = ()  # as they came, with names in lower case

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Options:
        """Read Spark's options, whose names are in any case. Raises BadSourceOption, BadKeyName, with what to do."""
        with with_remedy():
            return cls._parsed(given)

    @classmethod
    def _parsed(cls, given: Mapping[str, str]) -> Options:
        left = {name.lower(): value for name, value in given.items()}
        if "sep" in left:  # Spark's other name for it, which wins
            left["delimiter"] = left.pop("sep")
        all_given = tuple(sorted(left.items()))
        take = left.pop
        path, key = take("path", ""), take("key", "")
        if not path:
            raise BadSourceOption("format sealed needs a path")
        delimiter, quote, escape = _letters(take("delimiter", ","), take("quote", '"'), take("escape", "\\"))
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
            quote=quote,
            escape=escape,
            quote_all=_flag("quoteAll", take("quoteall", "false")),
            null_value=take("nullvalue", ""),
            multi_line=_flag("multiLine", take("multiline", "true")),
            infer_schema=_flag("inferSchema", take("inferschema", "false")),
            merge_schema=_flag("mergeSchema", take("mergeschema", "false")),
            time_zone=take("timezone", "UTC"),
            compression=_choice("compression", take("compression", "snappy"), Compression),
            file_bytes=_number(
                "file_bytes", take("file_bytes", str(DEFAULT_FILE_BYTES)), MIN_FILE_BYTES, MAX_FILE_BYTES
            ),
            given=all_given,
        )
        check_known(left)
        return found

    def fit(self, kind: Kind) -> None:
        """Raise BadSourceOption where an option says something about files of another kind."""
        check_of_kind(self.given, kind)


Choice = TypeVar("Choice", bound=StrEnum)


def _choice(name: str, value: str, kinds: type[Choice]) -> Choice:
    try:
        return kinds(value.lower())
    except ValueError:
        raise BadSourceOption(f"{name} is one of {', '.join(kinds)}, not {value[:40]!r}") from None


def _letters(delimiter: str, quote: str, escape: str) -> tuple[str, str, str]:
    delimiter = "\t" if delimiter == "\\t" else delimiter  # Spark's way to write a tab
    for name, letter in (("delimiter", delimiter), ("quote", quote or '"'), ("escape", escape)):
        if len(letter) != 1 or letter in "\r\n\0" or not letter.isascii():
            raise BadSourceOption(f"{name} is one ASCII character, and no line end")
    if delimiter in (quote, escape):
        raise BadSourceOption("delimiter is another character than quote and escape")
    return delimiter, quote, escape


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
