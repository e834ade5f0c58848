"""Classify, Regress and MultiInference: Examples in, labels, scores or values out, over the dataplane.

Messages in, messages out; the fronts know how they travel. Source: spec `model-server.md` section 3; the order of
checks and the texts are part of the interface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.serving.models.registry import Served
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.dataplane import Dataplane, missing_spec, query_of
from strongroom.serving.status import BadRequest, NotOffered
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.examples import serialized_examples, string_vector
from strongroom.tfserving.inference import (
    INPUTS,
    classification_outputs,
    classification_result,
    regression_outputs,
    regression_result,
)
from strongroom.tfserving.messages import ClassificationResponse, ModelSpec, MultiInferenceResponse, RegressionResponse
from strongroom.tfserving.signatures import CLASSIFY_METHOD, DEFAULT_SIGNATURE, REGRESS_METHOD, Signature


@dataclass(frozen=True, slots=True)
class _Kind:
    """How classification and regression differ."""

    choose_outputs: Callable[..., Sequence[str]]
    result: Callable[..., ProtoMessage]
    field: str  # of an InferenceResult
    api: str  # the metrics' word


_CLASSIFY: Final = _Kind(classification_outputs, classification_result, "classification_result", "Classify")
_REGRESS: Final = _Kind(regression_outputs, regression_result, "regression_result", "Regress")
_KINDS: Final = {CLASSIFY_METHOD: _CLASSIFY, REGRESS_METHOD: _REGRESS}


@dataclass(frozen=True, slots=True)
class _Task:
    """A checked task: which signature of which version runs, for which outputs."""

    kind: _Kind
    served: Served
    spec: ProtoMessage
    outputs: Sequence[str]

    @property
    def signature_name(self) -> str:
        return self.spec.signature_name or DEFAULT_SIGNATURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """Answers requests that carry Examples. Every method raises the errors of `status` and of `tfserving`."""

    dataplane: Dataplane
    metrics: Metrics

    async def classify(self, request: ProtoMessage, *, timeout_s: float | None = None) -> ProtoMessage:
        """Answer a ClassificationRequest."""
        task = self._task(request, _CLASSIFY)
        response = ClassificationResponse(model_spec=_spec_of(task))
        response.result.CopyFrom(await self._run(task, serialized_examples(request.input), timeout_s))
        return response

    async def regress(self, request: ProtoMessage, *, timeout_s: float | None = None) -> ProtoMessage:
        """Answer a RegressionRequest."""
        task = self._task(request, _REGRESS)
        response = RegressionResponse(model_spec=_spec_of(task))
        response.result.CopyFrom(await self._run(task, serialized_examples(request.input), timeout_s))
        return response

    async def multi(self, request: ProtoMessage, *, timeout_s: float | None = None) -> ProtoMessage:
        """Answer a MultiInferenceRequest: results in the order of its tasks, each fed the same examples."""
        tasks = self._tasks(request)
        examples = serialized_examples(request.input)
        response = MultiInferenceResponse()
        for task in tasks:
            result = await self._run(task, examples, timeout_s, counted=task is tasks[0])
            row = response.results.add(model_spec=_spec_of(task))
            getattr(row, task.kind.field).CopyFrom(result)
        return response

    def _task(self, request: ProtoMessage, kind: _Kind) -> _Task:
        if not request.HasField("model_spec"):
            raise missing_spec()
        served = self.dataplane.choose(query_of(request.model_spec))
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = served.signatures.get(name)
        if signature is None:
            raise BadRequest(f"No signature was found with the name: {name}")
        return self._checked(_Task(kind, served, request.model_spec, ()), signature)

    def _tasks(self, request: ProtoMessage) -> list[_Task]:
        first = request.tasks[0].model_spec if request.tasks else ModelSpec()
        served = self.dataplane.choose(query_of(first))
        tasks: list[_Task] = []
        for asked in request.tasks:
            spec = asked.model_spec
            name = spec.signature_name or DEFAULT_SIGNATURE
            if not spec.name:
                raise BadRequest("Found ModelSpec with an empty model name.")
            if spec.name != first.name:
                raise BadRequest("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
            if any(task.signature_name == name for task in tasks):
                raise BadRequest(f"Duplicate evaluation of signature: {name}")
            signature = served.signatures.get(name)
            if signature is None:
                raise BadRequest(f"Requested signature not found in model graph: {name}")
            kind = _KINDS.get(asked.method_name)
            if kind is None:
                raise NotOffered(f"Unsupported signature method_name: {asked.method_name}")
            tasks.append(self._checked(_Task(kind, served, spec, ()), signature))
        return tasks

    def _checked(self, task: _Task, signature: Signature) -> _Task:
        outputs = task.kind.choose_outputs(signature, check_method=self.dataplane.check_method_names)
        return _Task(task.kind, task.served, task.spec, outputs)

    async def _run(
        self, task: _Task, examples: Sequence[bytes], timeout_s: float | None, *, counted: bool = True
    ) -> ProtoMessage:
        prediction = await self.dataplane.run(
            task.served, task.signature_name, {INPUTS: string_vector(examples)}, task.outputs,
            timeout_s=timeout_s, api=task.kind.api,
        )  # fmt: skip
        if counted:
            self.metrics.count_examples(task.served.name, len(examples))
        return task.kind.result(prediction.outputs, len(examples))


def _spec_of(task: _Task) -> ProtoMessage:
    """Return the ModelSpec of an answer: which signature of which version ran."""
    spec = ModelSpec(name=task.served.name, signature_name=task.signature_name)
    spec.version.value = task.served.version
    return spec
