"""TensorFlow Serving's lifecycle cases (`shared/vectors/tfserving`, L01 to L33), one test for each, and what we add.

Models are ONNX models with half_plus_two's arithmetic where the case is about versions, SavedModels where it is about
them. Every server is a process, over TLS; most are forked (`nest`), a few begun from a command line.
"""

import contextlib
import json
import shutil
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from google.protobuf import text_format

from strongroom.tfserving import PREDICT, ModelSpec, PredictResponse, encode_predict_request, messages, tensor_to_array
from strongroom.tfserving.tfrecord import write_records

MODEL_SERVER = ("-m", "strongroom.cli.model_server")
BOTH = "model_version_policy { all {} }"


def wait_until(check):
    pause = threading.Event()
    for _ in range(3000):
        if check():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen within a minute")


def states(server, name="default"):
    body = json.loads(server.rest("GET", f"/v1/models/{name}")[2])
    return {int(row["version"]): row["state"] for row in body.get("model_version_status", [])}


def status_of(server, version, name="default"):
    rows = json.loads(server.rest("GET", f"/v1/models/{name}/versions/{version}")[2])["model_version_status"]
    return rows[0]["status"]


def available(server, name="default"):
    return {version for version, state in states(server, name).items() if state == "AVAILABLE"}


def predict(server, path="default"):
    status, _, body = server.rest("POST", f"/v1/models/{path}:predict", b'{"instances": [2.0]}')
    return json.loads(body)["predictions"][0] if status == 200 else (status, json.loads(body)["error"])


def entry(name, base, rest=""):
    return f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" {rest} }}'


def listed(*entries):
    return f"model_config_list {{ {' '.join(entries)} }}"


def reload(server, *entries):
    """Send HandleReloadConfigRequest; return the code's name and the details."""
    request = messages.ReloadConfigRequest()
    text_format.Parse(listed(*entries), request.config)
    with server.channel() as channel:
        method = channel.unary_unary(
            messages.HANDLE_RELOAD_CONFIG,
            request_serializer=messages.ReloadConfigRequest.SerializeToString,
            response_deserializer=messages.ReloadConfigResponse.FromString,
        )
        try:
            return "OK", method(request, timeout=60).status.error_message
        except grpc.RpcError as problem:
            return problem.code().name, problem.details()


@pytest.fixture
def serve(launcher, nest, base, tmp_path):
    """Start a server on the base folder, or on a configuration of `entries`; what it imports was imported once."""

    def start(*words, entries=None, ready=True, command=MODEL_SERVER):
        if entries is not None:
            (tmp_path / "models.config").write_text(listed(*entries))
            words = (f"--model_config_file={tmp_path / 'models.config'}", *words)
        server = launcher(base.folder, *words, command=command, begin=nest.begin)
        return server.wait_ready() if ready else server

    return start


@pytest.fixture
def with_policy(serve, base):
    def start(policy, *words):
        return serve(*words, entries=[entry("default", base.folder, policy)])

    return start


def test_l01_only_the_highest_version_is_loaded_by_default(serve, base):
    for version in (1, 3, 5):
        base.put(version)
    assert states(serve()) == {5: "AVAILABLE"}


def test_l02_the_latest_two_are_loaded_when_asked_for(with_policy, base):
    for version in (1, 3, 5):
        base.put(version)
    assert available(with_policy("model_version_policy { latest { num_versions: 2 } }")) == {3, 5}


def test_l03_specific_versions_are_loaded(with_policy, base):
    for version in (1, 17, 42):
        base.put(version)
    assert available(with_policy("model_version_policy { specific { versions: 17 versions: 1 } }")) == {1, 17}


def test_l04_all_versions_are_loaded(with_policy, base):
    for version in (17, 42):
        base.put(version)
    assert available(with_policy(BOTH)) == {17, 42}


def test_l05_a_specific_version_that_is_missing_is_a_warning_and_the_others_serve(with_policy, base):
    base.put(1)
    server = with_policy("model_version_policy { specific { versions: [1, 2] } }")
    assert available(server) == {1}
    server.wait_for("version 2 is named by the version policy and is not there")


