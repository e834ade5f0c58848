"""Look at an ONNX model's bytes before the runtime does: one file alone, and its real inputs and outputs.

The runtime would follow references to external data into the file system and reports an unknown rank as a scalar's;
here the few messages that say so are read with protobuf. Source: onnx.proto (field numbers), threats KD-19 and KD-20.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError

from strongroom.serving.engines.base import ModelNotLoadable
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.descriptors import ProtoMessage, message_classes
from strongroom.tfserving.onnx_signatures import KEY, BadOnnxSignatures, parse_names
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec

_TABLE: Final = """
package onnx
message ModelProto
  7 graph GraphProto
  14 metadata_props repeated StringStringEntryProto
  20 training_info repeated TrainingInfoProto
  25 functions repeated FunctionProto
message TrainingInfoProto
  1 initialization GraphProto
  2 algorithm GraphProto
message FunctionProto
  7 node repeated NodeProto
  11 attribute_proto repeated AttributeProto
message GraphProto
  1 node repeated NodeProto
  5 initializer repeated TensorProto
  11 input repeated ValueInfoProto
  12 output repeated ValueInfoProto
  15 sparse_initializer repeated SparseTensorProto
message NodeProto
  1 input repeated string
  2 output repeated string
  5 attribute repeated AttributeProto
message AttributeProto
  5 t TensorProto
  6 g GraphProto
  10 tensors repeated TensorProto
  11 graphs repeated GraphProto
  22 sparse_tensor SparseTensorProto
  23 sparse_tensors repeated SparseTensorProto
message SparseTensorProto
  1 values TensorProto
  2 indices TensorProto
message TensorProto
  8 name string
  13 external_data repeated StringStringEntryProto
  14 data_location int32
message StringStringEntryProto
  1 key bytes
  2 value bytes
message ValueInfoProto
  1 name string
  2 type TypeProto
message TypeProto
  1 tensor_type Tensor
message TypeProto.Tensor
  1 elem_type int32
  2 shape TensorShapeProto
message TensorShapeProto
  1 dim repeated Dim
message TensorShapeProto.Dim
  1 dim_value/value int64
  2 dim_param/value bytes
