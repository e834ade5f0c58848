"""OpenVINO, imported without its telemetry, when the first model needs it.

`import openvino` alone reports itself to its maker's analytics service and keeps an identifier below the user's home,
consent assumed, through the package `openvino_telemetry`. Where that package cannot be imported OpenVINO uses a stub of
its own, so here it cannot: on a machine that nobody has to trust a report would be a leak by design (SV-02).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any, Final

from strongroom.serving.engines.base import EngineMissing

_TELEMETRY: Final = "openvino_telemetry"
_importing: Final = threading.Lock()


def openvino() -> Any:  # noqa: ANN401  # its typing follows no released version
    """Return the module `openvino`. Raises EngineMissing."""
    with _importing:
        return _imported()


def _imported() -> ModuleType:
    if importlib.util.find_spec("openvino") is None:
        raise EngineMissing(
            "the server was told to use OpenVINO, and it is not installed",
            fix="In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[openvino]'",
        )
    if "openvino" not in sys.modules:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # the documented way to make an import fail
    return importlib.import_module("openvino")
