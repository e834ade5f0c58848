"""The conformance runner's modules, which live with the tools."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOL = Path(__file__).resolve().parents[3] / "tools" / "conformance"


@pytest.fixture(scope="session")
def tool():
    sys.path.insert(0, str(TOOL))
    try:
        yield SimpleNamespace(
            **{name: importlib.import_module(name) for name in ("matchers", "case_files", "replay", "conformance")}
        )
    finally:
        sys.path.remove(str(TOOL))
