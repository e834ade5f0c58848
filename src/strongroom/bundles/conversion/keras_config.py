"""Look at the configuration of a Keras model before Keras does: nothing in it may be code, or name a file.

Pure: the parsed JSON in, an error out. Keras' own safe mode is on as well; this list is narrower. Everything that a
configuration names must be one of Keras' own classes or functions, since a name alone can make Keras import and call
(CVE-2024-3660, CVE-2025-1550), and some of its own layers carry code or read files of other formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from strongroom.bundles.conversion.errors import ModelRunsCode, NotConvertible

MAX_NESTING: Final = 200
CODE: Final = frozenset(
    {"Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer", "__lambda__", "function"}
)
_MODULES: Final = frozenset({"builtins", "keras", "keras.activations", "keras.constraints", "keras.dtype_policies",
                             "keras.initializers", "keras.layers", "keras.losses", "keras.metrics", "keras.models",
                             "keras.optimizers", "keras.quantizers", "keras.random", "keras.regularizers",
                             "keras.src.models.functional", "keras.src.models.sequential"})  # fmt: skip
_BUILTINS: Final = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__tuple__",
                              "__typespec__", "__bytes__", "slice", "set", "frozenset", "tuple", "bytes"})  # fmt: skip
_OPERATIONS: Final = "keras.src.ops."  # additions, slices and the like between layers
_FILES: Final = frozenset({"vocabulary", "idf_weights", "filepath", "path"})


def check_configuration(configuration: object) -> None:
    """Raise ModelRunsCode or NotConvertible, naming the layer."""
    for node, owner in _objects(configuration):
        _check_object(node, owner)


def _check_object(node: Mapping[str, Any], owner: str) -> None:
    name, module, registered = node.get("class_name"), node.get("module"), node.get("registered_name")
    if isinstance(name, str):
        short = name.rpartition(">")[2].rpartition(".")[2]
        if short in CODE:
            raise ModelRunsCode(f"the layer {owner!r} is a {short}: it carries code, which would run here")
        if ">" in name or (isinstance(registered, str) and ">" in registered):
            raise NotConvertible(f"the layer {owner!r} is of a class of its own ({registered or name}), not of Keras",
                                 fix="Custom classes are code: export a SavedModel where you have it.")  # fmt: skip
        if not _is_keras_own(module, short):
            raise ModelRunsCode(
                f"the layer {owner!r} names {str(module)[:80]}.{short[:80]}, which is no class of Keras"
            )
    for key in _FILES & node.keys():
        if isinstance(node[key], str) and node[key]:
            raise ModelRunsCode(f"the layer {owner!r} would read a file ({key} = {node[key][:80]!r})",
                                fix="Save the model with its vocabulary in it.")  # fmt: skip


def _is_keras_own(module: object, name: str) -> bool:
    if module is None or module == "builtins":
        return name in _BUILTINS or (module is None and name.isidentifier() and not name.startswith("__"))
    known = isinstance(module, str) and (module in _MODULES or module.startswith(_OPERATIONS))
    return known and name.isidentifier() and name[:1].isupper()  # a function such as load_model begins small


def _objects(configuration: object) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield every object of the configuration with the name of the layer it belongs to."""
    waiting: list[tuple[object, str, int]] = [(configuration, "model", 0)]
    while waiting:
        node, owner, depth = waiting.pop()
        if depth > MAX_NESTING:
            raise NotConvertible(f"the configuration is nested deeper than {MAX_NESTING}")
        if isinstance(node, dict):
            name = node.get("name") or (node["config"].get("name") if isinstance(node.get("config"), dict) else None)
            owner = name[:80] if isinstance(name, str) else owner
            yield node, owner
            waiting += [(child, owner, depth + 1) for child in node.values()]
        elif isinstance(node, list):
            waiting += [(child, owner, depth + 1) for child in node]
