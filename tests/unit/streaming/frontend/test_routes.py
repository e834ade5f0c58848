"""The original's routes over TLS, with answers that say what happened."""

import asyncio
import json
import socket

import numpy as np
import pytest

from strongroom.clusterserving.faults import (
    BadImage,
    Conflict,
    DeadlineExceeded,
    Fault,
    ModelError,
    NotReady,
    QueueFull,
    ShapeMismatch,
    TooLarge,
    Unauthorized,
    error_of,
)
from strongroom.clusterserving.names import Job
from strongroom.streaming.client.replies import read_failure, read_predictions
from strongroom.streaming.frontend.backends import Model
from strongroom.streaming.frontend.bucket import TokenBucket
from strongroom.streaming.frontend.replies import status_of
from strongroom.streaming.frontend.requests import TooMuchAtOnce, WrongMediaType
from strongroom.streaming.frontend.servables import Servable


def test_the_root_says_welcome(front, echo):
    status, _, body = front(echo()).ask("GET", "/")
    assert (status, body) == (200, b"welcome to Strongroom Cluster Serving frontend")


def test_every_instance_is_answered_in_order(front, echo):
    status, _, body = front(echo()).predict({"t": [1, 2]}, {"t": [3, 4]}, {"t": [5.5, 6]})
    assert status == 200
    assert [each["data"] for each in body["predictions"]] == [[2, 4], [6, 8], [11, 12]]
    assert body["predictions"][0]["shape"] == [1, 2]


def test_d09_one_bad_instance_leaves_the_others_their_results(front, echo):
    here = front(echo(failing={1: ShapeMismatch("too wide")}))
    status, _, body = here.predict({"t": [1]}, {"t": [2]}, {"t": [3]})
    assert status == 200
    assert body["predictions"][0]["data"] == [2]
    assert body["predictions"][1] == {"error": {"code": "shape_mismatch", "message": "too wide"}}
    assert body["predictions"][2]["data"] == [6]


@pytest.mark.parametrize(
    ("error", "status"),
    [(BadImage("x"), 400), (TooLarge("x"), 413), (ShapeMismatch("x"), 422), (ModelError("x"), 500),
     (DeadlineExceeded("x"), 504), (QueueFull("x"), 503), (NotReady("x"), 503), (Conflict("x"), 409),
     (Unauthorized("x"), 403)],
)  # fmt: skip
def test_sv_11_where_nothing_succeeds_the_status_says_why(front, echo, error, status):
    found, headers, body = front(echo(failing={0: error})).predict({"t": [1]})
    assert found == status
    assert body["error"] == {"code": str(error.fault), "message": "x"}
    assert body["predictions"] == [{"error": body["error"]}]
    assert (headers.get("retry-after") is not None) == (status == 503)


def test_every_word_has_a_status():
    assert {status_of(error_of(word, "x")) for word in Fault} <= {400, 403, 409, 413, 422, 499, 500, 503, 504}


def test_a_filter_s_text_is_the_value(front, echo):
    _, _, body = front(echo(answer="[[903,0.13][5,0.1]]")).predict({"t": [1]})
    assert body == {"predictions": [{"value": "[[903,0.13][5,0.1]]"}]}


def test_several_outputs_stand_by_name(front, echo):
    outputs = {"a": np.float32([[1]]), "b": np.array([[b"x", "y"]], object)}
    _, _, body = front(echo(answer=outputs)).predict({"t": [1]})
    assert body["predictions"][0]["outputs"]["a"] == {"data": [1.0], "shape": [1, 1]}
    assert body["predictions"][0]["outputs"]["b"]["data"] == ["x", "y"]


def test_d17_shapes_are_whole_even_where_one_number_has_them(front, echo):
    _, _, body = front(echo(answer={"y": np.float32([[[7]]])})).predict({"t": [1]})
    assert body["predictions"][0] == {"data": [7.0], "shape": [1, 1, 1]}


