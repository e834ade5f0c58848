"""Find optional packages without importing them, and say in one sentence what to install when one is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from strongroom.errors import BadInput


class MissingExtra(BadInput):
    """An optional package that this command needs is not installed."""

    code = "SR-MISSING-EXTRA"
    fix = "Install the extra that the sentence names."


def locate(package: str, *, extra: str) -> Path:
    """Return the folder of an installed package without running its code. Raises MissingExtra."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(
            f"{package.replace('_', '-')} is not installed",
            fix=f"In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[{extra}]'",
        )
    return Path(next(iter(found.submodule_search_locations)))
