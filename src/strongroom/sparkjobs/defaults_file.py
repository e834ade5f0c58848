"""spark-defaults.conf: read and written so that every value comes back as it was. Pure.

The format is that of java.util.Properties: a backslash escapes, lines end a setting, # and ! begin comments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.errors import BadInput

MAX_FILE_BYTES: Final = 1 << 20
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class BadDefaultsFile(BadInput):
    """A file of Spark settings cannot be read: too long, no UTF-8, or a line that is no setting."""

    code = "SR-SPARK-DEFAULTS"
    fix = "Write one setting a line: the name, a space, the value."


def render(settings: Mapping[str, str]) -> bytes:
    """Return the file, sorted by names."""
    lines = [f"{_escaped(name, key=True)} {_escaped(value, key=False)}\n" for name, value in sorted(settings.items())]
    return "".join(lines).encode("ascii")


def parse(data: bytes) -> dict[str, str]:
    """Return the settings of a file; continued lines are refused. Raises BadDefaultsFile."""
    if len(data) > MAX_FILE_BYTES:
        raise BadDefaultsFile(f"{len(data)} bytes are more than a file of settings has")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadDefaultsFile("a file of settings is not UTF-8") from None
    settings: dict[str, str] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        stripped = line.lstrip(" \t\f")
        if stripped and stripped[0] not in "#!":
            name, value = _setting(stripped, number)
            settings[name] = value
    return settings


def _setting(line: str, number: int) -> tuple[str, str]:
    parts, at, in_name = ["", ""], 0, True
    while at < len(line):
        letter = line[at]
        if letter == "\\":
            found, at = _unescaped(line, at, number)
            parts[0 if in_name else 1] += found
            continue
        at += 1
        if in_name and letter in " \t\f=:":
            in_name = False
            at += len(line[at:]) - len(line[at:].lstrip(" \t\f"))
            if letter in " \t\f" and line[at : at + 1] in {"=", ":"}:
                at += 1
                at += len(line[at:]) - len(line[at:].lstrip(" \t\f"))
            continue
        parts[0 if in_name else 1] += letter
    if not parts[0] or "\r" in line:
        raise BadDefaultsFile(f"line {number} is no setting")
    return parts[0], parts[1].rstrip()  # Spark trims values


def _unescaped(line: str, at: int, number: int) -> tuple[str, int]:
    letter = line[at + 1 : at + 2]
    if not letter:
        raise BadDefaultsFile(f"line {number} is continued on the next one")
    if letter != "u":
        return _ESCAPES.get(letter, letter), at + 2
    digits = line[at + 2 : at + 6]
    if len(digits) != 4 or not all(each in "0123456789abcdefABCDEF" for each in digits):
        raise BadDefaultsFile(f"line {number} has an escape that is none")
    return chr(int(digits, 16)), at + 6


def _escaped(text: str, *, key: bool) -> str:
    special = "\\ =:#!" if key else "\\"
    encoded = text.encode("utf-16-be", "surrogatepass")
    units = [int.from_bytes(encoded[each : each + 2]) for each in range(0, len(encoded), 2)]
    written = "".join(_unit(unit, special) for unit in units)
    return f"\\{written}" if not key and written[:1] in {" ", "=", ":"} else written


def _unit(unit: int, special: str) -> str:
    if not 0x20 <= unit < 0x7F:
        return f"\\u{unit:04x}"
    return f"\\{chr(unit)}" if chr(unit) in special else chr(unit)
