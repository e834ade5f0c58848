"""A frozen GraphDef as a model: which tensors it takes and gives, under the reference solution's names.

World: reads one file. One input is called `input` and one output `predict`, whatever their tensors are called, as the
reference solution's model_graph_to_saved_model.py does; several are called like their tensors. ALIAS=TENSOR says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from strongroom.bundles.conversion import graph_check, loaded, placeholders, tools
from strongroom.bundles.conversion.errors import NotConvertible
from strongroom.bundles.conversion.placeholders import FrozenOptions
from strongroom.bundles.conversion.signatures import PREDICT_METHOD, SERVING_DEFAULT, ModelSignature, Signatures

INPUT_ALIAS: Final = "input"
OUTPUT_ALIAS: Final = "predict"
_MAX_NAMED: Final = 8


def aliases(names: Sequence[str], alone: str) -> dict[str, str]:
    """Return tensors by alias; a single plain name gets the alias `alone`. Raises NotConvertible."""
    plain = [name for name in names if "=" not in name]
    found = {}
    for name in names:
        alias, _, tensor = name.rpartition("=")
        alias = alias or (alone if len(names) == len(plain) == 1 else name.removesuffix(":0"))
        if not tensor or alias in found:
            raise NotConvertible(
                f"{name!r} is not a name of its own", fix="Write TENSOR or ALIAS=TENSOR, comma between."
            )
        found[alias] = tensor
    return found


@contextmanager
def open_frozen(path: Path, options: FrozenOptions) -> Iterator[loaded.Loaded]:
    """Lend the graph in `path`, cut down to what its outputs need. Raises NotConvertible, ModelRunsCode."""
    with loaded.graph_with(*_prepared(path, options)) as model:
        yield model


def _prepared(path: Path, options: FrozenOptions) -> tuple[Any, Signatures]:
    """Return the graph that the outputs need, a protobuf message, and its signature by name."""
    graph_def = read_graph(path)
    loaded.check_known(graph_def)
    graph_check.check_frozen(graph_def)
    placeholders.settle(graph_def, options)
    tf = tools.tensorflow()
    with tf.Graph().as_default() as graph:
        with loaded.building():
            tf.import_graph_def(graph_def, name="")
        signature = _signature(graph, graph_def, options)
        return _cut(graph, signature), {SERVING_DEFAULT: signature}


def _signature(graph: Any, graph_def: Any, options: FrozenOptions) -> ModelSignature:  # noqa: ANN401
    starts = [node.name for node in graph_def.node if node.op in placeholders.KINDS][:_MAX_NAMED]
    used = {name.removeprefix("^").split(":")[0] for node in graph_def.node for name in node.input}
    ends = [node.name for node in graph_def.node if node.name not in used and node.op not in placeholders.KINDS]
    return ModelSignature(
        method_name=PREDICT_METHOD,
        inputs={alias: loaded.port_named(graph, name, starts) for alias, name in options.inputs.items()},
        outputs={alias: loaded.port_named(graph, name, ends[-_MAX_NAMED:]) for alias, name in options.outputs.items()},
    )


def _cut(graph: Any, signature: ModelSignature) -> Any:  # noqa: ANN401  # a protobuf message
    """Return the part of the graph that the signature needs. Raises NotConvertible for an input nobody gives."""
    inputs = {port.tensor.split(":")[0] for port in signature.inputs.values()}
    outputs = {port.tensor.split(":")[0] for port in signature.outputs.values()}
    placeholders.check_given(graph, inputs, outputs)
    extract = tools.tensorflow().compat.v1.graph_util.extract_sub_graph
    with tools.quiet():
        return extract(graph.as_graph_def(), sorted(inputs | outputs))


def read_graph(path: Path) -> Any:  # noqa: ANN401  # a protobuf message
    """Return the GraphDef in a file. Raises NotConvertible, ModelTooLarge."""
    tools.tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2

    try:
        graph_def = graph_pb2.GraphDef.FromString(loaded.read_message(path))
    except DecodeError:
        raise NotConvertible(f"{path} is not a frozen GraphDef, a Keras file or a SavedModel") from None
    if not graph_def.node:
        raise NotConvertible(f"{path} is not a frozen GraphDef: it has no operations")
    for node in graph_def.node:
        node.device = ""  # a graph frozen on a machine with a GPU names it
    return graph_def