def test_l06_only_missing_specific_versions_leave_the_server_up(with_policy, base):
    base.put(1)
    server = with_policy("model_version_policy { specific { versions: 2 } }")
    server.wait_for("version 2 is named by the version policy and is not there")
    assert states(server) == {}
    base.put(2)
    wait_until(lambda: predict(server) == 3.0)


def test_l07_no_specific_version_at_all_is_a_warning_and_the_server_stays_up(with_policy, base):
    base.put(1)
    base.put(2)
    server = with_policy("model_version_policy { specific {} }")
    server.wait_for("names none: nothing of it is served")
    assert states(server) == {}
    assert server.process.poll() is None


def test_l08_children_whose_names_are_no_numbers_are_not_looked_at(serve, base):
    base.put(7)
    for name in ("tmp-8", "v9", "1e3", ".hidden", "8x"):
        shutil.copytree(base.folder / "7", base.folder / name)
    (base.folder / "12").write_text("a file")
    assert states(serve()) == {7: "AVAILABLE"}


def test_l09_of_directories_for_one_number_one_is_loaded(serve, base):
    base.put("0001")
    for name in ("001", "00001"):
        shutil.copytree(base.folder / "0001", base.folder / name)
    server = serve()
    assert states(server) == {1: "AVAILABLE"}
    assert "are both version 1" in server.log


def test_l10_a_missing_base_path_is_polled_until_it_is_there(serve, base):
    base.put(1)
    base.folder.rename(base.folder.with_name("later"))
    server = serve()
    server.wait_for(f"Could not find base path {base.folder} for servable default with error")
    base.folder.with_name("later").rename(base.folder)
    wait_until(lambda: predict(server) == 3.0)


def test_l11_an_empty_base_path_is_polled_until_a_version_is_there(serve, base):
    server = serve()
    server.wait_for(r"Did you forget to name your leaf directory as a number \(eg. '/1/'\)\?")
    assert predict(server) == (404, "Servable not found for request: Latest(default)")
    base.put(1)
    wait_until(lambda: predict(server) == 3.0)


def test_l12_a_new_version_takes_over_when_it_is_available(serve, base, models):
    base.put(1)
    server = serve("--file_system_poll_wait_seconds=1")
    seen = []
    base.put(2, models.half_plus(3))
    wait_until(lambda: seen.append(predict(server)) or states(server) == {2: "AVAILABLE", 1: "END"})
    assert set(seen) <= {3.0, 4.0}  # never nothing
    assert predict(server) == 4.0


def test_l13_a_new_version_that_is_broken_ends_and_the_old_one_serves(serve, base):
    base.put(1)
    server = serve()
    (base.folder / "2").mkdir()
    (base.folder / "2" / "saved_model.pb").write_bytes(b"broken")
    wait_until(lambda: states(server).get(2) == "END")
    assert states(server)[1] == "AVAILABLE"
    status = status_of(server, 2)
    assert status["error_code"] != "OK"
    assert status["error_message"]
    assert predict(server) == 3.0


def test_l14_a_broken_version_is_tried_again_when_it_is_repaired(serve, base, models):
    base.put(1)
    server = serve()
    base.put(2, models.half_plus(3)[:-20])
    wait_until(lambda: states(server).get(2) == "END")
    (base.folder / "2" / "model.onnx").write_bytes(models.half_plus(3))
    wait_until(lambda: states(server) == {2: "AVAILABLE", 1: "END"})
    assert predict(server) == 4.0


def test_l15_a_version_whose_directory_is_removed_is_unloaded_even_the_last(serve, base):
    base.put(1)
    server = serve()
    shutil.rmtree(base.folder / "1")
    wait_until(lambda: states(server) == {1: "END"})
    assert predict(server) == (404, "Servable not found for request: Latest(default)")
    assert server.process.poll() is None


def test_l16_labels_of_a_reload_choose_versions(with_policy, base, models):
    base.put(123)
    base.put(124, models.half_plus(3))
    server = with_policy(BOTH)
    labels = 'version_labels { key: "A" value: 123 } version_labels { key: "B" value: 124 }'
    assert reload(server, entry("default", base.folder, BOTH + labels)) == ("OK", "")
    assert [predict(server, f"default{path}") for path in ("", "/labels/A", "/labels/B")] == [4.0, 3.0, 4.0]
    assert predict(server, "default/labels/C") == (400, "Unrecognized servable version label: C")


