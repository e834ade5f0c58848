"""The checks of Predict, metadata and status, in the interface's order and words."""

import asyncio
import threading

import numpy as np
import pytest

from strongroom.errors import BadInput, Refused, StrongroomError, Tampered, Unreachable
from strongroom.serving.batching import ModelRunner
from strongroom.serving.models.registry import ModelVersions, Served, _Life
from strongroom.serving.requests.dataplane import Dataplane, Query
from strongroom.serving.status import (
    BadRequest,
    ClientNotAuthenticated,
    EngineFailed,
    NotOffered,
    NotServed,
    Overloaded,
    SignatureNotFound,
    TooSlow,
    code_of,
    details,
    peers_view,
)
from strongroom.tfserving import BadTensor, DataType, PredictRequest, Signature, State, TensorSpec, VersionStatus
from strongroom.tfserving.codes import Code
from strongroom.tfserving.predict_wire import parse_predict


def spec(name, kind=DataType.DT_FLOAT):
    return TensorSpec(name=name, dtype=kind, shape=None)


class SumEngine:
    """y = a + b, z = a - b; waits while `hold` is set."""

    signatures = {  # noqa: RUF012  # read only
        "serving_default": Signature(inputs={"a": spec("a"), "b": spec("b")}, outputs={"y": spec("y"), "z": spec("z")})
    }

    stateless = concurrent = False

    def __init__(self):
        self.free = threading.Event()
        self.free.set()

    def run(self, signature, inputs, outputs):
        assert self.free.wait(30)
        results = {"y": inputs["a"] + inputs["b"], "z": inputs["a"] - inputs["b"]}
        return {name: results[name] for name in outputs}

    def batchable(self, signature):
        return False

    def close(self):
        self.free.set()


def with_server(story, engine=None):
    async def run():
        engine_ = engine or SumEngine()
        model = ModelVersions("m", loader=None)
        worker = ModelRunner(engine_, name="m")
        for version in (1, 2):
            served = Served(name="m", version=version, signatures=engine_.signatures, worker=worker)
            model._lives[version] = _Life(VersionStatus(version, State.AVAILABLE), served)
        model._lives[0] = _Life(VersionStatus(0, State.END, Code.DATA_LOSS, "gone"))
        try:
            return await story(Dataplane(models={"m": model}, accepting=True))
        finally:
            await worker.close()

    return asyncio.run(run())


def request(model="m", *, signature="", names="ab", kind=1, output_filter=(), version=None, label=None):
    made = PredictRequest()
    if model is not None:
        made.model_spec.SetInParent()
        made.model_spec.name = model
        made.model_spec.signature_name = signature
    if version is not None:
        made.model_spec.version.value = version
    if label is not None:
        made.model_spec.version_label = label
    for name in names:
        made.inputs[name].dtype = kind
        made.inputs[name].tensor_shape.dim.add(size=2)
        made.inputs[name].float_val.extend([1.0, 2.0])
    made.output_filter.extend(output_filter)
    return parse_predict(made.SerializeToString())


def predict(**changes):
    return with_server(lambda plane: plane.predicted(request(**changes)))


def test_all_outputs_of_the_highest_version_are_the_default():
    prediction = predict()
    assert {name: array.tolist() for name, (_, array) in prediction.outputs.items()} == {"y": [2, 4], "z": [0, 0]}
    assert (prediction.served.version, prediction.signature_name) == (2, "serving_default")


def test_a_version_can_be_asked_for():
    assert predict(version=1).served.version == 1


def test_a_filter_chooses_outputs():
    assert set(predict(output_filter=["z"]).outputs) == {"z"}


REFUSALS = [
    ({"model": None}, BadRequest, "Missing ModelSpec"),
    ({"model": ""}, BadRequest, "ModelSpec has no name specified."),
    ({"model": "other"}, NotServed, "Servable not found for request: Latest(other)"),
    ({"version": 9}, NotServed, "Servable not found for request: Specific(m, 9)"),
    ({"version": 0}, NotServed, "Servable not found for request: Specific(m, 0)"),
    ({"label": "nope"}, BadRequest, "Unrecognized servable version label: nope"),
    ({"signature": "nope", "names": ""}, SignatureNotFound, 'Serving signature key "nope" not found.'),
    (
        {"names": "", "output_filter": ["q"]}, BadRequest,
        "input size does not match signature: 0!=2 len({}) != len({a,b}). Sent extra: {}. Missing but required: {a,b}.",
    ),
    (
        {"names": "xza"}, BadRequest,
        ("input size does not match signature: 3!=2 len({a,x,z}) != len({a,b}). Sent extra: {x,z}. "
        "Missing but required: {b}."),
    ),
    (
        {"names": "aq"}, BadRequest,
        (
            "Signature input alias: b(feed name: b) not found in request and no default value provided. Inputs "
            "expected to be in the request {a,q}, or default input alias set: "
        ),
    ),
    (
        {"output_filter": ["q"], "kind": 3}, BadRequest,
        "output tensor alias not found in signature: q Outputs expected to be in the set {y,z}.",
    ),
    ({"output_filter": ["y", "y"]}, BadRequest, "duplicate output tensor alias: y"),
    ({"kind": 3}, BadRequest, "Expects arg[0] to be float but int32 is provided"),
    ({"kind": 20}, BadRequest, "Expects arg[0] to be float but resource is provided"),
    ({"kind": 99}, BadRequest, "Expects arg[0] to be float but unknown type 99 is provided"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "kind", "text"), REFUSALS, ids=[text[:40] for _, _, text in REFUSALS])
