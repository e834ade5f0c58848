"""Server processes from start to stop: versions, drains, shared ports, hostile peers, probes in clear, statuses."""

import contextlib
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest

from strongroom.tfserving import PREDICT, ModelSpec, PredictResponse, encode_predict_request, tensor_to_array

MODEL_SERVER = ("-m", "strongroom.cli.model_server")


def predict_over(channel, *values, timeout=60):
    request = encode_predict_request({"x": np.array(values, np.float32)}, ModelSpec(name="default"))
    response = PredictResponse.FromString(channel.unary_unary(PREDICT)(request, timeout=timeout))
    return tensor_to_array(response.outputs["y"]).tolist(), response.model_spec.version.value


def wait_until(check):
    pause = threading.Event()
    for _ in range(3000):
        if check():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen within a minute")


def test_both_names_of_the_server_start_answer_and_stop(launcher, base):
    base.put(1)
    for command in (("-m", "strongroom", "serve"), MODEL_SERVER):
        server = launcher(base.folder, command=command).wait_ready()
        assert server.predict(1.0, 2.0, 5.0) == [2.5, 3.0, 4.5]
        with server.channel() as channel:
            assert predict_over(channel, 2.0) == ([3.0], 1)
        for line in (
            "Running gRPC ModelServer at",
            "Exporting HTTP/REST API at",
            "Strongroom is ready: default version 1",
        ):
            assert line in server.log
        status, out, log = server.end()
        assert (status, out) == (0, "")
        assert "Traceback" not in log


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_answered(launcher, base, tls):
    base.put(1)
    server = launcher(base.folder).wait_ready()
    body = base.folder.parent / "body.json"
    body.write_text(json.dumps({"instances": [2.0] * 300_000}))  # more than a megabyte: curl waits for 100 Continue
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "60", "--cacert", tls.ca, "--cert", tls.client, "--key",
         tls.client_key, "--data-binary", f"@{body}", f"https://localhost:{server.ports[1]}/v1/models/default:predict"],
        capture_output=True, check=True, timeout=90,
    )  # fmt: skip
    assert json.loads(done.stdout)["predictions"] == [3.0] * 300_000


def test_versions_come_and_go_while_requests_are_answered(launcher, base, models):
    base.put(1)
    server = launcher(base.folder).wait_ready()
    failures, stop = [], threading.Event()

    def keep_asking():
        client = server.connection()
        while not stop.is_set():
            client.request("POST", "/v1/models/default:predict", b'{"instances": [2.0]}')
            answer = client.getresponse()
            body = answer.read()
            if answer.status != 200 or json.loads(body)["predictions"][0] not in (3.0, 4.0):
                failures.append((answer.status, body))
        client.close()

    asker = threading.Thread(target=keep_asking)
    asker.start()
    try:
        base.put(2, models.half_plus(3))
        wait_until(lambda: server.status() == {2: "AVAILABLE", 1: "END"})
        assert server.predict(2.0) == [4.0]
        base.put(3, models.half_plus(4)[:-20])
        wait_until(lambda: server.status().get(3) == "END")
        assert server.status()[2] == "AVAILABLE"
        shutil.rmtree(base.folder / "3")
        shutil.rmtree(base.folder / "2")
        wait_until(lambda: server.status()[1] == "AVAILABLE")
        assert server.predict(2.0) == [3.0]
    finally:
        stop.set()
        asker.join()
    assert failures == []


def test_an_empty_base_path_is_waited_for_and_not_called_ready(launcher, base):
    server = launcher(base.folder).wait_ready()
    server.wait_for(r"Did you forget to name your leaf directory as a number \(eg. '/1/'\)\?")
    assert server.rest("GET", "/readyz")[0] == 503
    status, _, body = server.rest("POST", "/v1/models/default:predict", b'{"instances": [2.0]}')
    assert (status, json.loads(body)["error"]) == (404, "Servable not found for request: Latest(default)")
    base.put(1)
    wait_until(lambda: server.rest("GET", "/readyz")[0] == 200)
    assert server.predict(2.0) == [3.0]


