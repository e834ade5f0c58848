"""Engines run models. Law of this room: an engine takes arrays and gives arrays; it knows no front, version or key.

`base` what an engine is · `files` what it is made from · `choice` which one a version needs · `onnx_engine` ONNX
Runtime, over bytes in memory · `tensorflow_engine` SavedModels · `openvino_engine` Intel's runtime.
"""

from __future__ import annotations

from strongroom.serving.engines.base import Engine, EngineMissing, EngineOptions, EngineUnknown, ModelNotLoadable
from strongroom.serving.engines.choice import choose
from strongroom.serving.engines.files import FolderFiles, MemoryFiles, ModelFiles

__all__ = [
    "Engine",
    "EngineMissing",
    "EngineOptions",
    "EngineUnknown",
    "FolderFiles",
    "MemoryFiles",
    "ModelFiles",
    "ModelNotLoadable",
    "choose",
    "load",
]


def load(kind: str, files: ModelFiles, options: EngineOptions) -> Engine:
    """Load a model with the engine `kind`, or the one that its files ask for ("auto").

    Raises EngineUnknown, EngineMissing, ModelNotLoadable, BadSavedModel, or what `files` raise.
    """
    chosen = choose(files.paths, kind)
    if chosen == "tensorflow":
        from strongroom.serving.engines.tensorflow_engine import TensorFlowEngine

        return TensorFlowEngine(files, options)
    if chosen == "openvino":
        from strongroom.serving.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(files, options)
    from strongroom.serving.engines.onnx_engine import MODEL_FILE, OnnxEngine

    return OnnxEngine(files.read(MODEL_FILE), options)
