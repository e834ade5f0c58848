"""What operators ask over REST: probes, metrics, the list of models and who may have it."""

import json

import pytest

from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.operations.operating import _show_gauges
from strongroom.serving.operations.operator_routes import Operations
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.tfserving.codes import Code
from strongroom.tfserving.status import State, VersionStatus

PATH = "/monitoring/prometheus/metrics"


class TwoModels:
    def names(self):
        return ("resnet", "half")

    def statuses(self, name):
        return (VersionStatus(2, State.AVAILABLE), VersionStatus(1, State.END, Code.DATA_LOSS, "damaged"))


@pytest.fixture
def operations():
    def make(**changes):
        metrics = Metrics()
        metrics.set_models(["half"])
        metrics.count_request("half", Code.OK)
        return Operations(readiness=Readiness(), models=TwoModels(), metrics_text=metrics.text, **changes)

    return make


def test_probes_answer_with_the_reason(operations):
    made = operations()
    assert made.answer("GET", "/readyz").status == 200
    made.readiness.wait("key", "waiting for key: TCB OutOfDate")
    answer = made.answer("GET", "/readyz")
    assert (answer.status, answer.body) == (503, b"waiting for key: TCB OutOfDate\n")
    assert made.answer("GET", "/healthz").status == 200
    assert made.answer("POST", "/healthz") is None


def test_metrics_are_at_their_path_and_off_without_one(operations):
    answer = operations(metrics_path=PATH).answer("GET", PATH)
    assert (answer.status, answer.content_type) == (200, "text/plain")
    assert b':tensorflow:serving:request_count{model_name="half",status="OK"} 1\n' in answer.body
    assert operations().answer("GET", PATH) is None


def test_requests_in_flight_are_shown():
    metrics, dataplane = Metrics(), Dataplane(TwoModels())
    _show_gauges(metrics, Readiness(), dataplane)
    assert "\nstrongroom_requests_in_flight 0\n" in metrics.text()
    dataplane.in_flight += 7
    assert "\nstrongroom_requests_in_flight 7\n" in metrics.text()


def test_a_wrong_path_below_monitoring_is_told_the_right_one(operations):
    answer = operations(metrics_path=PATH).answer("GET", "/monitoring/metrics")
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": f"Unexpected path: /monitoring/metrics. Should be {PATH}"}


def test_sv_16_models_are_listed_for_authenticated_clients(operations):
    answer = operations(clients_authenticated=True).answer("GET", "/v1/models")
    listed = json.loads(answer.body)["models"]
    assert [each["name"] for each in listed] == ["half", "resnet"]
    assert listed[0]["versions"][1] == {
        "version": "1", "state": "END", "error_code": "DATA_LOSS", "error_message": "damaged"
    }  # fmt: skip


def test_sv_16_nobody_else_is_told_names(operations):
    assert operations().answer("GET", "/v1/models") is None
    assert operations().answer("GET", "/strongroom/v1/models") is None
    in_clear_text = operations(clear_text=True)
    assert in_clear_text.answer("GET", "/v1/models") is None  # TensorFlow Serving's own refusal stays
    assert in_clear_text.answer("GET", "/strongroom/v1/models").status == 200
