"""TensorFlow as an engine: a SavedModel through the loader of TensorFlow 1, on the CPU, as TensorFlow Serving runs it.

Results, shapes and error texts are those of TensorFlow Serving: feeds go to the session as they are, without the static
shapes that `Session.run` would enforce. The private call that does so is looked for once; where a TensorFlow does not
have it, `Session.run` takes its place. Source: spec `model-server.md` section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from strongroom.errors import StrongroomError
from strongroom.serving.engines.base import EngineOptions, ModelNotLoadable, has_batches, threads_text
from strongroom.serving.engines.files import ModelFiles
from strongroom.serving.engines.tensorflow_files import saved_model_place
from strongroom.serving.engines.tensorflow_runtime import tensorflow
from strongroom.serving.status import BadRequest, EngineFailed, ModelFailed
from strongroom.tfserving import saved_model
from strongroom.tfserving.codes import Code
from strongroom.tfserving.datatypes import STORAGE, Array, DataType, type_of_array
from strongroom.tfserving.signatures import Signature, TensorSpec

_Run = Callable[[dict[Any, Array], list[Any]], list[Any]]
_FIX: Final = "Export the model for a CPU, with TensorFlow of this version or older, and publish it again."


class TensorFlowEngine:
    """A session, and the signatures of the graph with the tags that were asked for.

    Raises BadSavedModel before TensorFlow is imported, EngineMissing without it, ModelNotLoadable.
    """

    runtime = "TF1"
    stateless = False  # a graph may have variables that a run changes
    concurrent = True

    def __init__(self, files: ModelFiles, options: EngineOptions) -> None:
        self._signatures = dict(
            saved_model.meta_graph(files.read(saved_model.FILE), options.saved_model_tags).signatures
        )
        self._tf: Any = tensorflow()
        self._session: Any = self._load(files, options)
        self._run, feeds = _runner(self._session)
        self._inputs, self._outputs = {}, {}
        for name, signature in self._signatures.items():
            self._inputs[name] = {key: feeds(spec) for key, spec in signature.inputs.items()}
            self._outputs[name] = {key: feeds(spec) for key, spec in signature.outputs.items()}
        self._stored_otherwise = _stored_otherwise(self._tf, _kinds(self._signatures))
        self.description = f"TensorFlow {self._tf.__version__}, {threads_text(options)}"

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The signatures of the graph, with their names."""
        return self._signatures

    def batchable(self, signature: str) -> bool:
        """Return whether every input of a signature has a first dimension."""
        return has_batches(self._signatures[signature])

    def run(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Run the graph as far as `outputs` needs it; its state is the session's."""
        specs, given, wanted = self._signatures[signature], self._inputs[signature], self._outputs[signature]
        feeds = {}
        for index, (name, array) in enumerate(inputs.items()):
            feeds[_known(given[name], name)] = self._to_tensorflow(index, array, specs.inputs[name].dtype)
        fetches = [_known(wanted[name], name) for name in outputs]
        try:
            results = self._run(feeds, fetches)
        except self._tf.errors.OpError as problem:
            raise _as_served(problem.message, problem.error_code) from None
        except UnicodeDecodeError as problem:  # its bytes are the text: an operation quoted a part of the request
            raise BadRequest(str(problem.object, "utf-8", "replace")) from None
        except Exception as problem:  # noqa: BLE001  # anything else is a defect of the binding, and names its insides
            raise EngineFailed(f"the model could not be run on this request ({type(problem).__name__})") from None
        return {
            name: self._from_tensorflow(result, specs.outputs[name].dtype)
            for name, result in zip(outputs, results, strict=True)
        }

    def close(self) -> None:
        """Free the session and what it holds."""
        self._session.close()
        self._session = self._run = None  # type: ignore[assignment]  # it is not run again
        self._inputs, self._outputs = {}, {}

    def _load(self, files: ModelFiles, options: EngineOptions) -> Any:  # noqa: ANN401  # a lazy module's class
        v1 = self._tf.compat.v1
        config = v1.ConfigProto(
            intra_op_parallelism_threads=options.intra_op_threads,
            inter_op_parallelism_threads=options.inter_op_threads,
            allow_soft_placement=False,  # a model for a GPU fails here, as in TensorFlow Serving, and not at a request
        )
        graph = self._tf.Graph()
        session = v1.Session(graph=graph, config=config)
        try:
            with graph.as_default(), saved_model_place(self._tf, files) as place:
                v1.saved_model.loader.load(session, sorted(options.saved_model_tags), place)
        except StrongroomError:
            session.close()
            raise
        except Exception as problem:  # noqa: BLE001  # the loader raises whatever its parts raise
            session.close()
            sealed = files.folder is None  # then the text, which names nodes, stays inside
            said = type(problem).__name__ if sealed else _last_words(str(problem))
            raise ModelNotLoadable(f"TensorFlow does not load the model: {said}", fix=_FIX) from None
        return session

    def _to_tensorflow(self, index: int, array: Array, kind: DataType) -> Array:
        """Return an array as TensorFlow's binding takes it: no type is converted on the way, none silently."""
        storage = STORAGE[kind].dtype
        if array.dtype.kind == "O":  # strings: the graph says what it takes, which old signatures state wrongly
            return array
        if array.dtype != storage:
            sent = type_of_array(array).word
            raise BadRequest(f"Expects arg[{index}] to be {kind.word} but {sent} is provided")
        other = self._stored_otherwise.get(kind)
        return array if other is None else np.ascontiguousarray(array).view(other)

    def _from_tensorflow(self, result: Any, kind: DataType) -> Array:  # noqa: ANN401  # arrays, and scalars of rank 0
        if kind is DataType.DT_STRING:
            return np.asarray(result, object)
        array = np.asarray(result)
        return array if kind not in self._stored_otherwise else array.view(STORAGE[kind].dtype)


def _runner(session: Any) -> tuple[_Run, Callable[[TensorSpec], Any]]:  # noqa: ANN401  # TensorFlow's session
    """Return how to run, and how a tensor is named for that; one that is not in the graph is None."""
    graph = session.graph
    direct, extend = getattr(session, "_call_tf_sessionrun", None), getattr(session, "_extend_graph", None)

    def find(spec: TensorSpec) -> Any:  # noqa: ANN401  # a tensor of the graph
        try:
            return graph.get_tensor_by_name(spec.name)
        except (KeyError, ValueError):
            return None

    if direct is None or extend is None:
        return (
            lambda feeds, fetches: session.run(fetches, feeds)
        ), lambda spec: spec.name if find(spec) is not None else None

    def handle(spec: TensorSpec) -> Any:  # noqa: ANN401  # a tensor as the binding knows it
        found = find(spec)
        return None if found is None else found._as_tf_output()  # noqa: SLF001  # no public way keeps shapes free

    extend()
    return (lambda feeds, fetches: direct(None, feeds, fetches, [], None)), handle


def _known(handle: Any, alias: str) -> Any:  # noqa: ANN401  # a handle
    if handle is None:
        raise BadRequest(f"the signature's {alias!r} is no tensor of the graph")
    return handle


def _as_served(text: str, code: int) -> StrongroomError:
    if code == Code.INVALID_ARGUMENT:
        return BadRequest(text)
    known = code in Code.__members__.values() and code != Code.OK
    return ModelFailed(text, status=Code(code) if known else Code.UNKNOWN)


def _stored_otherwise(tf: Any, kinds: Iterable[DataType]) -> dict[DataType, np.dtype[Any]]:  # noqa: ANN401  # lazy
    """Return TensorFlow's numpy types where requests are decoded to others: bfloat16, 8-bit floats, quantised ones."""
    found: dict[DataType, np.dtype[Any]] = {}
    for kind in kinds:
        try:
            theirs = np.dtype(tf.dtypes.as_dtype(int(kind)).as_numpy_dtype)
        except TypeError:  # a type that this TensorFlow does not know: its graph cannot have it either
            continue
        if kind is not DataType.DT_STRING and theirs != STORAGE[kind].dtype:
            found[kind] = theirs
    return found


def _kinds(signatures: Mapping[str, Signature]) -> set[DataType]:
    return {
        spec.dtype for each in signatures.values() for side in (each.inputs, each.outputs) for spec in side.values()
    }


def _last_words(text: str) -> str:
    """Return the last line of substance: the loader wraps what went wrong into general advice and a trace."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("[[")]
    return (lines[-1] if lines else "no reason given")[:600]