def test_predict_is_refused_in_order_and_word_for_word(changes, kind, text):
    with pytest.raises(kind) as caught:
        predict(**changes)
    assert caught.value.sentence == text


def test_a_malformed_tensor_is_the_callers_fault():
    call = PredictRequest()
    call.model_spec.name = "m"
    for name in "ab":
        call.inputs[name].dtype = 1
        call.inputs[name].tensor_shape.dim.add(size=-1)
    with pytest.raises(BadTensor):
        with_server(lambda plane: plane.predicted(parse_predict(call.SerializeToString())))


def test_a_run_that_takes_too_long_is_given_up():
    engine = SumEngine()

    async def story(plane):
        engine.free.clear()
        served = plane.choose(Query("m"))
        one = np.ones(1, np.float32)
        try:
            await plane.run(served, "serving_default", {"a": one, "b": one}, ["y"], timeout_s=0.05)
        finally:
            engine.free.set()

    with pytest.raises(TooSlow) as caught:
        with_server(story, engine)
    assert caught.value.code == "SR-SERVE-DEADLINE"


def test_requests_are_in_flight_from_their_acceptance_to_their_answer_whatever_that_is():
    engine = SumEngine()

    async def story(plane):
        counts = []
        await plane.predicted(request())
        counts.append(plane.in_flight)  # answered
        engine.free.clear()
        slow = [asyncio.create_task(plane.predicted(request())) for _ in range(3)]
        await asyncio.sleep(0)
        counts.append(plane.in_flight)  # accepted
        slow[0].cancel()
        await asyncio.wait([slow[0]])
        counts.append(plane.in_flight)  # one caller has gone
        with pytest.raises(TooSlow):
            await plane.predicted(request(), timeout_s=0.001)
        with pytest.raises(TooSlow):
            await plane.predicted(request(), timeout_s=-1)
        with pytest.raises(NotServed):
            await plane.predicted(request("unknown"))
        counts.append(plane.in_flight)  # too late, and refused
        engine.free.set()
        await asyncio.gather(*slow[1:])
        counts.append(plane.in_flight)
        return counts

    assert with_server(story, engine) == [0, 3, 2, 2, 0]


def test_status_lists_every_version_highest_first_and_ignores_labels():
    async def story(plane):
        assert [row.version for row in plane.statuses(Query("m", label="any"))] == [2, 1, 0]
        assert [row.state for row in plane.statuses(Query("m", version=0))] == [State.END]
        with pytest.raises(NotServed, match=r"^Could not find version 9 of model m$"):
            plane.statuses(Query("m", version=9))
        with pytest.raises(NotServed, match=r"^Could not find any versions of model other$"):
            plane.statuses(Query("other"))

    with_server(story)


def test_metadata_fields_are_checked():
    plane = Dataplane()
    plane.check_metadata_fields(["signature_def"])
    with pytest.raises(BadRequest, match="must specify at least one metadata_field"):
        plane.check_metadata_fields([])
    with pytest.raises(BadRequest, match=r"^Metadata field foo is not supported$"):
        plane.check_metadata_fields(["foo"])


def test_sv_19_readiness_needs_a_model_that_can_answer_and_a_server_that_stays():
    async def story(plane):
        assert plane.ready
        plane.accepting = False
        assert not plane.ready
        plane.accepting = True
        for life in plane.models["m"]._lives.values():
            life.served = None
        assert not plane.ready

    with_server(story)


CODES = [
    (NotServed, "SR-SERVE-NOT-FOUND", Code.NOT_FOUND),
    (SignatureNotFound, "SR-SERVE-SIGNATURE", Code.FAILED_PRECONDITION),
    (NotOffered, "SR-SERVE-UNIMPLEMENTED", Code.UNIMPLEMENTED),
    (BadRequest, "SR-SERVE-ARGUMENT", Code.INVALID_ARGUMENT),
    (Overloaded, "SR-SERVE-BUSY", Code.RESOURCE_EXHAUSTED),
    (TooSlow, "SR-SERVE-DEADLINE", Code.DEADLINE_EXCEEDED),
    (EngineFailed, "SR-SERVE-ENGINE", Code.INTERNAL),
    (ClientNotAuthenticated, "SR-SERVE-CLIENT", Code.UNAUTHENTICATED),
]


@pytest.mark.parametrize(("kind", "code", "number"), CODES, ids=[code for _, code, _ in CODES])
def test_every_error_of_a_request_has_one_code(kind, code, number):
    assert kind("x").code == code
    assert code_of(kind("x")) is number


def test_errors_from_elsewhere_fall_back_on_their_family():
    families = {BadInput: 3, Refused: 7, Unreachable: 14, Tampered: 15, StrongroomError: 13}
    assert {family: int(code_of(family("x"))) for family in families} == families


def test_sv_10_a_peer_does_not_learn_why_policy_refused():
    assert peers_view(Refused("rule 7 wants svn 3, saw 2")) == peers_view(Tampered("/path is short")) == "refused"
    assert peers_view(BadRequest("no such thing")) == "no such thing"


def test_details_are_bounded_and_always_text():
    assert details("a" * 1024) == "a" * 1024
    assert details("a" * 1025) == "a" * 1024 + "...TRUNCATED"
    assert details("\ud800") == "?"
