"""Engines run models. Law of this room: an engine takes arrays and gives arrays; it knows no front, version or key.

`base` what an engine is · `onnx_engine` ONNX Runtime, over bytes in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.serving.engines.base import Engine, EngineOptions, EngineUnknown, ModelNotLoadable

__all__ = ["Engine", "EngineOptions", "EngineUnknown", "ModelNotLoadable", "load"]


def load(name: str, read: Callable[[str], bytes], options: EngineOptions) -> Engine:
    """Load a model with the engine `name`; `read` returns a file of the version by its path.

    Raises EngineUnknown, ModelNotLoadable, or what `read` raises.
    """
    if name != "onnx":
        raise EngineUnknown(f"the model needs the engine {name[:40]!r}; this server has: onnx")
    from strongroom.serving.engines.onnx_engine import MODEL_FILE, OnnxEngine

    return OnnxEngine(read(MODEL_FILE), options)
