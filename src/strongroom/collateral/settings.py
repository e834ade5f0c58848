"""The `[collateral]` table of strongroom.toml: where live collateral comes from, and the owner's rules about it.

Pure. Unknown words are refused. Paths are relative to the file that holds the table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from strongroom.collateral.freshness import Freshness
from strongroom.collateral.gather import Choice
from strongroom.errors import BadInput

DEFAULT_CACHE: Final = "collateral-cache"
MAX_SETTINGS_BYTES: Final = 64 * 1024
MAX_SOURCES: Final = 16
UPDATES: Final = ("standard", "early")
_DURATION: Final = re.compile(r"([0-9]{1,5})(d|h|m)")
_UNITS: Final = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


class BadCollateralSettings(BadInput):
    """The [collateral] table holds a word that it does not know, or a value that a word cannot have."""

    code = "SR-COLLATERAL-SETTINGS"
    fix = (
        'It may hold: sources = ["intel-pcs", …], qcnl = FILE, cache = FOLDER, max_age = "7d", min_eval_num = N,'
        ' grace = "12h", update = "standard" or "early", ca_file = FILE, subscription_key_file = FILE.'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralSettings:
    """Where collateral comes from and how old it may be."""

    sources: tuple[str, ...] = ()  # names of profiles, addresses of PCCS, paths of folders; asked in this order
    qcnl: str | None = None  # a qcnl.conf whose sources come first
    cache: str | None = None  # None: in memory
    rules: Freshness = field(default_factory=Freshness)
    choice: Choice = field(default_factory=Choice)
    ca_file: str | None = None  # what PCCS certificates must chain to
    subscription_key_file: str | None = None  # for PCK certificates from Intel


def parse(table: Mapping[str, object]) -> CollateralSettings:
    """Return the settings in a table; raise BadCollateralSettings or BadFreshness."""
    values = dict(table)
    sources = values.pop("sources", [])
    if not isinstance(sources, list) or not all(
        isinstance(each, str) and each.isprintable() and each for each in sources
    ):
        raise BadCollateralSettings("sources is not a list of names")
    if len(sources) > MAX_SOURCES:
        raise BadCollateralSettings(f"there are {len(sources)} sources, at most {MAX_SOURCES} are asked")
    settings = CollateralSettings(
        sources=tuple(sources),
        qcnl=_path(values, "qcnl"),
        cache=_path(values, "cache") or DEFAULT_CACHE,
        rules=_rules(values),
        choice=replace(Choice(), update=_update(values)),
        ca_file=_path(values, "ca_file"),
        subscription_key_file=_path(values, "subscription_key_file"),
    )
    if values:
        raise BadCollateralSettings(f"unknown word {next(iter(values))[:64]!r}")
    if not settings.sources and settings.qcnl is None:
        raise BadCollateralSettings("neither sources nor qcnl says where collateral comes from")
    return settings


def parse_file(data: bytes) -> CollateralSettings:
    """Return the settings in a file of their own, TOML without a table's head; raises as `parse` does."""
    if len(data) > MAX_SETTINGS_BYTES:
        raise BadCollateralSettings(f"the file is longer than {MAX_SETTINGS_BYTES} bytes")
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as problem:  # UnicodeDecodeError is one
        raise BadCollateralSettings(f"the file is not TOML: {str(problem)[:160]}") from None
    return parse(table)


def duration(text: str) -> timedelta:
    """Return the time that `7d`, `12h` or `30m` spells; raise BadCollateralSettings."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise BadCollateralSettings(f'{text[:32]!r} is not a time such as "7d", "12h" or "30m"')
    return int(found[1]) * _UNITS[found[2]]


def _rules(values: dict[str, object]) -> Freshness:
    default, number = Freshness(), values.pop("min_eval_num", 0)
    if not isinstance(number, int) or isinstance(number, bool):
        raise BadCollateralSettings("min_eval_num is not a whole number")
    times = {}
    for name in ("max_age", "grace"):
        text = values.pop(name, None)
        if text is not None and not isinstance(text, str):
            raise BadCollateralSettings(f'{name} is not a time such as "7d"')
        times[name] = duration(text) if isinstance(text, str) else getattr(default, name)
    return Freshness(max_age=times["max_age"], grace=times["grace"], min_eval_num=number)


def _update(values: dict[str, object]) -> str:
    update = values.pop("update", UPDATES[0])
    if update not in UPDATES:
        raise BadCollateralSettings('update is neither "standard" nor "early"')
    return str(update)


def _path(values: dict[str, object], name: str) -> str | None:
    value = values.pop(name, None)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadCollateralSettings(f"{name} is not a path")
    return value
