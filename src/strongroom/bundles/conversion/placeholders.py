"""The placeholders of a frozen graph: which are inputs, which get a shape, and which are settled as constants.

A training graph often has more of them than clients know (`is_training`, `keep_prob`): each is named, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.bundles.conversion import tools
from strongroom.bundles.conversion.errors import NotConvertible

KINDS: Final = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class FrozenOptions:
    """What a frozen graph does not say itself.

    `inputs` and `outputs` by alias are tensors; `shapes` by tensor or alias replace what the graph says (-1: any size);
    `constants` fix placeholders such as `is_training`, as text in the type of the placeholder.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)


def settle(graph_def: Any, options: FrozenOptions) -> None:  # noqa: ANN401  # a protobuf message
    """Put shapes and constants into the graph. Raises NotConvertible for a name that is no placeholder."""
    found = {node.name: node for node in graph_def.node if node.op in KINDS}
    for name, shape in options.shapes.items():
        node = _placeholder(found, options.inputs.get(name, name))
        node.attr["shape"].shape.CopyFrom(tools.tensorflow().TensorShape(
            [None if size < 0 else size for size in shape]).as_proto())  # fmt: skip
    for name, text in options.constants.items():
        _make_constant(_placeholder(found, name), text)


def _placeholder(found: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    operation = name.removesuffix(":0")
    if operation not in found:
        raise NotConvertible(f"{operation[:80]!r} is no placeholder of the graph; these are: {', '.join(found)[:300]}",
                             fix="--shape and --set take the names of placeholders.")  # fmt: skip
    return found[operation]


def _make_constant(node: Any, text: str) -> None:  # noqa: ANN401
    tf = tools.tensorflow()
    kind = tf.dtypes.as_dtype(node.attr["dtype"].type)
    try:
        value = _TRUTH[text.lower()] if kind.is_bool else kind.as_numpy_dtype(text)
    except (KeyError, ValueError, TypeError, OverflowError):
        fix = "Write one value of the placeholder's type, as in --set is_training=false."
        raise NotConvertible(f"{text[:40]!r} is no {kind.name} for {node.name[:80]!r}", fix=fix) from None
    name, shape = node.name, tf.TensorShape(node.attr["shape"].shape) if "shape" in node.attr else None
    sizes = shape.as_list() if shape is not None and shape.is_fully_defined() else []
    node.Clear()
    node.name, node.op = name, "Const"
    node.attr["dtype"].type = kind.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype=kind, shape=sizes))


def check_given(graph: Any, inputs: set[str], outputs: set[str]) -> None:  # noqa: ANN401
    """Raise NotConvertible if `outputs` need a placeholder that is none of `inputs` (operations of a graph)."""
    waiting, seen = sorted(outputs), set(inputs)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        operation = graph.get_operation_by_name(name)
        if operation.type in {"Placeholder", "PlaceholderV2"}:
            kind = operation.outputs[0].dtype.name
            raise NotConvertible(f"the outputs also need the placeholder {name[:80]!r} ({kind}), which is no input",
                                 fix=f"List it in --inputs, or settle it: --set {name}=VALUE.")  # fmt: skip
        waiting += [tensor.op.name for tensor in operation.inputs]
