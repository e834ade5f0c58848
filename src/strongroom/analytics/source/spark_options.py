"""The options of Spark's own readers and writers of which format "sealed" has one value, or none. Pure.

Each is taken with the value that says what happens anyway, and refused with any other: an option that is ignored would
read other rows than were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from strongroom.analytics.source.faults import BadSourceOption
from strongroom.datasets.manifest import Kind


class _One(NamedTuple):
    """What is taken, in lower case, and what to do in place of anything else."""

    values: tuple[str, ...]
    fix: str


_UTF8: Final = _One(("utf-8", "utf8"), "Convert the files to UTF-8 before they are sealed.")
_FORMAT: Final = (
    "Read the column as STRING and convert it (to_date, to_timestamp); make a STRING of it (date_format) to write it."
)
_FITS: Final = "Rows that do not fit end the job. Read the columns as STRING and convert them with try_cast."
_SPACES: Final = "Spaces are read and written as they are: use trim."
_FILES: Final = "A data set is all the files of its manifest: seal those that belong together as one (data seal)."
_LIMIT: Final = "Leave it out: a row has 4 MiB at most, and there is no other limit."
_FIRST: Final = "Leave it out and give a schema: without one, the first 4 MiB of the first file say it."
_STRICT: Final = "The file has to be JSON as RFC 8259 has it; convert it before it is sealed."
_NULLS: Final = "A value of nothing is null, one of two quotes is an empty text; use nullValue, or coalesce afterwards."
_FLOATS: Final = "Read the column as STRING and convert it."
_AFTER: Final = "Leave it out, and change the columns with select after reading, or before writing."
_LINES: Final = "Leave it out: rows end with a line feed, and are read with any line end."
_QUOTES: Final = (
    "Leave it out: an escape before a quote or an escape is one, and text behind a closing quote is refused."
)

_KNOWN: Final[Mapping[str, _One]] = MappingProxyType({
    "encoding": _UTF8, "charset": _UTF8,
    "linesep": _One(("\n",), _LINES),
    "mode": _One(("failfast",), _FITS), "columnnameofcorruptrecord": _One((), _FITS),
    "maxmalformedlogperpartition": _One((), _FITS),
    "dateformat": _One(("yyyy-mm-dd",), _FORMAT),
    "timestampformat": _One((), _FORMAT), "timestampntzformat": _One((), _FORMAT), "timeformat": _One((), _FORMAT),
    "enabledatetimeparsingfallback": _One(("false",), _FORMAT), "locale": _One(("en-us",), _FORMAT),
    "ignoreleadingwhitespace": _One(("false",), _SPACES), "ignoretrailingwhitespace": _One(("false",), _SPACES),
    "comment": _One(("", "\0"), "Take such lines out before the file is sealed."),
    "enforceschema": _One(("false",), "Columns are found by the header's names; read by place without header."),
    "emptyvalue": _One((), _NULLS),
    "nanvalue": _One(("nan",), _FLOATS), "positiveinf": _One(("inf",), _FLOATS),
    "negativeinf": _One(("-inf",), _FLOATS),
    "maxcolumns": _One((), _LIMIT), "maxcharspercolumn": _One(("-1",), _LIMIT), "inputbuffersize": _One((), _LIMIT),
    "columnpruning": _One((), "Leave it out, and name the columns (columns)."),
    "chartoescapequoteescaping": _One((), _QUOTES), "unescapedquotehandling": _One(("raise_error",), _QUOTES),
    "escapequotes": _One(("true",), _QUOTES),
    "samplingratio": _One((), _FIRST), "preferdate": _One(("true",), _FIRST),
    "infertimestamp": _One(("false",), _FIRST),
    "primitivesasstring": _One(("false",), _FIRST), "prefersdecimal": _One(("false",), _FIRST),
    "dropfieldifallnull": _One(("false",), _FIRST), "singlevariantcolumn": _One((), _AFTER),
    "explodeembeddedarray": _One((), _AFTER),
    "extension": _One((), "Leave it out: the kind says how files are called."),
    "codec": _One((), "Say compression: of Parquet, snappy, zstd, gzip or none; other kinds are not compressed."),
    "allowcomments": _One(("false",), _STRICT), "allowunquotedfieldnames": _One(("false",), _STRICT),
    "allowsinglequotes": _One(("false",), _STRICT), "allownumericleadingzeros": _One(("false",), _STRICT),
    "allownumericleadingzero": _One(("false",), _STRICT), "allowunquotedcontrolchars": _One(("false",), _STRICT),
    "allowbackslashescapinganycharacter": _One(("false",), _STRICT), "allownonnumericnumbers": _One((), _STRICT),
    "ignorenullfields": _One(("true",), "Leave it out: fields that are null are not written, and read as null."),
    "pretty": _One(("false",), "Leave it out: a row is a line."), "sortkeys": _One((), _AFTER),
    "useunsaferow": _One((), "Leave it out."),
    "writenonasciicharacterascodepoint": _One(("false",), "Leave it out: text is written as UTF-8."),
    "wholetext": _One(("false",), "Use kind text, which reads lines, and put them together (collect_list)."),
    "pathglobfilter": _One((), _FILES), "recursivefilelookup": _One((), _FILES), "modifiedbefore": _One((), _FILES),
    "modifiedafter": _One((), _FILES), "basepath": _One((), _FILES),
    "ignorecorruptfiles": _One(("false",), _FILES), "ignoremissingfiles": _One(("false",), _FILES),
    "datetimerebasemode": _One(("corrected",), "Leave it out: dates are those of the proleptic Gregorian calendar."),
    "int96rebasemode": _One(("corrected",), "Leave it out: dates are those of the proleptic Gregorian calendar."),
})  # fmt: skip

# Options that mean something for some kinds alone: name, as Spark spells it -> kinds, and the value that is no news
# to the others.
_OF_KIND: Final[Mapping[str, tuple[frozenset[Kind], str]]] = MappingProxyType({
    "header": (frozenset({Kind.CSV}), "false"),
    "delimiter": (frozenset({Kind.CSV}), ""),
    "quote": (frozenset({Kind.CSV}), ""),
    "escape": (frozenset({Kind.CSV}), ""),
    "quoteAll": (frozenset({Kind.CSV}), "false"),
    "nullValue": (frozenset({Kind.CSV}), ""),
    "multiLine": (frozenset({Kind.CSV}), "false"),
    "mergeSchema": (frozenset({Kind.PARQUET}), "false"),
    "compression": (frozenset({Kind.PARQUET}), "none"),
})  # fmt: skip


def check_known(left: Mapping[str, str]) -> None:
    """Raise BadSourceOption for the first of some options, with names in lower case, that is not taken as it is."""
    for name in sorted(left):
        known = _KNOWN.get(name)
        if known is None:
            raise BadSourceOption(f"format sealed has no option {name[:60]!r}")
        if left[name].lower() in known.values:
            continue
        only = f" but as {known.values[0]!r}" if known.values and known.values[0].strip() else ""
        raise BadSourceOption(f"format sealed does not have Spark's option {name}{only}", fix=known.fix)


def check_of_kind(given: Iterable[tuple[str, str]], kind: Kind) -> None:
    """Raise BadSourceOption for an option that says something about files of another kind. Names in lower case."""
    said = dict(given)
    for name, (kinds, nothing) in _OF_KIND.items():
        value = said.get(name.lower(), nothing).lower()
        if kind not in kinds and value != nothing:
            raise BadSourceOption(f"option {name} is for {', '.join(sorted(kinds))}, not {kind}", fix="Leave it out.")
