"""ONNX Runtime, imported with its telemetry off: every part of Strongroom that needs it takes it from here.

Official builds report facts about models and sessions to their maker over HTTPS, and keep a device identifier below the
user's home, unless this variable is set before the first import (`Privacy.md` in the package). On a machine that nobody
has to trust that would be a leak by design (threats SV-02, X), so it is not left to whoever starts the process.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library initialises

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

__all__ = ["onnxruntime", "states"]
