"""Which engine serves a version: by what lies in it, by the server's --engine, by a configuration's model_platform.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from strongroom.serving.engines.base import EngineUnknown, ModelNotLoadable

AUTO: Final = "auto"
_FILES: Final = {
    "onnx": ("model.onnx",),
    "tensorflow": ("saved_model.pb",),
    "openvino": ("model.xml", "model.onnx"),
}
_FIX: Final = (
    "Put the model at the top of the version's folder, or name another --engine; other formats can be converted."
)
KINDS: Final = (AUTO, *_FILES)
# TensorFlow Serving's users must write "tensorflow", whatever lies in the folder: it asks for nothing in particular.
PLATFORMS: Final = {"tensorflow": AUTO, "onnx": "onnx", "openvino": "openvino"}


def choose(paths: Collection[str], wanted: str = AUTO) -> str:
    """Return the engine for a version with these files. Raises ModelNotLoadable or EngineUnknown."""
    if wanted == AUTO:
        found = next((kind for kind, names in _FILES.items() if any(name in paths for name in names)), None)
        if found is None:
            raise ModelNotLoadable("the version holds none of model.onnx, saved_model.pb, model.xml", fix=_FIX)
        return found
    if wanted not in _FILES:
        raise EngineUnknown(f"the model needs the engine {wanted[:40]!r}; this server has: {', '.join(_FILES)}")
    if not any(name in paths for name in _FILES[wanted]):
        names = " or ".join(_FILES[wanted])
        raise ModelNotLoadable(f"the engine {wanted} needs {names}, and the version has none", fix=_FIX)
    return wanted
