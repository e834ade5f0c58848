"""Metrics: TensorFlow Serving's names and forms, bounded labels, sums over processes."""

import json

import pytest

from strongroom.serving.operations.metrics import Metrics, states_reading
from strongroom.serving.operations.metrics_text import Family, exposition, prometheus_name, summed
from strongroom.tfserving.codes import Code


@pytest.fixture
def metrics():
    made = Metrics()
    made.set_models(["default"])
    return made


def lines_with(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_requests_are_counted_by_outcome_under_the_original_name(metrics):
    for code in (Code.OK, Code.OK, Code.INVALID_ARGUMENT):
        metrics.count_request("default", code)
    text = metrics.text()
    assert "# TYPE :tensorflow:serving:request_count counter" in text.splitlines()
    assert lines_with(text, ":tensorflow:serving:request_count{") == [
        ':tensorflow:serving:request_count{model_name="default",status="OK"} 2',
        ':tensorflow:serving:request_count{model_name="default",status="INVALID_ARGUMENT"} 1',
    ]
    assert text.endswith("\n")


def test_latencies_are_cumulative_histograms_with_tensorflow_servings_limits(metrics):
    for microseconds in (5, 10, 11, 1e12):
        metrics.observe_request("default", "Predict", "GRPC", microseconds)
    rows = lines_with(metrics.text(), ":tensorflow:serving:request_latency_bucket")
    assert len(rows) == 34
    labels = 'model_name="default",API="Predict",entrypoint="GRPC"'
    assert rows[0] == f':tensorflow:serving:request_latency_bucket{{{labels},le="10"}} 2'
    assert rows[1] == f':tensorflow:serving:request_latency_bucket{{{labels},le="18"}} 3'
    assert rows[-1] == f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}} 4'
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 4" in metrics.text()
    assert f":tensorflow:serving:request_latency_sum{{{labels}}} 1000000000026" in metrics.text()


def test_the_hot_path_counts_what_the_two_calls_count(metrics):
    other = Metrics()
    other.set_models(["default"])
    for model in ("default", "invented"):
        for microseconds in (5, 30, 1e9):
            metrics.answered(model, "Predict", "GRPC", microseconds)
            other.count_request(model, Code.OK)
            other.observe_request(model, "Predict", "GRPC", microseconds)
    assert metrics.text() == other.text()


def test_sv_12_a_name_that_a_peer_invents_is_no_label(metrics):
    for number in range(1000):
        metrics.count_request(f"evil{number}", Code.NOT_FOUND)
        metrics.observe_request(f"evil{number}", "Predict", "REST", 1)
    assert "evil" not in metrics.text()
    assert lines_with(metrics.text(), ":tensorflow:serving:request_count") == [
        ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 1000'
    ]


def test_a_model_that_was_removed_keeps_its_counts(metrics):
    metrics.count_request("default", Code.OK)
    metrics.set_models(["other"])
    metrics.count_request("default", Code.OK)
    assert 'model_name="default",status="OK"} 2' in metrics.text()


def test_labels_are_escaped():
    metrics = Metrics()
    metrics.set_models(['a"b\\c\nd'])
    metrics.count_request('a"b\\c\nd', Code.OK)
    assert r'model_name="a\"b\\c\nd",status="OK"' in metrics.text()


def test_every_metric_of_the_interface_is_there(metrics):
    metrics.count_request("default", Code.OK)
    metrics.observe_request("default", "Classify", "GRPC", 1)
    metrics.ran("default", "Classify", "TF1", 1, 8)
    metrics.count_examples("default", 3)
    metrics.observe_warmup("/models/1", Code.OK, 10)
    metrics.count_warmup_records("/models/1", Code.OK, 7)
    metrics.set_mlmd("default", 123, "the-uuid")
    found = {line.split()[2] for line in metrics.text().splitlines() if line.startswith("# TYPE")}
    serving = [
        "request_count",
        "request_latency",
        "runtime_latency",
        "request_example_counts",
        "request_example_count_total",
        "model_warmup_latency",
        "model_warmup_records_read",
        "mlmd_map",
    ]
    assert {f":tensorflow:serving:{name}" for name in serving} | {"strongroom_batch_size"} == found
    assert 'request_example_count_total{model="default"} 3' in metrics.text()
    assert 'uuid="the-uuid"' in metrics.text()


def test_reload_asks_for_the_first_cell_of_a_metric(metrics):
    assert metrics.value("/tensorflow/serving/request_count") == 0
    metrics.count_request("default", Code.OK)
    metrics.count_request("default", Code.NOT_FOUND)
    assert metrics.value("/tensorflow/serving/request_count") == 1
    assert metrics.value("/nothing") == 0


def test_gauges_are_read_when_somebody_asks(metrics):
    versions = {"default": [(2, "AVAILABLE")]}
    metrics.gauge("strongroom_model_version", states_reading(lambda: versions))
    assert 'strongroom_model_version{model_name="default",version="2",state="AVAILABLE"} 1' in metrics.text()
    versions["default"] = [(3, "LOADING")]
    assert 'version="3",state="LOADING"' in metrics.text()
    assert "AVAILABLE" not in metrics.text()


def test_several_processes_are_summed():
    parts = []
    for count in (1, 2):
        metrics = Metrics()
        metrics.set_models(["default"])
        for _ in range(count):
            metrics.count_request("default", Code.OK)
            metrics.observe_request("default", "Predict", "GRPC", 12)
        sent = json.loads(json.dumps([family.to_json() for family in metrics.families()]))
        parts.append([Family.from_json(each) for each in sent])
    text = exposition(summed(parts))
    assert ':tensorflow:serving:request_count{model_name="default",status="OK"} 3' in text
    assert 'entrypoint="GRPC",le="10"} 0' in text
    assert 'entrypoint="GRPC",le="18"} 3' in text


def test_names_become_prometheus_names_as_upstream_does():
    assert prometheus_name("/tensorflow/serving/request_count") == ":tensorflow:serving:request_count"
    assert prometheus_name("strongroom_ready") == "strongroom_ready"
