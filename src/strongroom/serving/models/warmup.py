"""What is done with a model between loading it and serving it: its warm-up file is replayed, its MLMD identifier noted.

The first requests of a model are slow: memory is allocated, kernels are chosen. A version may carry requests of its own
for that, which run before it turns AVAILABLE. They are checked as a client's are, and one that fails fails the version.
Source: spec `model-server.md` sections 8 and 9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import BadInput, StrongroomError
from strongroom.serving.engines import Engine, ModelFiles
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.request_checks import check_names, chosen_outputs, decoded_inputs
from strongroom.serving.status import BadRequest, code_of
from strongroom.tfserving.codes import Code
from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.examples import serialized_examples, string_vector
from strongroom.tfserving.inference import INPUTS, classification_outputs, regression_outputs
from strongroom.tfserving.messages import BadMessage, PredictionLog, parse
from strongroom.tfserving.predict_wire import parse_predict
from strongroom.tfserving.saved_model import MLMD_FILE
from strongroom.tfserving.signatures import CLASSIFY_METHOD, DEFAULT_SIGNATURE, REGRESS_METHOD, Signature
from strongroom.tfserving.tensors import Limits
from strongroom.tfserving.tfrecord import BadRecordFile, read_records

WARMUP_FILE: Final = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS: Final = 1000
MAX_UUID_BYTES: Final = 128
_LIMITS: Final = Limits()


class BadWarmup(BadInput):
    """A version's warm-up file cannot be used, or one of its requests failed."""

    code = "SR-WARMUP"
    fix = "Correct assets.extra/tf_serving_warmup_requests, remove it, or start with --enable_model_warmup=false."


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How models are prepared; `iterations` is how often each warm-up request runs, 0 = warm-up is off."""

    metrics: Metrics
    iterations: int = 1

    def prepare(self, engine: Engine, files: ModelFiles, *, model: str, version: int, path: str) -> None:
        """Make a loaded model ready; `path` is for metrics. Raises BadWarmup, BadRecordFile, or what `files` raise."""
        paths = files.paths
        if MLMD_FILE in paths and (uuid := _uuid(files.read(MLMD_FILE))):
            self.metrics.set_mlmd(model, version, uuid)
        if not self.iterations or WARMUP_FILE not in paths:
            return
        began, status, done = time.monotonic(), Code.OK, 0
        try:
            for number, record in enumerate(_records(files, path), 1):
                _replay(engine, record, number, self.iterations)
                done = number
        except StrongroomError as problem:
            status = code_of(problem)
            raise
        finally:
            self.metrics.count_warmup_records(path, status, done)
            self.metrics.observe_warmup(path, status, (time.monotonic() - began) * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of the engine that a record asks for."""

    signature: str
    inputs: Mapping[str, Array]
    outputs: Sequence[str]


def _records(files: ModelFiles, path: str) -> Sequence[memoryview]:
    """Return the records of a version's warm-up file; all of them hold before the first one runs."""
    records: list[memoryview] = []
    try:
        for record in read_records(files.read(WARMUP_FILE)):
            if len(records) == MAX_RECORDS:
                raise BadWarmup(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}/{WARMUP_FILE}")
            records.append(record)
    except BadRecordFile as problem:
        raise BadRecordFile(f"{problem.sentence}. Please verify your warmup data is in TFRecord format.") from None
    return records


def _replay(engine: Engine, record: memoryview, number: int, iterations: int) -> None:
    try:
        log = parse(PredictionLog, bytes(record))
    except BadMessage:
        raise BadWarmup(f"Failed to parse warmup record: number {number}, of {len(record)} bytes") from None
    try:
        runs = _runs(log, engine.signatures)
        for _ in range(iterations):
            for run in runs:
                engine.run(run.signature, run.inputs, run.outputs)
    except BadWarmup:
        raise
    except StrongroomError as problem:
        raise BadWarmup(f"warmup record {number} failed: {problem.sentence}") from None


def _runs(log: ProtoMessage, signatures: Mapping[str, Signature]) -> list[_Run]:
    """Return what a record asks for; its model is the one that is being loaded, whatever it says."""
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        return [_predict(log.predict_log.request, signatures)]
    if kind == "classify_log":
        return [
            _infer(
                log.classify_log.request.model_spec, log.classify_log.request.input, classification_outputs, signatures
            )
        ]
    if kind == "regress_log":
        return [
            _infer(log.regress_log.request.model_spec, log.regress_log.request.input, regression_outputs, signatures)
        ]
    if kind == "multi_inference_log":
        request = log.multi_inference_log.request
        return [
            _infer(task.model_spec, request.input, _outputs_of(task.method_name), signatures) for task in request.tasks
        ]
    raise BadWarmup(f"Unsupported log_type for warmup: {kind or 'none'}")


def _predict(request: ProtoMessage, signatures: Mapping[str, Signature]) -> _Run:
    name, signature = _signature(request.model_spec, signatures)
    call = parse_predict(request.SerializeToString())
    check_names(call.inputs, signature)
    inputs = decoded_inputs(call.inputs, signature, _LIMITS)
    return _Run(signature=name, inputs=inputs, outputs=chosen_outputs(call.output_filter, signature))


def _infer(
    spec: ProtoMessage,
    given: ProtoMessage,
    choose: Callable[..., Sequence[str]],
    signatures: Mapping[str, Signature],
) -> _Run:
    name, signature = _signature(spec, signatures)
    outputs = choose(signature, check_method=False)
    return _Run(signature=name, inputs={INPUTS: string_vector(serialized_examples(given))}, outputs=outputs)


def _signature(spec: ProtoMessage, signatures: Mapping[str, Signature]) -> tuple[str, Signature]:
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise BadRequest(f'Serving signature key "{name}" not found.')
    return name, signatures[name]


def _outputs_of(method: str) -> Callable[..., Sequence[str]]:
    known = {CLASSIFY_METHOD: classification_outputs, REGRESS_METHOD: regression_outputs}
    if method not in known:
        raise BadRequest(f"Unsupported signature method_name: {method}")
    return known[method]


def _uuid(data: bytes) -> str:
    """Return an MLMD identifier: one line of printable characters, or nothing."""
    text = data[:MAX_UUID_BYTES].decode("ascii", "replace").strip()
    return text if text.isprintable() else ""
