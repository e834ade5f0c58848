"""Collect the error catalogue of the whole program, for `strongroom explain` and `docs/errors.md`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final

import strongroom
from strongroom.errors import CatalogueEntry, catalogue

# What extras bring: a module that needs one of them at its top is passed over where the extra is not installed.
OF_EXTRAS: Final = frozenset(
    {
        "pkcs11",
        "psycopg",
        "psycopg_binary",
        "tensorflow",
        "tf2onnx",
        "keras",
        "openvino",
        "onnx",
        "sklearn",
        "uvloop",
        "redis",
        "hiredis",
        "pyarrow",
        "cv2",
        "pyflink",
    }
)


def all_entries() -> list[CatalogueEntry]:
    """Import every room, so that each error class is known, and return the sorted catalogue."""
    for module in pkgutil.walk_packages(strongroom.__path__, "strongroom."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as problem:
                if (problem.name or "").partition(".")[0] not in OF_EXTRAS:
                    raise
    return sorted(set(catalogue()))
