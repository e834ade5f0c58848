"""A model loaded into a TensorFlow session: the same way, whatever it was, as TensorFlow Serving loads it.

World: owns a session. A frozen GraphDef is imported with its inputs fixed to shapes and constants where asked; a
SavedModel goes through the v1 loader, after its operations were looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.bundles.conversion import graph_check, tools
from strongroom.bundles.conversion.errors import ConversionUnproved, ModelTooLarge, NotConvertible
from strongroom.bundles.conversion.signatures import ModelSignature, Port, Signatures
from strongroom.bundles.conversion.source import PROTOBUF_LIMIT_BYTES
from strongroom.bundles.engines import SAVED_MODEL_FILE

Arrays = Mapping[str, NDArray[Any]]
SERVE_TAG: Final = "serve"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in a session: its graph, its signatures by name, and how to run one of them."""

    graph: Any
    session: Any
    signatures: Signatures

    def run(self, signature: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by alias. Raises ConversionUnproved if the graph does not take these inputs."""
        wanted = self.signatures[signature]
        feeds = {port.tensor: inputs[alias] for alias, port in wanted.inputs.items()}
        fetches = {alias: port.tensor for alias, port in wanted.outputs.items()}
        try:
            outputs: dict[str, NDArray[Any]] = self.session.run(fetches, feeds)
        except (ValueError, TypeError, tools.tensorflow().errors.OpError) as problem:
            raise ConversionUnproved(f"{signature!r} does not run: {first_line(problem)}") from None
        return {alias: np.asarray(value) for alias, value in outputs.items()}


def first_line(problem: Exception) -> str:
    """Return what an error of TensorFlow says, without its page of stack."""
    message = str(getattr(problem, "message", "") or problem).strip()
    lines = [line for line in message.splitlines() if line.strip() and not line.startswith("Graph execution error")]
    return (lines[0] if lines else type(problem).__name__)[:300]


@contextmanager
def saved_model(folder: Path) -> Iterator[Loaded]:
    """Lend the SavedModel in `folder`. Raises NotConvertible, ModelRunsCode."""
    tf = tools.tensorflow()
    signatures = _signatures_in(read_meta_graph(folder))
    graph = tf.Graph()
    with _session(graph) as session:
        with graph.as_default(), tools.quiet():
            try:
                tf.compat.v1.saved_model.load(session, [SERVE_TAG], str(folder))
            except (ValueError, TypeError, KeyError, OSError, RuntimeError, tf.errors.OpError) as problem:
                raise NotConvertible(f"{folder} cannot be loaded: {first_line(problem)}") from None
        yield Loaded(graph, session, signatures)


def _signatures_in(meta_graph: Any) -> dict[str, ModelSignature]:  # noqa: ANN401  # a protobuf message
    """Return the signatures for clients, after a look at every operation."""
    check_known(meta_graph.graph_def)
    return {
        name: _signature(name, definition)
        for name, definition in sorted(meta_graph.signature_def.items())
        if not name.startswith("__")
    }


def read_meta_graph(folder: Path) -> Any:  # noqa: ANN401  # a protobuf message
    """Return the graph of a SavedModel that is for serving. Raises NotConvertible, ModelTooLarge."""
    for candidate in read_saved_model(folder).meta_graphs:
        if SERVE_TAG in candidate.meta_info_def.tags:
            for asset in candidate.asset_file_def:
                if Path(asset.filename).name != asset.filename:
                    raise NotConvertible(f"the asset {asset.filename[:80]!r} lies outside the model")
            return candidate
    raise NotConvertible(f"{folder} holds no graph tagged {SERVE_TAG!r}", fix="Export the model for serving.")


def read_saved_model(folder: Path) -> Any:  # noqa: ANN401
    """Return the parsed saved_model.pb. Raises NotConvertible, ModelTooLarge."""
    tools.tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        return saved_model_pb2.SavedModel.FromString(read_message(folder / SAVED_MODEL_FILE))
    except DecodeError:
        raise NotConvertible(f"{folder / SAVED_MODEL_FILE} is not a SavedModel, or only a part of one") from None


def read_message(path: Path) -> bytes:
    """Return the bytes of a protobuf file. Raises ModelTooLarge."""
    size = path.stat().st_size
    if size > PROTOBUF_LIMIT_BYTES:
        raise ModelTooLarge(f"{path} has {size / 1e9:.1f} GB; one message has at most 2 GiB")
    return path.read_bytes()


def check_known(graph_def: Any) -> None:  # noqa: ANN401
    """Refuse operations that TensorFlow does not have, and those that run code or reach files."""
    from tensorflow.python.framework import op_def_registry

    graph_check.check_operations(graph_def, op_def_registry.get)


@contextmanager
def _session(graph: Any) -> Iterator[Any]:  # noqa: ANN401
    v1 = tools.tensorflow().compat.v1
    config = v1.ConfigProto(device_count={"GPU": 0}, allow_soft_placement=True)
    session = v1.Session(graph=graph, config=config)
    try:
        yield session  # not as TensorFlow's default session: Keras runs beside it, eagerly
    finally:
        session.close()


@contextmanager
def graph_with(graph_def: Any, signatures: Signatures) -> Iterator[Loaded]:  # noqa: ANN401
    """Lend a graph that holds all its values, under `signatures`."""
    tf = tools.tensorflow()
    graph = tf.Graph()
    with _session(graph) as session:
        with graph.as_default(), tools.quiet(), building():
            tf.import_graph_def(graph_def, name="")
        del graph_def  # weights are large, and the graph has them now
        yield Loaded(graph, session, signatures)


def _signature(name: str, definition: Any) -> ModelSignature:  # noqa: ANN401
    for alias, info in (*definition.inputs.items(), *definition.outputs.items()):
        if info.WhichOneof("encoding") != "name":
            raise NotConvertible(f"{alias[:80]!r} of the signature {name!r} is sparse or composite, no plain tensor",
                                 fix="Export a signature of plain tensors; sparse ones cannot be served.")  # fmt: skip
    return ModelSignature(
        method_name=definition.method_name,
        inputs={alias: _port_of(info) for alias, info in sorted(definition.inputs.items())},
        outputs={alias: _port_of(info) for alias, info in sorted(definition.outputs.items())},
    )


def _port_of(info: Any) -> Port:  # noqa: ANN401
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return Port(info.name, tools.tensorflow().dtypes.as_dtype(info.dtype).base_dtype.name, shape)


def port_of_tensor(tensor: Any) -> Port:  # noqa: ANN401
    """Return a tensor of a graph as a port."""
    rank = tensor.shape.rank
    shape = None if rank is None else tuple(-1 if size is None else size for size in tensor.shape.as_list())
    return Port(tensor.name, tensor.dtype.base_dtype.name, shape)


def port_named(graph: Any, name: str, others: Sequence[str]) -> Port:  # noqa: ANN401
    """Return the tensor `name` (`x` means `x:0`) as a port. Raises NotConvertible with what is there instead."""
    full = name if ":" in name else f"{name}:0"
    try:
        return port_of_tensor(graph.get_tensor_by_name(full))
    except (KeyError, ValueError):
        raise NotConvertible(f"the graph has no tensor {full[:80]!r}; likely ones: {', '.join(others)[:300] or 'none'}",
                             fix="Name tensors of the graph with --inputs and --outputs.") from None  # fmt: skip


@contextmanager
def building() -> Iterator[None]:
    """Turn what TensorFlow says about a graph that it cannot build into NotConvertible."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RuntimeError, tools.tensorflow().errors.OpError) as problem:
        raise NotConvertible(f"the graph cannot be built: {first_line(problem)}") from None
