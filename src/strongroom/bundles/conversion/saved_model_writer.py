"""Write a SavedModel: from a graph that holds all its values, or as a copy of one with the signatures chosen.

World: writes into a folder handed in. A frozen graph becomes one file without a variables folder, as the reference
solution's; a copy keeps variables and assets byte for byte.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from strongroom.bundles.conversion import loaded, tools
from strongroom.bundles.conversion.errors import ModelTooLarge
from strongroom.bundles.conversion.signatures import Port, Signatures
from strongroom.bundles.conversion.source import PROTOBUF_LIMIT_BYTES, Source
from strongroom.bundles.engines import SAVED_MODEL_FILE

SCHEMA_VERSION: Final = 1
INIT_SIGNATURE: Final = "__"  # names that begin so are TensorFlow's own (main op, train op)


def write_frozen(model: loaded.Loaded, folder: Path) -> None:
    """Write the graph of `model` and its signatures as `folder`/saved_model.pb. Raises ModelTooLarge."""
    tf = tools.tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel(saved_model_schema_version=SCHEMA_VERSION)
    meta_graph = message.meta_graphs.add()
    meta_graph.meta_info_def.tags.append(loaded.SERVE_TAG)
    meta_graph.meta_info_def.tensorflow_version = tf.__version__
    meta_graph.graph_def.CopyFrom(model.graph.as_graph_def())
    for name, signature in model.signatures.items():
        definition = meta_graph.signature_def[name]
        definition.method_name = signature.method_name
        for ports, infos in ((signature.inputs, definition.inputs), (signature.outputs, definition.outputs)):
            for alias, port in ports.items():
                _describe(infos[alias], port)
    size = message.ByteSize()
    if size > PROTOBUF_LIMIT_BYTES:
        raise ModelTooLarge(f"the graph with its values has {size / 1e9:.1f} GB; one message has at most 2 GiB")
    (folder / SAVED_MODEL_FILE).write_bytes(message.SerializeToString(deterministic=True))


def _describe(info: Any, port: Port) -> None:  # noqa: ANN401  # a protobuf message
    tf = tools.tensorflow()
    info.name = port.tensor
    info.dtype = tf.dtypes.as_dtype(port.dtype).as_datatype_enum
    sizes = None if port.shape is None else [None if size < 0 else size for size in port.shape]
    info.tensor_shape.CopyFrom(tf.TensorShape(sizes).as_proto())


def copy(source: Source, folder: Path, signatures: Signatures) -> None:
    """Copy the SavedModel `source` to `folder`, without the signatures that are not among `signatures`."""
    for name, path in source.files().items():
        if name != SAVED_MODEL_FILE:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name, follow_symlinks=False)
    message = loaded.read_saved_model(source.path)
    dropped = 0
    for meta_graph in message.meta_graphs:
        for name in [name for name in meta_graph.signature_def if not name.startswith(INIT_SIGNATURE)]:
            if name not in signatures:
                del meta_graph.signature_def[name]
                dropped += 1
    if dropped:
        (folder / SAVED_MODEL_FILE).write_bytes(message.SerializeToString(deterministic=True))
    else:
        shutil.copyfile(source.path / SAVED_MODEL_FILE, folder / SAVED_MODEL_FILE, follow_symlinks=False)