def test_what_json_has_no_word_for_is_null(front, echo):
    _, _, body = front(echo(answer={"y": np.float32([1, np.nan, np.inf])})).predict({"t": [1]})
    assert body["predictions"][0]["data"] == [1.0, None, None]


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i4", "i8", "u1", "u4", "?"])
def test_numbers_of_all_types_are_written(front, echo, kind):
    _, _, body = front(echo(answer={"y": np.ones((2, 1), kind)})).predict({"t": [1]})
    assert body["predictions"][0] == {"data": [1, 1], "shape": [2, 1]}


@pytest.mark.parametrize("form", ["default", "legacy", "legacy-map"])
def test_our_client_reads_every_form(front, echo, form):
    here = front(echo(answer={"a": np.float32([[1, 2]])}))
    _, _, body = here.predict({"t": [1]}, path=f"/predict?format={form}")
    [result] = read_predictions(json.dumps(body).encode())
    assert np.array_equal(next(iter(result.outputs.values())), [[1, 2]])
    here = front(echo(answer="[[3,0.5][4,0.25]]"))
    _, _, body = here.predict({"t": [1]}, path=f"/predict?format={form}")
    [result] = read_predictions(json.dumps(body).encode())
    assert result.text == "[[3,0.5][4,0.25]]"


def test_the_old_forms_are_what_old_clients_parse(front, echo):
    here = front(echo(answer={"y": np.float32([[1, 2]])}))
    _, _, body = here.predict({"t": [1]}, path="/predict?format=legacy")
    assert json.loads(json.loads(body["predictions"][0])["value"]) == {"data": [1, 2], "shape": [1, 2]}
    here = front(echo(answer="[[903,0.1306194]]"))
    _, _, body = here.predict({"t": [1]}, headers={"Accept": "application/json;format=legacy-map"})
    assert body["predictions"] == ["{value=[[903,0.1306194]]}"]


def test_errors_of_the_old_forms_are_text(front, echo):
    here = front(echo(failing={0: ShapeMismatch("too wide")}))
    status, _, body = here.predict({"t": [1]}, path="/predict?format=legacy")
    assert (status, body["error"]) == (422, "too wide")
    assert json.loads(body["predictions"][0]) == {"value": "NaN"}
    assert here.predict(path="/predict?format=other")[0] == 400


@pytest.mark.parametrize(
    ("body", "path"),
    [('{"instances":[{"ids":[[1],[2]]},{"ids":[[1],[2,3]]}]}', "instances[1].ids"),
     ('{"instances":[{"t":[1,"a"]}]}', "instances[0].t"),
     ('{"instances":[{"t":[NaN]}]}', "NaN"),
     ('{"instances":[{"t":1,"t":2}]}', "twice"),
     ('{"instances":[{"t":[[[[[[[[[[1]]]]]]]]]]}]}', "instances[0].t"),
     ('{"instances":[]}', "instances"),
     ("{", "JSON")],
)  # fmt: skip
def test_sv_12_a_body_that_does_not_fit_is_refused_with_its_path(front, echo, body, path):
    status, _, told = front(echo()).ask("POST", "/predict", body)
    assert status == 400
    assert told["error"]["code"] == "bad_record"
    assert path in told["error"]["message"]


def test_sv_12_nesting_and_long_numbers_do_not_crash(front, echo):
    here = front(echo())
    assert here.ask("POST", "/predict", b'{"instances":' + b"[" * 100_000)[0] == 400
    assert here.ask("POST", "/predict", b'{"instances":[{"t":' + b"9" * 100_000 + b"}]}")[0] == 400
    assert here.predict({"t": [1]})[0] == 200


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=UTF-8", "text/plain",
                                  "application/x-www-form-urlencoded"])  # fmt: skip
def test_what_curl_and_others_call_json_is_taken(front, echo, kind):
    assert front(echo()).predict({"t": [1]}, headers={"Content-Type": kind})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "multipart/form-data"}, {"Content-Type": "application/json; charset=utf-16"},
     {"Content-Encoding": "gzip"}],
)  # fmt: skip
def test_sv_12_other_media_and_compressed_bodies_are_415(front, echo, headers):
    status, _, body = front(echo()).predict({"t": [1]}, headers=headers)
    assert (status, body["error"]["code"]) == (415, "unsupported_serde")
    assert WrongMediaType.code == "SR-QUEUE-HTTP-MEDIA"