"""
_ModelProto: Final[Any] = message_classes(_TABLE)("onnx.ModelProto")
_EXTERNAL: Final = 1  # TensorProto.DataLocation
_TYPES: Final = {
    1: DataType.DT_FLOAT, 2: DataType.DT_UINT8, 3: DataType.DT_INT8, 4: DataType.DT_UINT16, 5: DataType.DT_INT16,
    6: DataType.DT_INT32, 7: DataType.DT_INT64, 8: DataType.DT_STRING, 9: DataType.DT_BOOL, 10: DataType.DT_HALF,
    11: DataType.DT_DOUBLE, 12: DataType.DT_UINT32, 13: DataType.DT_UINT64,
}  # fmt: skip


def inspect(data: bytes) -> Mapping[str, Signature]:
    """Return the signatures of an ONNX model that needs nothing but these bytes.

    Raises ModelNotLoadable, or BadOnnxSignatures for those that it carries itself.
    """
    try:
        model = _ModelProto.FromString(data)
    except DecodeError:
        raise ModelNotLoadable(f"{len(data)} bytes are not an ONNX model, or only a part of one") from None
    if not model.HasField("graph"):
        raise ModelNotLoadable("the ONNX model has no graph")
    for tensor in _tensors(model):
        if tensor.data_location == _EXTERNAL or tensor.external_data:
            raise ModelNotLoadable("the ONNX model keeps weights in other files (external data), which is refused")
    return _signatures(model)


def parts(data: bytes, signatures: Mapping[str, Signature]) -> Iterator[tuple[bytes, dict[str, Signature]]]:
    """Yield a model for each set of inputs, with the signatures that share it: the whole one where all share it.

    Runtimes want every input of a graph at every run. Raises ModelNotLoadable where a signature lacks one.
    """
    shared: dict[frozenset[str], dict[str, Signature]] = {}
    for name, signature in signatures.items():
        shared.setdefault(frozenset(spec.name for spec in signature.inputs.values()), {})[name] = signature
    for inputs, those in shared.items():
        outputs = {spec.name for each in those.values() for spec in each.outputs.values()}
        whole = len(shared) == 1 and inputs == {spec.name for spec in _graph_inputs(data)}
        yield (data if whole else part_of(data, inputs, outputs)), those


def part_of(data: bytes, inputs: Collection[str], outputs: Collection[str]) -> bytes:
    """Return the part of a model that computes `outputs`. Raises ModelNotLoadable if they need more than `inputs`."""
    model = _ModelProto.FromString(data)
    graph, needed, kept = model.graph, set(outputs), []
    for node in reversed(graph.node):  # a node comes after those that it needs
        if needed.intersection(node.output):
            kept.append(node)
            needed |= _uses(node)
    missing = {info.name for info in _inputs(graph)} & needed - set(inputs)
    if missing:
        raise ModelNotLoadable(f"a signature lacks the input {min(missing)[:80]!r} that its outputs need")
    part = _ModelProto.FromString(data)
    for field, wanted in (
        ("node", kept[::-1]),
        ("initializer", [each for each in graph.initializer if each.name in needed]),
        ("input", [each for each in graph.input if each.name in needed]),
        ("output", [each for each in graph.output if each.name in outputs]),
    ):
        part.graph.ClearField(field)
        getattr(part.graph, field).extend(wanted)
    return bytes(part.SerializeToString())


def _signatures(model: ProtoMessage) -> dict[str, Signature]:
    inputs = {info.name: _spec(info) for info in _inputs(model.graph)}
    outputs = {info.name: _spec(info) for info in model.graph.output}
    props = next((each.value for each in model.metadata_props if each.key == KEY.encode()), None)
    if props is None:
        return {DEFAULT_SIGNATURE: Signature(inputs=inputs, outputs=outputs)}
    return {
        name: Signature(
            inputs=_pick(names.inputs, inputs, name), outputs=_pick(names.outputs, outputs, name), method=names.method
        )
        for name, names in parse_names(props).items()
    }


def _pick(names: Mapping[str, str], specs: Mapping[str, TensorSpec], signature: str) -> dict[str, TensorSpec]:
    for each in names.values():
        if each not in specs:
            raise BadOnnxSignatures(
                f"the signature {signature[:80]!r} names {each[:80]!r}, which the graph does not have"
            )
    if len(set(names.values())) < len(names):
        raise BadOnnxSignatures(f"the signature {signature[:80]!r} names a tensor of the graph twice")
    return {alias: specs[each] for alias, each in names.items()}


def _graph_inputs(data: bytes) -> list[ProtoMessage]:
    return _inputs(_ModelProto.FromString(data).graph)


def _inputs(graph: ProtoMessage) -> list[ProtoMessage]:
    constants = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in constants]


def _uses(node: ProtoMessage) -> set[str]:
    """Return the names that a node needs; graphs inside it see the names around them."""
    found, waiting = set(node.input), [node]
    while waiting:
        for attribute in waiting.pop().attribute:
            for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                found.update(name for inner in graph.node for name in inner.input)
                found.update(info.name for info in graph.output)
                waiting.extend(graph.node)
    return found


def _tensors(model: ProtoMessage) -> Iterator[ProtoMessage]:
    """Yield every tensor of a model, wherever the format allows one. Protobuf limits the nesting to 100."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)
        yield from _of_attributes(function.attribute_proto)
    for training in model.training_info:
        yield from _of_graph(training.initialization)
        yield from _of_graph(training.algorithm)


def _of_graph(graph: ProtoMessage) -> Iterator[ProtoMessage]:
    yield from graph.initializer
    yield from _of_sparse(graph.sparse_initializer)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: ProtoMessage) -> Iterator[ProtoMessage]:
    for node in nodes:
        yield from _of_attributes(node.attribute)


def _of_attributes(attributes: ProtoMessage) -> Iterator[ProtoMessage]:
    for attribute in attributes:
        yield attribute.t
        yield from attribute.tensors
        yield from _of_sparse([attribute.sparse_tensor, *attribute.sparse_tensors])
        if attribute.HasField("g"):
            yield from _of_graph(attribute.g)
        for graph in attribute.graphs:
            yield from _of_graph(graph)


def _of_sparse(tensors: ProtoMessage) -> Iterator[ProtoMessage]:
    for tensor in tensors:
        yield tensor.values
        yield tensor.indices


def _spec(info: ProtoMessage) -> TensorSpec:
    tensor = info.type.tensor_type
    kind = _TYPES.get(tensor.elem_type)
    if kind is None:
        raise ModelNotLoadable(f"{info.name[:80]!r} of the ONNX model is not a tensor of a type that can be served")
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(dim.dim_value if dim.WhichOneof("value") == "dim_value" else -1 for dim in tensor.shape.dim)
    return TensorSpec(name=info.name, dtype=kind, shape=shape)