def test_l17_labels_at_the_start_need_a_flag(serve, base):
    base.put(2)
    server = serve(entries=[entry("x", base.folder, 'version_labels { key: "s" value: 2 }')], ready=False)
    status, out, _ = server.end(0)
    assert status == 255
    assert "Failed to start server. Error: FAILED_PRECONDITION: Request to assign label to version 2 of model x" in out
    assert "which is not currently available for inference" in out


def test_l18_with_the_flag_labels_at_the_start_are_taken(with_policy, base):
    base.put(2)
    server = with_policy(
        'version_labels { key: "s" value: 2 }', "--allow_version_labels_for_unavailable_models=true"
    )  # fmt: skip
    assert predict(server, "default/labels/s") == 3.0


def test_l19_an_existing_label_does_not_move_to_an_unloaded_version(with_policy, base):
    base.put(1)
    base.put(2)
    label = 'version_labels {{ key: "s" value: {} }}'.format
    server = with_policy(label(2), "--allow_version_labels_for_unavailable_models")
    code, text = reload(server, entry("default", base.folder, label(1)))
    assert (code, text) == (
        "FAILED_PRECONDITION",
        "Request to assign label to version 1 of model default, which is not currently available for inference",
    )
    assert predict(server, "default/labels/s") == 3.0
    assert reload(server, entry("default", base.folder, label(2) + 'version_labels { key: "t" value: 1 }'))[0] == "OK"
    assert predict(server, "default/labels/t") == (404, "Servable not found for request: Specific(default, 1)")


def test_l20_a_rewritten_configuration_is_followed(serve, base, models, tmp_path):
    base.put(1)
    three = tmp_path / "three" / "1"
    three.mkdir(parents=True)
    (three / "model.onnx").write_bytes(models.half_plus(3))
    server = serve("--model_config_file_poll_wait_seconds=1", entries=[entry("half_plus_two", base.folder)])
    assert predict(server, "half_plus_two") == 3.0
    (tmp_path / "models.config").write_text(listed(entry("half_plus_three", three.parent)))
    wait_until(lambda: predict(server, "half_plus_three") == 4.0)
    wait_until(lambda: states(server, "half_plus_two") == {1: "END"})


def test_l21_a_bad_configuration_that_is_polled_is_logged_and_the_old_one_stays(serve, base, tmp_path):
    base.put(1)
    server = serve("--model_config_file_poll_wait_seconds=1", entries=[entry("m", base.folder)])
    (tmp_path / "models.config").write_text("improperly formatted file")
    server.wait_for("Error parsing text-format tensorflow.serving.ModelServerConfig")
    assert predict(server, "m") == 3.0
    (tmp_path / "models.config").write_text(listed(entry("n", base.folder)))
    wait_until(lambda: predict(server, "n") == 3.0)


def test_l22_a_bad_configuration_at_the_start_ends_it(serve, tmp_path, shared_vectors):
    bad = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/bad_model_config.txt"
    status, _, log = serve(f"--model_config_file={bad}", ready=False).end(0)
    assert status == 255
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in log
    assert f"Invalid protobuf file: '{bad}'" in log
    assert "Traceback" not in log


def test_l23_the_good_configuration_serves_two_models(serve, base, models, tmp_path, shared_vectors):
    good = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/good_model_config.txt"
    base.put(123)
    three = tmp_path / "three" / "00000123"
    three.mkdir(parents=True)
    (three / "model.onnx").write_bytes(models.half_plus(3))
    text = good.read_text().replace("${TEST_HALF_PLUS_TWO_DIR}", str(base.folder))
    (tmp_path / "good.config").write_text(text.replace("${TEST_HALF_PLUS_THREE_DIR}", str(three.parent)))
    server = serve(f"--model_config_file={tmp_path / 'good.config'}")
    assert predict(server, "half_plus_two") == 3.0
    assert predict(server, "half_plus_three") == 4.0


def test_l24_neither_base_path_nor_configuration_is_a_start_error(launcher):
    status, out, _ = launcher("", command=MODEL_SERVER).end(0)
    assert status == 255
    assert "Both server_options.model_base_path and server_options.model_config_file are empty!" in out


