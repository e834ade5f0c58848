"""What the contract suites share: the doubles that stand behind a platform."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def doubles():
    """Return the module of the platforms' doubles, which lies with their unit tests."""
    name = "strongroom_tests_doubles"
    if name not in sys.modules:
        path = Path(__file__).resolve().parents[1] / "unit" / "platforms" / "doubles.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
