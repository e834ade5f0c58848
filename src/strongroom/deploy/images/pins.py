"""Which versions an image takes where there is no lock file: those that are installed, and what they ask for. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

Facts: TypeAlias = Callable[[str], tuple[str, list[str]] | None]  # name -> version and requirements, if installed
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_EXTRA: Final = re.compile(r"""\bextra\s*==\s*['"]([A-Za-z0-9._-]{1,64})['"]""")
_EXTRAS_WANTED: Final = re.compile(r"\[([A-Za-z0-9._, -]{1,128})\]")
MAX_PACKAGES: Final = 1000


def closure(name: str, *, extras: Iterable[str], without: Iterable[str], facts: Facts) -> list[str]:
    """Return `package==version` for everything that `name` asks for, directly or not, sorted; `name` itself aside.

    What is not installed was not asked for on this machine (a marker for another system) and is left out.
    """
    left_out = {canonical(each) for each in without}
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    found: dict[str, str] = {}
    while waiting and len(seen) < MAX_PACKAGES:
        asked = waiting.pop()
        known = facts(asked[0])
        if asked in seen or known is None:
            continue
        seen.add(asked)
        found[canonical(asked[0])] = known[0]
        waiting += [each for each in _required(known[1], asked[1]) if canonical(each[0]) not in left_out]
    found.pop(canonical(name), None)
    return [f"{package}=={version}" for package, version in sorted(found.items())]


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _required(requirements: Iterable[str], extras: frozenset[str]) -> Iterable[tuple[str, frozenset[str]]]:
    for text in requirements:
        requirement, _, marker = text.partition(";")
        of_extra = _EXTRA.search(marker)
        named = _NAME.match(requirement.strip())
        if named and (of_extra is None or of_extra[1] in extras):
            wanted = _EXTRAS_WANTED.search(requirement)
            yield named[0], frozenset(each.strip() for each in wanted[1].split(",")) if wanted else frozenset()
