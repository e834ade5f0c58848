"""Write an ONNX model from a loaded TensorFlow model: variables become constants, signatures become metadata.

World: reads the variables out of a session, writes one file. Every signature's input of one alias becomes the one
graph input of that name; an output has its alias for a name where no other signature gives it to another tensor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strongroom.bundles.conversion import loaded, placeholders, tools
from strongroom.bundles.conversion.errors import ModelTooLarge, NotConvertible
from strongroom.bundles.conversion.signatures import SERVING_DEFAULT, Signatures, check_one_file
from strongroom.bundles.conversion.source import PROTOBUF_LIMIT_BYTES

SIGNATURES_KEY: Final = "strongroom.signatures"
OPSETS: Final = range(13, 19)  # what tf2onnx 1.17 writes and every engine of ours reads
DEFAULT_OPSET: Final = 17
_GRAPPLER: Final = ("constfold", "function", "common_subgraph_elimination", "dependency")
_WITH_BODIES: Final = frozenset({"If", "Loop", "Scan"})
_QUANTISED: Final = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_ONLY_FOR: Final = {
    "remove_redundant_upsample": frozenset({"Upsample", "Resize"}), "loop_optimizer": _WITH_BODIES,
    "einsum_optimizer": frozenset({"Einsum"}), "const_dequantize_optimizer": _QUANTISED, "q_dq_optimizer": _QUANTISED,
}  # fmt: skip
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_HEADROOM_BYTES: Final = 64 * 1024 * 1024  # for the graph beside its values


def write_onnx(model: loaded.Loaded, path: Path, *, opset: int) -> None:
    """Write all signatures of `model`, which take the same inputs, as one ONNX file.

    Raises SignatureChoice, NotConvertible for operations that ONNX does not have, ModelTooLarge beyond 2 GiB.
    """
    check_one_file(model.signatures)
    with tools.quiet():
        _check_size(model)
        tables = dict(_tables(model))
        converted = _converted(_joined(model), tables, opset)
    _check_operations(converted)
    entry = converted.metadata_props.add()
    entry.key, entry.value = SIGNATURES_KEY, _metadata(model.signatures)
    if converted.ByteSize() > PROTOBUF_LIMIT_BYTES:
        raise ModelTooLarge(f"the model has {converted.ByteSize() / 1e9:.1f} GB; one ONNX file holds at most 2 GiB")
    path.write_bytes(converted.SerializeToString(deterministic=True))


def _check_size(model: loaded.Loaded) -> None:
    total = 0
    for variable in model.graph.get_collection("variables"):
        total += (variable.shape.num_elements() or 0) * variable.dtype.size
    if total > PROTOBUF_LIMIT_BYTES - _HEADROOM_BYTES:
        raise ModelTooLarge(f"the model has {total / 1e9:.1f} GB of weights; one ONNX file holds at most 2 GiB")


def output_names(signatures: Signatures) -> dict[tuple[str, str], str]:
    """Return the name of each graph output by signature and alias.

    It is the alias, so that the file can be read without its metadata too; where an input or another signature's tensor
    has that name already, it is SIGNATURE/ALIAS. `serving_default` chooses first.
    """
    taken = dict.fromkeys((alias for signature in signatures.values() for alias in signature.inputs), "")
    found = {}
    for name in sorted(signatures, key=lambda name: (name != SERVING_DEFAULT, name)):
        for alias, port in sorted(signatures[name].outputs.items()):
            free = taken.setdefault(alias, port.tensor) == port.tensor
            found[name, alias] = alias if free else f"{name}/{alias}"
    return found


def _metadata(signatures: Signatures) -> str:
    named = output_names(signatures)
    facts = {
        name: {
            "method_name": signature.method_name,
            "inputs": {alias: alias for alias in sorted(signature.inputs)},
            "outputs": {alias: named[name, alias] for alias in sorted(signature.outputs)},
        }
        for name, signature in sorted(signatures.items())
    }
    return json.dumps(facts)


def _tables(model: loaded.Loaded) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the content of each lookup table by its shared name: keys and values."""
    tf = tools.tensorflow()
    with model.graph.as_default():
        for operation in model.graph.get_operations():
            if operation.type not in {"HashTable", "HashTableV2"}:
                continue
            kinds = {"Tkeys": operation.get_attr("key_dtype"), "Tvalues": operation.get_attr("value_dtype")}
            try:
                content = tf.raw_ops.LookupTableExportV2(table_handle=operation.outputs[0], **kinds)
                keys, values = model.session.run(content)
            except (ValueError, TypeError, tf.errors.OpError) as problem:
                raise NotConvertible(
                    f"the table {operation.name!r} cannot be read: {loaded.first_line(problem)}"
                ) from None
            yield operation.get_attr("shared_name"), (keys, values)


def _frozen(model: loaded.Loaded) -> Any:  # noqa: ANN401  # a protobuf message
    tf = tools.tensorflow()
    wanted = {
        port.tensor.split(":")[0] for signature in model.signatures.values() for port in signature.outputs.values()
    }
    with model.graph.as_default():
        try:
            return tf.compat.v1.graph_util.convert_variables_to_constants(
                model.session, model.graph.as_graph_def(), sorted(wanted)
            )
        except (ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError) as problem:
            raise NotConvertible(f"its variables cannot become constants: {loaded.first_line(problem)}") from None


