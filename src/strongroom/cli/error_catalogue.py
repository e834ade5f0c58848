"""Collect the error catalogue of the whole program, for `strongroom explain` and `docs/errors.md`."""

from __future__ import annotations

import importlib
import pkgutil

import strongroom
from strongroom.errors import CatalogueEntry, catalogue


def all_entries() -> list[CatalogueEntry]:
    """Import every room, so that each error class is known, and return the sorted catalogue."""
    for module in pkgutil.walk_packages(strongroom.__path__, "strongroom."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return sorted(set(catalogue()))
