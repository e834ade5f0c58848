"""The one way to a model, for every front: choose a version, check the request in the interface's order, run.

Source: spec `model-server.md` section 3; the order of checks and the texts are part of the interface.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from strongroom.serving.engines.worker import Outputs
from strongroom.serving.registry import ModelVersions, Served
from strongroom.serving.status import BadRequest, NotServed, SignatureNotFound, TooSlow
from strongroom.tfserving.datatypes import Array, DataType
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.predict_wire import PredictCall, WireTensor
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature
from strongroom.tfserving.status import VersionStatus
from strongroom.tfserving.tensors import Limits, dtype_word

Results = Mapping[str, tuple[DataType, Array]]
METADATA_FIELD: Final = "signature_def"


@dataclass(frozen=True, slots=True)
class Query:
    """Which model a request is for: by version, by label, or the highest version."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The outputs of a run, and which signature of which version ran."""

    outputs: Results
    served: Served
    signature_name: str


@dataclass(slots=True, kw_only=True)
class Dataplane:
    """The models of this server. Every method raises the errors of `status` and of `tfserving`."""

    models: Mapping[str, ModelVersions] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    accepting: bool = False  # False while draining: what is running finishes

    @property
    def ready(self) -> bool:
        """Whether every model has a version that can answer, and the server is not about to stop."""
        return self.accepting and all(model.available for model in self.models.values())

    def choose(self, query: Query) -> Served:
        """Return the version that a query means."""
        if not query.name:
            raise BadRequest("ModelSpec has no name specified.")
        if query.label is not None:
            raise BadRequest(f"Unrecognized servable version label: {query.label}")
        model = self.models.get(query.name)
        served = model.find(query.version) if model else None
        if served is None:
            wanted = f"Latest({query.name})" if query.version is None else f"Specific({query.name}, {query.version})"
            raise NotServed(f"Servable not found for request: {wanted}")
        return served

    def statuses(self, query: Query) -> tuple[VersionStatus, ...]:
        """Return the versions of a model, highest first; a label is ignored, as TensorFlow Serving does."""
        model = self.models.get(query.name)
        known = model.statuses() if model else ()
        if query.version is not None:
            known = tuple(status for status in known if status.version == query.version)
            if not known:
                raise NotServed(f"Could not find version {query.version} of model {query.name}")
        if not known:
            raise NotServed(f"Could not find any versions of model {query.name}")
        return known

    def check_metadata_fields(self, fields: Sequence[str]) -> None:
        """Raise unless metadata of a known kind is asked for."""
        if not fields:
            raise BadRequest("GetModelMetadataRequest must specify at least one metadata_field")
        for name in fields:
            if name != METADATA_FIELD:
                raise BadRequest(f"Metadata field {name} is not supported")

    async def predict(self, call: PredictCall, *, timeout_s: float | None = None) -> Prediction:
        """Answer a PredictRequest."""
        if call.model_spec is None:
            raise missing_spec()
        served = self.choose(query_of(call.model_spec))
        name = call.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = served.signatures.get(name)
        if signature is None:
            raise SignatureNotFound(f'Serving signature key "{name}" not found.')
        _check_names(call.inputs, signature)
        outputs = chosen_outputs(call.output_filter, signature)
        inputs = self._decode(call.inputs, signature)
        return await self.run(served, name, inputs, outputs, timeout_s=timeout_s)

    async def run(
        self,
        served: Served,
        signature_name: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        *,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Run a signature on arrays of its types; wait at most `timeout_s` seconds."""
        answer = served.worker.submit(signature_name, inputs, outputs)
        if timeout_s is not None:
            timer = asyncio.get_running_loop().call_later(timeout_s, _give_up, answer, timeout_s)
            answer.add_done_callback(lambda _: timer.cancel())
        arrays = await answer
        specs = served.signatures[signature_name].outputs
        results = {name: (specs[name].dtype, arrays[name]) for name in outputs}
        return Prediction(outputs=results, served=served, signature_name=signature_name)

    def _decode(self, tensors: Mapping[str, WireTensor], signature: Signature) -> dict[str, Array]:
        for index, (name, spec) in enumerate(signature.inputs.items()):
            if tensors[name].dtype != spec.dtype:
                sent = dtype_word(tensors[name].dtype)
                raise BadRequest(f"Expects arg[{index}] to be {spec.dtype.word} but {sent} is provided")
        return {name: tensors[name].array(self.limits) for name in signature.inputs}


def _give_up(answer: asyncio.Future[Outputs], timeout_s: float) -> None:
    """End a wait; a run that has not begun is not begun."""
    if not answer.done():
        answer.set_exception(TooSlow(f"the model did not answer within {timeout_s:g} s"))


def missing_spec() -> BadRequest:
    """Return the refusal of a request without a ModelSpec."""
    return BadRequest("Missing ModelSpec")


def query_of(spec: ProtoMessage) -> Query:
    """Return what a ModelSpec asks for."""
    choice = spec.WhichOneof("version_choice")
    return Query(
        spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


def _check_names(sent: Iterable[str], signature: Signature) -> None:
    names, wanted = set(sent), set(signature.inputs)
    if len(names) != len(wanted):
        raise BadRequest(
            f"input size does not match signature: {len(names)}!={len(wanted)} len({_set(names)}) != "
            f"len({_set(wanted)}). Sent extra: {_set(names - wanted)}. Missing but required: {_set(wanted - names)}."
        )
    for name in sorted(names - wanted):
        raise BadRequest(
            f"input tensor alias not found in signature: {name}. Inputs expected to be in the set {_set(wanted)}."
        )


def chosen_outputs(output_filter: Sequence[str], signature: Signature) -> list[str]:
    """Return the outputs to compute: those of the filter, or all."""
    if not output_filter:
        return list(signature.outputs)
    seen: list[str] = []
    for name in output_filter:
        if name not in signature.outputs:
            raise BadRequest(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_set(signature.outputs)}."
            )
        if name in seen:
            raise BadRequest(f"duplicate output tensor alias: {name}")
        seen.append(name)
    return seen


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