def test_a_model_that_cannot_be_loaded_ends_the_start_with_status_4(launcher, base):
    base.put(1, b"junk")
    status, out, log = launcher(base.folder).end(0)
    assert status == 4
    assert out == ""
    assert "SR-SERVE-NO-VERSION" in log
    assert "SR-MODEL-NOT-LOADABLE" in log
    assert "Traceback" not in log


def test_sv_01_no_listening_socket_answers_in_clear(launcher, base):
    base.put(1)
    server = launcher(base.folder).wait_ready()
    http_1 = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    http_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)
    listening = listening_ports(server.process.pid)
    assert listening == set(server.ports)
    for port in listening:
        for probe in (http_1, http_2):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(probe)
                received = b""
                with contextlib.suppress(ConnectionResetError):
                    while part := connection.recv(4096):
                        received += part
            assert b"HTTP" not in received
            assert len(received) <= 7  # a TLS alert


def open_files(pid):
    """Return what a process's descriptors stand for; one that was closed meanwhile is left out."""
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.append(str(descriptor.readlink()))
    return names


def listening_ports(pid):
    """Return the TCP ports on which a process listens, from the kernel's tables."""
    inodes = {name[8:-1] for name in open_files(pid) if name.startswith("socket:")}
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


def test_sv_12_after_each_hostile_input_the_next_request_works(launcher, base):
    base.put(1)
    server = launcher(base.folder, "--max_message_bytes=5000000", "--max_body_bytes=1000000").wait_ready()
    rng = random.Random(7)
    hostile = [b"", b"{", b"[" * 100_000, b'{"instances": [' + b"1," * 1000, b'{"instances": [1, "a"]}', b"\xff" * 100,
               b'{"instances": [[1], [1, 2]]}', b'{"inputs": NaN}', rng.randbytes(10_000)]  # fmt: skip
    for body in hostile:
        status, _, _ = server.rest("POST", "/v1/models/default:predict", body)
        assert status in {200, 400}
        assert server.predict(2.0) == [3.0]
    announced = server.connection()  # the body itself need not come: its length is refused
    announced.putrequest("POST", "/v1/models/default:predict")
    announced.putheader("Content-Length", "1000001")
    announced.endheaders()
    assert announced.getresponse().status == 413
    announced.close()
    assert server.rest("POST", "/v1/models/default:predict", b"x", {"Content-Encoding": "gzip"})[0] == 400
    with server.channel() as channel:
        method = channel.unary_unary(PREDICT)
        for message in (b"\xff" * 100, rng.randbytes(5000), bytes(5_000_001), b"\x12\x80\x80\x80\x80\x08"):
            with pytest.raises(grpc.RpcError) as caught:
                method(message, timeout=60)
            assert caught.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
            assert predict_over(channel, 2.0)[0] == [3.0]
    for junk in (b"\x16\x03\x01\xff\xff", rng.randbytes(1000), b"GET / HTTP/1.1\r\n\r\n"):
        for port in server.ports:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(junk)
    assert server.predict(2.0) == [3.0]
    assert "Traceback" not in server.log


def test_sv_17_sigterm_under_load_answers_what_was_accepted(launcher, base, models):
    base.put(1, models.slow())
    server = launcher(base.folder, "--tensorflow_intra_op_parallelism=1").wait_ready()
    body = json.dumps({"inputs": np.eye(300).tolist()}).encode()
    clients = [server.connection() for _ in range(4)]
    for client in clients:
        client.request("POST", "/v1/models/default:predict", body)
    answers = [clients[0].getresponse()]  # the others wait for the engine, which takes one at a time
    server.process.send_signal(signal.SIGTERM)
    assert len(json.loads(answers[0].read())["outputs"]) == 300
    for client in clients[1:]:
        answers.append(client.getresponse())
        assert len(json.loads(answers[-1].read())["outputs"]) == 300
    assert [answer.status for answer in answers] == [200] * 4
    assert answers[-1].getheader("Connection") == "close"
    for client in clients:
        client.close()
    status, _, log = server.end(0)
    assert status == 0
    assert "stopped" in log


