"""The one way to a model, for every front: choose a version, check the request in the interface's order, run.

Source: spec `model-server.md` section 3; the order of checks and the texts are part of the interface.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from strongroom.errors import StrongroomError
from strongroom.serving.batching import Outputs
from strongroom.serving.models.registry import Models, ModelVersions, Served
from strongroom.serving.requests.request_checks import check_method, check_names, chosen_outputs, decoded_inputs
from strongroom.serving.requests.tickets import Deadlines, Ticket, awaited, tell
from strongroom.serving.status import BadRequest, NotServed, SignatureNotFound, TooSlow
from strongroom.tfserving.datatypes import Array, DataType
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.predict_wire import PredictCall
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature
from strongroom.tfserving.status import VersionStatus
from strongroom.tfserving.tensors import Limits

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


Reply: TypeAlias = Callable[[Prediction | StrongroomError], None]


class Catalogue(Protocol):
    """The models of this server as requests find them."""

    def find(self, name: str, version: int | None) -> Served | None:
        """Return a version that can answer, the highest one for None."""

    def labelled(self, name: str, label: str) -> int:
        """Return the version that a label means. Raises BadRequest, or an Unreachable before labels are known."""

    def statuses(self, name: str) -> tuple[VersionStatus, ...]:
        """Return every version of a model that is known, highest first; nothing for an unknown model."""

    def names(self) -> tuple[str, ...]:
        """Return the models of this server."""

    @property
    def not_ready_reason(self) -> str | None:
        """Why not every model can answer, None where all can."""


class Dataplane:
    """The way to the models. Every method raises the errors of `status` and of `tfserving`."""

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        *,
        models: Mapping[str, ModelVersions] | None = None,
        limits: Limits | None = None,
        accepting: bool = False,
        check_method_names: bool = False,
    ) -> None:
        self.models = models or {}
        self.catalogue: Catalogue = catalogue or Models(self.models)
        self.limits = limits or Limits()
        self.accepting = accepting  # False while draining: what is running finishes
        self.check_method_names = check_method_names  # as --enable_signature_method_name_check says
        self.suspended: StrongroomError | None = None  # why no request is answered now, for instance a lost key lease
        self.in_flight = 0  # requests that were accepted and are not answered yet: waiting for a batch, or running
        self._deadlines = Deadlines()

    @property
    def ready(self) -> bool:
        """Whether every model has a version that can answer, and the server is not about to stop."""
        return self.not_ready_reason is None

    @property
    def not_ready_reason(self) -> str | None:
        """Why the server is not ready, for the operator; None where it is."""
        if self.suspended is not None:
            return self.suspended.sentence
        return self.catalogue.not_ready_reason if self.accepting else "the server does not take requests"

    def choose(self, query: Query) -> Served:
        """Return the version that a query means."""
        if self.suspended is not None:
            raise self.suspended.with_traceback(None)  # else it would remember every request it met
        if not query.name:
            raise BadRequest("ModelSpec has no name specified.")
        version = query.version if query.label is None else self.catalogue.labelled(query.name, query.label)
        served = self.catalogue.find(query.name, version)
        if served is None:
            wanted = f"Latest({query.name})" if version is None else f"Specific({query.name}, {version})"
            raise NotServed(f"Servable not found for request: {wanted}")
        return served

    def statuses(self, query: Query) -> tuple[VersionStatus, ...]:
        """Return the versions of a model, highest first; a label is ignored, as TensorFlow Serving does."""
        known = self.catalogue.statuses(query.name)
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

    def predict(self, call: PredictCall, reply: Reply, *, deadline: float | None = None) -> Ticket:
        """Answer a PredictRequest: `reply` is called once on the loop, unless the ticket is cancelled.

        `deadline` is a `loop.time()`. What is wrong with the request is raised at once.
        """
        known = call.memo.checked if call.memo is not None else None
        if isinstance(known, _Checked):
            served = self.choose(known.query)
            if served.signatures.get(known.name) is known.signature and call.arrays is not None:
                return self.start(served, known.name, call.arrays, known.outputs, reply, deadline=deadline)
        if call.model_spec is None:
            raise missing_spec()
        query = query_of(call.model_spec)
        served = self.choose(query)
        name = call.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = served.signatures.get(name)
        if signature is None:
            raise SignatureNotFound(f'Serving signature key "{name}" not found.')
        self.check_signature(signature)
        check_names(call.inputs, signature)
        outputs = chosen_outputs(call.output_filter, signature)
        inputs = decoded_inputs(call.inputs, signature, self.limits)
        if call.memo is not None and call.arrays is not None and call.arrays.keys() == signature.inputs.keys():
            call.memo.checked = _Checked(query, name, signature, outputs)
        return self.start(served, name, inputs, outputs, reply, deadline=deadline)

    def check_signature(self, signature: Signature) -> None:
        """Raise UnexpectedMethod where signatures are held to their methods and this one is for none."""
        if self.check_method_names:
            check_method(signature)

    async def predicted(self, call: PredictCall, *, timeout_s: float | None = None) -> Prediction:
        """Answer a PredictRequest: the awaitable twin of `predict`."""
        return await awaited(lambda reply: self.predict(call, reply, deadline=_deadline(timeout_s)))

    def start(
        self,
        served: Served,
        signature_name: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        reply: Reply,
        *,
        deadline: float | None = None,
        api: str = "Predict",
    ) -> Ticket:
        """Run a signature on arrays of its types; `reply`, `deadline` as of `predict`. Raises Overloaded, TooSlow.

        `api` is the metrics' word for what the run is for.
        """
        waiting = _Waiting(self, served, signature_name, outputs, reply)
        try:
            if deadline is not None:
                self._deadlines.add(asyncio.get_running_loop(), deadline, waiting)
            waiting.run = served.worker.submit(signature_name, inputs, outputs, waiting.finish, api=api)
        except StrongroomError:
            waiting.cancel()
            raise
        if waiting.over:  # it ran at once
            waiting.run = None
        return waiting

    async def run(
        self,
        served: Served,
        signature_name: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        *,
        timeout_s: float | None = None,
        api: str = "Predict",
    ) -> Prediction:
        """Run a signature and wait for it, at most `timeout_s` seconds: the awaitable twin of `start`."""
        return await awaited(
            lambda reply: self.start(
                served, signature_name, inputs, outputs, reply, deadline=_deadline(timeout_s), api=api
            )
        )


@dataclass(frozen=True, slots=True)
class _Checked:
    """What requests of one form were found to be, as long as the signature is this one."""

    query: Query
    name: str
    signature: Signature
    outputs: Sequence[str]


class _Waiting:
    """A request between its acceptance and its answer: the ticket that the fronts hold. It keeps nothing afterwards."""

    __slots__ = ("_counted_by", "_outputs", "_reply", "_served", "_signature_name", "run")

    def __init__(
        self, counted_by: Dataplane, served: Served, signature_name: str, outputs: Sequence[str], reply: Reply
    ) -> None:
        self._counted_by = counted_by
        counted_by.in_flight += 1
        self._served: Served | None = served
        self._signature_name, self._outputs = signature_name, outputs
        self._reply: Reply | None = reply
        self.run: Ticket | None = None

    @property
    def over(self) -> bool:
        """Whether it was answered or cancelled."""
        return self._reply is None

    def cancel(self) -> None:
        """Forget who asked."""
        if self._reply is not None:
            self._counted_by.in_flight -= 1
        self._reply = self._served = None
        run, self.run = self.run, None
        if run is not None:
            run.cancel()

    def expire(self, problem: TooSlow) -> None:
        """Answer that the deadline passed; a run that has not begun is not begun."""
        reply = self._reply
        self.cancel()
        if reply is not None:
            tell(reply, problem)

    def finish(self, outcome: Outputs | StrongroomError) -> None:
        """Answer with what the engine gave."""
        reply, served = self._reply, self._served
        self._reply = self._served = self.run = None
        if reply is None or served is None:
            return
        self._counted_by.in_flight -= 1
        if isinstance(outcome, StrongroomError):
            reply(outcome)
            return
        specs = served.signatures[self._signature_name].outputs
        results = {name: (specs[name].dtype, outcome[name]) for name in self._outputs}
        reply(Prediction(outputs=results, served=served, signature_name=self._signature_name))


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s


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