@dataclass(frozen=True, slots=True)
class _Joined:
    """A graph without variables, and the ONNX names of its inputs and outputs by tensor."""

    graph_def: Any
    inputs: dict[str, str]
    outputs: dict[str, str]


def _joined(model: loaded.Loaded) -> _Joined:
    """Return one graph in which all signatures share their inputs."""
    tf = tools.tensorflow()
    frozen = _frozen(model)
    named = output_names(model.signatures)
    first = next(iter(model.signatures.values()))
    present = {node.name for node in frozen.node}
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    operations = []
    with tf.Graph().as_default() as graph:
        fed = {}
        for index, (alias, port) in enumerate(first.inputs.items()):
            sizes = None if port.shape is None else [None if size < 0 else size for size in port.shape]
            fed[alias] = tf.compat.v1.placeholder(port.dtype, sizes, name=f"strongroom_input_{index}")
            inputs[fed[alias].name] = alias
        for name, signature in model.signatures.items():
            replaced = {port.tensor: fed[alias] for alias, port in signature.inputs.items()
                        if port.tensor.split(":")[0] in present}  # fmt: skip
            found = _import(frozen, replaced, [port.tensor for port in signature.outputs.values()])
            for alias, tensor in zip(signature.outputs, found, strict=True):
                if named[name, alias] not in outputs.values():
                    ended = tf.identity(tensor, name=f"strongroom_output_{len(outputs)}")
                    outputs[ended.name] = named[name, alias]
                    operations.append(ended.op.name)
        placeholders.check_given(graph, {tensor.op.name for tensor in fed.values()}, set(operations))
        kept = sorted({*operations, *(tensor.op.name for tensor in fed.values())})
        cut = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), kept)
    return _Joined(cut, inputs, outputs)


def _import(frozen: Any, replaced: dict[str, Any], wanted: list[str]) -> list[Any]:  # noqa: ANN401
    with loaded.building():
        found: list[Any] = tools.tensorflow().import_graph_def(
            frozen, input_map=replaced, return_elements=wanted, name="s"
        )
    return found


def _converted(joined: _Joined, tables: Mapping[Any, Any], opset: int) -> Any:  # noqa: ANN401  # a ModelProto
    inputs, outputs = joined.inputs, joined.outputs
    tf, tf2onnx = tools.tensorflow(), tools.tf2onnx()
    graph = tf.Graph()
    with graph.as_default(), loaded.building():
        tf.import_graph_def(_folded(joined.graph_def, [*inputs, *outputs]), name="")
    del joined  # weights are large, and tf2onnx makes several copies of its own
    with graph.as_default():
        try:
            converted = tf2onnx.tfonnx.process_tf_graph(
                graph, opset=opset, input_names=list(inputs), output_names=list(outputs),
                tensors_to_rename={**inputs, **outputs}, initialized_tables=tables,
            )  # fmt: skip
            passes = _passes(tf2onnx.optimizer._get_optimizers(), {node.type for node in converted.get_nodes()})  # noqa: SLF001
            optimised = tf2onnx.optimizer.optimize_graph(converted, catch_errors=False, optimizers=passes)
            return optimised.make_model("strongroom model convert")
        except Exception as problem:  # noqa: BLE001  # tf2onnx raises whatever its rules raise
            fix = "Keep it a SavedModel (--format saved_model), or try another --opset."
            raise NotConvertible(f"it cannot be written as ONNX: {loaded.first_line(problem)}", fix=fix) from None


def _passes(every: Mapping[str, Any], operations: set[str]) -> dict[str, Any]:
    """Return tf2onnx's optimisations without those that find nothing here: each run costs a copy of the weights."""
    if operations & _WITH_BODIES:
        return dict(every)
    return {name: one for name, one in every.items() if name not in _ONLY_FOR or operations & _ONLY_FOR[name]}


def _folded(graph_def: Any, kept: list[str]) -> Any:  # noqa: ANN401
    """Return the graph with functions inlined, constants folded and what is computed twice computed once."""
    tf = tools.tensorflow()
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer

    config = config_pb2.ConfigProto()
    config.graph_options.infer_shapes = True
    rewriting = config.graph_options.rewrite_options
    rewriting.optimizers[:] = _GRAPPLER
    rewriting.function_optimization = rewriting.AGGRESSIVE  # else a call that is not fetched itself stays one
    rewriting.min_graph_nodes = -1  # small graphs too
    rewriting.experimental_disable_folding_quantization_emulation = True
    with tf.Graph().as_default():
        meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph_def)
    meta_graph.collection_def["train_op"].node_list.value.extend(kept)
    with loaded.building():
        return tf_optimizer.OptimizeGraph(config, meta_graph)


def _check_operations(model: Any) -> None:  # noqa: ANN401
    """Raise NotConvertible for what is no operation of ONNX: tf2onnx writes such as if it were one."""
    import onnx

    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    unknown = {node.op_type for node in _nodes(model.graph)
               if node.domain not in _DOMAINS or not onnx.defs.has(node.op_type, opset, node.domain)}  # fmt: skip
    if unknown:
        fix = "Keep it a SavedModel (--format saved_model) and serve it with TensorFlow."
        raise NotConvertible(f"ONNX has nothing for the operations {', '.join(sorted(unknown))[:300]}", fix=fix)


def _nodes(graph: Any) -> Iterator[Any]:  # noqa: ANN401
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
            for inner in attribute.graphs:
                yield from _nodes(inner)
