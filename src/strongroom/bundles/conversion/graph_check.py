"""Which operations of a graph are refused before any of them is built or run.

Pure: GraphDef in, an error out. Two reasons: an operation that TensorFlow itself does not have (a custom operation
needs a library, which is code), and one that runs Python or reaches files on its own (threats KD-01).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from strongroom.bundles.conversion.errors import ModelRunsCode, NotConvertible

FORBIDDEN: Final = {
    **dict.fromkeys(("PyFunc", "PyFuncStateless", "EagerPyFunc"), "runs Python"),
    **dict.fromkeys(("ReadFile", "MatchingFiles", "WholeFileReader", "WholeFileReaderV2", "FixedLengthRecordReader",
                     "FixedLengthRecordReaderV2", "TextLineReader", "TextLineReaderV2", "TFRecordReader",
                     "TFRecordReaderV2", "TextLineDataset", "TFRecordDataset", "FixedLengthRecordDataset",
                     "LoadDataset"), "reads files"),
    **dict.fromkeys(("WriteFile", "SaveDataset", "PrintV2"), "writes files"),
    **dict.fromkeys(("RemoteCall", "RemoteFusedGraphExecute", "RpcCall", "RpcClient", "RpcServer",
                     "DataServiceDataset"), "talks to other machines"),
}  # fmt: skip
VARIABLES: Final = frozenset({"Variable", "VariableV2", "VarHandleOp", "TemporaryVariable"})


def check_operations(graph_def: Any, known: Callable[[str], object]) -> None:  # noqa: ANN401  # a protobuf message
    """Raise ModelRunsCode or NotConvertible, naming the operation; `known` finds TensorFlow's own operations."""
    functions = {function.signature.name for function in graph_def.library.function}
    for node in nodes(graph_def):
        if node.op in FORBIDDEN:
            raise ModelRunsCode(f"the operation {node.name[:80]!r} ({node.op}) {FORBIDDEN[node.op]}")
        if node.op not in functions and not known(node.op):
            raise NotConvertible(f"the operation {node.name[:80]!r} is a {node.op[:80]}, unknown to TensorFlow",
                                 fix="Custom operations need a library, which is code; do without.")  # fmt: skip


def check_frozen(graph_def: Any) -> None:  # noqa: ANN401
    """Raise NotConvertible if the graph still has variables: their values are not in it."""
    for node in nodes(graph_def):
        if node.op in VARIABLES:
            raise NotConvertible(
                f"the graph is not frozen: {node.name[:80]!r} is a variable, whose value is not in the file",
                fix="Freeze the graph first, or convert the SavedModel or Keras file it came from.",
            )


def nodes(graph_def: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the nodes of a graph and of its functions."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def