def test_sv_12_a_body_over_the_limit_is_413_before_it_is_read(front, echo):
    here = front(echo(), body_bytes=1000)
    connection = here.connect()
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", "1000000000")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "too_large"
    connection.close()


def test_sv_12_a_body_that_announces_nothing_is_cut_at_the_limit(front, echo):
    here = front(echo(), body_bytes=1000)
    connection = here.connect()
    connection.request("POST", "/predict", iter([b"x" * 600, b"x" * 600]), {}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_sv_12_bodies_of_all_requests_together_have_a_limit(front, echo):
    status, headers, body = front(echo(), bodies_bytes=10).predict({"t": [1]})
    assert (status, body["error"]["code"]) == (503, "queue_full")
    assert headers["retry-after"] == "1"
    assert TooMuchAtOnce.code == "SR-QUEUE-HTTP-MEMORY"


def test_sv_12_a_body_counts_for_the_memory_that_it_takes_once_it_is_parsed(front, echo):
    here = front(echo(), bodies_bytes=100_000)
    assert here.predict({"t": [1] * 1000})[0] == 200
    status, _, body = here.predict({"t": [1] * 10_000})
    assert (status, body["error"]["code"]) == (413, "too_large")
    assert here.predict({"t": [1] * 1000})[0] == 200  # what was counted is given back


def test_d06_a_rejected_request_never_reaches_anybody(front, echo):
    backend = echo()
    here = front(backend, tokens_per_second=1, patience_s=0.0)
    found = [here.predict({"t": [1]}) for _ in range(8)]
    refused = [(headers, body) for status, headers, body in found if status == 429]
    assert len(backend.calls) == len(found) - len(refused)
    assert all(headers["retry-after"] == "1" for headers, _ in refused)
    assert {body["error"]["code"] for _, body in refused} == {"queue_full"}


def test_a_model_s_own_bucket_counts_besides(front, echo):
    model = Model(Servable(name="m", version="1", job=Job("j")), echo(), TokenBucket(1))
    here = front(models=[model], patience_s=0.0)
    assert 429 in [here.predict({"t": [1]})[0] for _ in range(20)]


def test_a_request_may_name_its_deadline(front, echo):
    backend = echo()
    here = front(backend, timeout_s=100.0)
    here.predict({"t": [1]}, headers={"X-Request-Timeout-Ms": "15000"})
    here.predict({"t": [1]})
    assert 1 < backend.calls[0][1] <= 15
    assert 16 < backend.calls[1][1] <= 100
    for odd in ("0", "-1", "1e3", "99999999999", "x"):
        assert here.predict({"t": [1]}, headers={"X-Request-Timeout-Ms": odd})[0] == 400


def test_an_idempotency_key_is_passed_on(front, echo):
    backend = echo()
    here = front(backend)
    here.predict({"t": [1]}, headers={"Idempotency-Key": "order-66"})
    assert backend.calls[0][2] == "order-66"
    assert here.predict({"t": [1]}, headers={"Idempotency-Key": "a b"})[0] == 400


def test_d19_a_caller_that_leaves_frees_its_place_at_once(front, echo):
    backend = echo(gate=asyncio.Event())
    here = front(backend, parallelism=1)
    connection = here.connect()
    connection.request("POST", "/predict", json.dumps({"instances": [{"t": [1]}]}))
    assert backend.entered.wait(30)
    assert here.predict({"t": [1]})[0] == 503  # the one place is taken
    connection.close()
    assert backend.cancelled.wait(30)
    here.call(backend.gate.set)
    while (status := here.predict({"t": [1]})[0]) == 503:
        pass
    assert status == 200


def test_d12_readiness_is_the_workers_and_liveness_the_front_s(front, echo):
    status, headers, body = front(echo(reason="no worker works on this queue")).ask("GET", "/readyz")
    assert (status, body["error"]["code"]) == (503, "not_ready")
    assert headers["retry-after"] == "1"
    here = front(echo())
    assert here.ask("GET", "/readyz")[0] == 200
    assert here.ask("GET", "/healthz")[0] == 200


def test_an_06_keys_never_travel_through_the_front(front, echo):
    here = front(echo())
    for method in ("POST", "GET", "PUT"):
        status, _, body = here.ask(method, "/model-secure", "secret=s3cret&salt=salt")
        assert status == 410
        assert "s3cret" not in json.dumps(body)
        assert "key broker" in body["error"]["message"]


def test_models_are_listed_one_by_one_and_by_version(front, echo):
    first, second = (
        Model(Servable(name="m", version=version, job=Job("j"), metadata={"modelName": "m", "modelVersion": version}),
              echo(answer=version))
        for version in ("1.0", "2.0")
    )  # fmt: skip
    here = front(models=[first, second])
    assert [each["modelVersion"] for each in here.ask("GET", "/models")[2]] == ["1.0", "2.0"]
    assert len(here.ask("GET", "/models/m")[2]) == 2
    assert here.ask("GET", "/models/m/versions/2.0")[2] == {"modelName": "m", "modelVersion": "2.0"}
    assert here.predict({"t": [1]}, path="/models/m/versions/2.0/predict")[2]["predictions"] == [{"value": "2.0"}]
    assert here.predict({"t": [1]})[2]["predictions"] == [{"value": "1.0"}]


@pytest.mark.parametrize("path", ["/models/none", "/models/none/versions/1", "/models/echo/versions/9"])
def test_a_model_that_is_not_there_is_404(front, echo, path):
    here = front(echo())
    status, _, body = here.ask("GET", path)
    assert (status, body["error"]) == (404, {"code": "not_found", "message": "Model Not Found"})
    if "versions" in path:
        assert here.predict({"t": [1]}, path=f"{path}/predict")[0] == 404


def test_other_paths_and_methods_have_the_same_bodies(front, echo):
    here = front(echo())
    assert here.ask("GET", "/nothing")[2]["error"]["code"] == "not_found"
    status, headers, body = here.ask("GET", "/predict")
    assert (status, body["error"]["code"], headers["allow"]) == (405, "method_not_allowed", "POST")
    assert here.ask("GET", "/nothing?format=legacy")[2] == {"error": "Not Found"}


def test_a_defect_shows_an_id_and_nothing_else(front, echo, caplog):
    backend = echo()
    backend.failing = None  # answering fails with a TypeError of ours
    status, _, body = front(backend).predict({"t": [1]})
    assert status == 500
    assert "TypeError" not in json.dumps(body)
    assert body["error"]["message"].rpartition(" ")[2] in caplog.text


def test_metrics_are_prometheus_or_the_original_s_timers(front, echo):
    here = front(echo())
    here.predict({"t": [1]}, {"t": [2]})
    text = here.ask("GET", "/metrics")[2].decode()
    assert 'strongroom_queue_frontend_answers_total{route="predict",status="200"} 1.0' in text
    assert 'strongroom_queue_frontend_instances_total{outcome="ok"} 2.0' in text
    timers = {each["name"]: each for each in here.ask("GET", "/metrics?format=json")[2]}
    assert timers["bigdl.serving.request.overall"]["count"] == 1
    assert timers["bigdl.serving.backend.inference"]["median"] >= 0
    assert {"meanRate", "min", "max", "mean", "stdDev", "_75thPercentile"} <= timers["bigdl.serving.redis.put"].keys()


def test_our_client_knows_what_a_refusal_is(front, echo):
    here = front(echo(failing={0: QueueFull("10 wait")}))
    status, _, body = here.predict({"t": [1]})
    assert isinstance(read_failure(status, json.dumps(body).encode()), QueueFull)


def test_d13_the_port_speaks_tls_alone_and_no_other_is_open(front, echo):
    here = front(echo())
    with socket.create_connection(("127.0.0.1", here.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" not in plain.recv(4096)