def test_replicas_with_the_same_words_share_both_ports(launcher, base, ports):
    base.put(1)
    first, second = (launcher(base.folder, ports=ports).wait_ready() for _ in range(2))
    assert {tuple(server.ports) for server in (first, second)} == {ports}
    for _ in range(8):
        assert first.predict(2.0) == [3.0]
    assert first.end()[0] == 0
    for _ in range(8):
        assert second.predict(2.0) == [3.0]
        with second.channel() as channel:
            assert predict_over(channel, 2.0)[0] == [3.0]


def test_a_request_that_runs_too_long_is_504_and_does_not_stay(launcher, base, models):
    base.put(1, models.slow(3000))
    server = launcher(base.folder, "--rest_api_timeout_in_ms=100", "--tensorflow_intra_op_parallelism=1").wait_ready()
    body = json.dumps({"inputs": np.zeros((300, 300)).tolist()}).encode()
    status, _, answer = server.rest("POST", "/v1/models/default:predict", body)
    assert status == 504
    found = re.search(r"the model did not answer within ([0-9.]+) s", json.loads(answer)["error"])
    assert found is not None
    assert 0 < float(found[1]) <= 0.1  # what was left of it when the model was asked
    assert server.rest("GET", "/readyz")[0] == 200


def test_no_key_touches_a_disk_or_a_log(launcher, base, tls, tmp_path):
    base.put(1)
    empty = tmp_path / "work"
    empty.mkdir()
    server = launcher(base.folder, cwd=empty).wait_ready()
    assert server.predict(2.0) == [3.0]
    secret = tls.server_key.split(b"\n")[1]
    pid = server.process.pid
    seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes() + server.log.encode()
    assert secret not in seen
    assert not list(empty.iterdir())
    held = open_files(pid)
    assert not [name for name in held if "memfd:strongroom" in name]
    assert "0 " in next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line)


BAD_STARTS = [
    (["--port=0"], 255, "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."),
    (["--model_base_path="], 255, "Both server_options.model_base_path and server_options.model_config_file are empty"),
    (["--platform_config_file=x"], 255, "--platform_config_file is not offered"),
    (["--prefer_tflite_model"], 255, "--prefer_tflite_model is not offered"),
    (["--ssl_config_file="], 255, "nothing is served without TLS"),
    (["--ssl_config_file=", "--insecure", "--bind=0.0.0.0"], 255, "would answer in clear text on 0.0.0.0"),
    (["--no_such_flag=1"], 255, "unknown argument: --no_such_flag"),
]


@pytest.mark.parametrize(("words", "status", "text"), BAD_STARTS, ids=[" ".join(words) for words, *_ in BAD_STARTS])
def test_bad_starts_are_told_in_tensorflow_servings_form(launcher, base, words, status, text):
    base.put(1)
    server = launcher(base.folder, *words, command=MODEL_SERVER)
    ended, out, log = server.end(0)
    assert ended == status
    assert text in out
    if not text.startswith("unknown argument"):
        assert out.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert "Traceback" not in out + log


def test_insecure_on_loopback_is_served_when_asked_for(launcher, base):
    base.put(1)
    server = launcher(base.folder, "--insecure", with_tls=False).wait_ready()
    assert "clear text, this machine only" in server.log
    with socket.create_connection(("127.0.0.1", server.ports[1]), timeout=20) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
    with grpc.insecure_channel(f"127.0.0.1:{server.ports[0]}") as channel:
        assert predict_over(channel, 2.0)[0] == [3.0]


def test_a_port_that_is_taken_ends_the_start(launcher, base, ports):
    base.put(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without SO_REUSEPORT
        taken.listen()
        status, _, log = launcher(base.folder, ports=(ports[0], taken.getsockname()[1])).end(0)
    assert status == 2
    assert "Traceback" not in log


def test_equal_ports_leave_rest_out(launcher, base, ports):
    base.put(1)
    server = launcher(base.folder, ports=(ports[0], ports[0])).wait_ready()
    assert "REST is not served" in server.log
    with server.channel() as channel:
        assert predict_over(channel, 2.0)[0] == [3.0]


def test_version_names_ourselves_and_the_engine():
    done = subprocess.run(
        [sys.executable, *MODEL_SERVER, "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("Strongroom ModelServer: ")
    assert second.startswith("ONNX Runtime Library: ")