def test_l25_batching_parameters_without_batching_are_a_start_error(serve, base):
    status, out, _ = serve("--batching_parameters_file=f", ready=False).end(0)
    assert status == 255
    assert (
        "server_options.batching_parameters_file is set without setting server_options.enable_batching to true." in out
    )


def test_l26_equal_ports_leave_rest_out(launcher, base, ports):
    base.put(1)
    server = launcher(base.folder, ports=(ports[0], ports[0])).wait_ready()
    assert " E strongroom.serving] --rest_api_port is the gRPC port: REST is not served" in server.log


def test_l27_prometheus_reads_the_original_names(serve, base, shared_vectors):
    base.put(1)
    config = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/monitoring_config.txt"
    server = serve(f"--monitoring_config_file={config}")
    predict(server)
    status, headers, body = server.rest("GET", "/monitoring/prometheus/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    assert b"# TYPE" in body
    assert b':tensorflow:serving:request_count{model_name="default",status="OK"}' in body


def test_l28_health_is_a_service_where_it_is_asked_for(serve, base):
    base.put(1)
    server = serve("--enable_grpc_healthcheck_service")
    with server.channel() as channel:
        check = channel.unary_unary(f"/{messages.HEALTH_SERVICE}/Check")
        request = messages.HealthCheckRequest(service=messages.PREDICTION_SERVICE).SerializeToString()
        assert messages.HealthCheckResponse.FromString(check(request, timeout=60)).status == 1


def test_l29_a_client_without_a_certificate_is_refused(serve, base, tls):
    base.put(1)
    server = serve()
    credentials = grpc.ssl_channel_credentials(tls.ca.read_bytes())
    with (
        grpc.secure_channel(f"localhost:{server.ports[0]}", credentials) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(messages.GET_MODEL_STATUS)(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_l30_rest_does_not_answer_in_clear_text(serve, base):
    base.put(1)
    server = serve()
    with socket.create_connection(("127.0.0.1", server.ports[1]), timeout=20) as connection:
        connection.sendall(b"GET /v1/models/default HTTP/1.1\r\nHost: a\r\n\r\n")
        said = b""
        with contextlib.suppress(ConnectionResetError):
            said = connection.recv(4096)
        assert b"HTTP" not in said


def warmup(base, count):
    log = messages.PredictionLog()
    log.predict_log.request.model_spec.name = "another"
    tensor = log.predict_log.request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=1)
    tensor.float_val.append(1.0)
    extra = base.folder / "1" / "assets.extra"
    extra.mkdir()
    (extra / "tf_serving_warmup_requests").write_bytes(write_records([log.SerializeToString()] * count))


@pytest.mark.parametrize("count", [3, 1001])
def test_l31_warm_up_requests_are_replayed_and_limited(serve, base, count):
    base.put(1)
    warmup(base, count)
    server = serve(ready=count <= 1000)
    if count <= 1000:
        assert predict(server) == 3.0
        return
    status, out, log = server.end(0)
    assert status == 255
    assert "Number of warmup records exceeds the maximum (1000)" in log
    assert "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available" in out


def test_l32_batches_are_formed_and_answers_are_their_own(serve, base, shared_vectors):
    base.put(1)
    file = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/batching_config.txt"
    server = serve("--enable_batching", f"--batching_parameters_file={file}")

    def ask(number):
        body = json.dumps({"instances": [number, number + 0.5]})
        return json.loads(server.rest("POST", "/v1/models/default:predict", body)[2])["predictions"]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, map(float, range(100))))
    assert answers == [[number / 2 + 2, (number + 0.5) / 2 + 2] for number in range(100)]


def test_l33_a_model_keeps_its_state_between_requests(launcher, nest, tmp_path, shared_vectors):
    pytest.importorskip("tensorflow")
    source = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/saved_model_counter"
    counter = shutil.copytree(source, tmp_path / "counter")
    server = launcher(counter, command=MODEL_SERVER, begin=nest.begin).wait_ready()

    with server.channel() as channel:

        def call(signature, **inputs):
            request = encode_predict_request(inputs, ModelSpec(name="default", signature_name=signature))
            answer = PredictResponse.FromString(channel.unary_unary(PREDICT)(request, timeout=60))
            return tensor_to_array(answer.outputs["output"]).tolist()

        assert call("get_counter") == 0
        assert call("incr_counter") == 1
        assert call("incr_counter_by", delta=np.array(7, np.float32)) == 8
        assert call("reset_counter") == 0


