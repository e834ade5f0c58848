"""Write [covered] of tests/threats.toml from the tests' names; `--check` says whether it is current.

A test that carries a line of the threat model has its id in its name: `test_kd_11_…`, or several as in
`test_sc_03_sc_07_…` and `test_dp_11_and_kd_23_…`. The part before [covered] is kept by hand.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
TARGET: Final = REPOSITORY / "tests" / "threats.toml"
COVERED: Final = "[covered]\n"
GROUPS: Final = ("ev", "sc", "tcb", "id", "fb", "pl", "kd", "sv", "sa", "dp", "an")
_ID: Final = re.compile(rf"_(?:and_)?({'|'.join(GROUPS)})_([0-9]{{2}})(?=_)")


def ids_of(test: str) -> list[str]:
    """Return the ids in a test's name: `KD-11` for `test_kd_11_without_rules_nothing_is_released`."""
    found, place = [], len("test")
    while each := _ID.match(test, place):
        found.append(f"{each[1].upper()}-{each[2]}")
        place = each.end()
    return found


def carried(tests: Path) -> dict[str, list[str]]:
    """Return, by id, the tests under a folder that carry it, as pytest names them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        for name in functions(path):
            for threat in ids_of(name):
                found[threat].append(f"{path.relative_to(tests.parent).as_posix()}::{name}")
    return {threat: found[threat] for threat in sorted(found, key=_place)}


def functions(path: Path) -> list[str]:
    """Return the names of a file's test functions, in their order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")]


def page() -> str:
    """Return the whole file: what is kept by hand, then what the tests say."""
    kept = TARGET.read_text(encoding="utf-8").partition(COVERED)[0]
    lines = []
    for threat, nodes in carried(TARGET.parent).items():
        lines += [f"{threat} = [", *(f'    "{node}",' for node in nodes), "]"]
    return kept + COVERED + "\n".join(lines) + "\n"


def _place(threat: str) -> tuple[int, str]:
    return GROUPS.index(threat.partition("-")[0].lower()), threat


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        current = TARGET.read_text(encoding="utf-8") == page()
        sys.exit(0 if current else "tests/threats.toml is stale: run make docs")
    TARGET.write_text(page(), encoding="utf-8")