def test_kd_10_a_version_that_is_written_slowly_is_never_served_half(serve, base, models):
    base.put(1)
    server = serve()
    whole = models.half_plus(3)
    folder = base.folder / "2"
    folder.mkdir()
    seen = {predict(server)}
    step = len(whole) // 20
    with (folder / "model.onnx").open("wb", buffering=0) as file:
        for start in range(0, 19 * step, step):
            file.write(whole[start : start + step])
            for _ in range(10):
                seen.add(predict(server))
            assert states(server).get(2) in {None, "START", "LOADING", "END"}
        assert seen == {3.0}
        file.write(whole[19 * step :])
    wait_until(lambda: states(server).get(2) == "AVAILABLE")
    assert predict(server) == 4.0


def test_reloads_and_new_versions_under_load_fail_no_request(serve, base, models, tmp_path):
    base.put(1)
    other = tmp_path / "other" / "1"
    other.mkdir(parents=True)
    (other / "model.onnx").write_bytes(models.half_plus(2))
    server = serve(entries=[entry("default", base.folder)])
    failures, counts, stop = [], [], threading.Event()

    def keep_asking():
        client, count = server.connection(), 0
        while not stop.is_set():
            client.request("POST", "/v1/models/default:predict", b'{"instances": [2.0]}')
            answer = client.getresponse()
            body = answer.read()
            count += 1
            if answer.status != 200 or json.loads(body)["predictions"][0] not in (3.0, 4.0):
                failures.append((answer.status, body))
        client.close()
        counts.append(count)

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for round_ in range(3):
            assert reload(server, entry("default", other.parent), entry("more", base.folder))[0] == "OK"
            base.put(round_ + 2, models.half_plus(3))
            assert reload(server, entry("default", base.folder))[0] == "OK"
            wait_until(lambda: available(server) == {round_ + 2})  # noqa: B023  # called in the loop
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert failures == []
    assert sum(counts) > 50


def test_a_refused_reload_changes_nothing(serve, base, tmp_path):
    base.put(1)
    server = serve()
    code, text = reload(server, entry("other", base.folder), entry("gone", tmp_path / "gone"))
    assert code == "UNKNOWN"
    assert text.startswith("1 model(s) did not become available: {{name: gone} due to error: NOT_FOUND: Could not find")
    assert predict(server) == 3.0
    assert predict(server, "other")[0] == 404


def test_sv_16_reloads_by_request_can_be_left_out(serve, base, tmp_path):
    base.put(1)
    server = serve("--allow_reload=false", entries=[entry("m", base.folder)])
    code, text = reload(server, entry("n", base.folder))
    assert (code, text) == ("UNIMPLEMENTED", "this server's models are not exchanged by request")
    assert predict(server, "m") == 3.0
    (tmp_path / "models.config").write_text(listed(entry("n", base.folder)))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: predict(server, "n") == 3.0)


def test_sighup_reads_the_configuration_at_once(serve, base, tmp_path):
    base.put(1)
    server = serve(entries=[entry("m", base.folder)])
    (tmp_path / "models.config").write_text(listed(entry("n", base.folder)))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: predict(server, "n") == 3.0)


def test_the_environment_of_tensorflow_servings_images_names_the_model(launcher, base, tls, ports, tmp_path):
    base.put(1)
    words = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--ssl_config_file={tls.config}"]
    command = ["env", "MODEL_NAME=m", f"MODEL_BASE_PATH={tmp_path}", sys.executable, *MODEL_SERVER, *words]
    server = launcher.run(command, ports=ports, cwd=None, files=tls).wait_ready()
    assert predict(server, "m") == 3.0


def test_what_is_in_force_is_said_at_the_start(serve, base):
    base.put(1)
    log = serve("--tensorflow_intra_op_parallelism=1").log
    for words in ("batching: ", "ONNX Runtime", "threads: 1 within an operation", "Strongroom is ready: default"):
        assert words in log
