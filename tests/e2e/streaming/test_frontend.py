"""Whole processes: curl, the front end, Redis with TLS and users, a worker with a model; or the model server."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from strongroom.cli import main
from strongroom.pki import Authority, SslConfig
from strongroom.ports import free_port, free_ports

PASSWORD = "horse-Battery-9-staple"


@pytest.fixture(scope="module")
def authority():
    return Authority.create("frontend e2e", now=datetime.now(UTC))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with one ONNX model: y = x / 2 + 2 for rows of numbers."""
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    nodes = [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "two"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [half, two])
    folder = tmp_path_factory.mktemp("model") / "half"
    folder.mkdir()
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder


class Program:
    """A process of ours whose lines are read until one matches."""

    def __init__(self, *words, until):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "strongroom", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self.said, self.found = [], None
        for line in self.process.stdout:
            self.said.append(line)
            self.found = re.search(until, line)
            if self.found:
                break
        else:
            raise AssertionError("".join(self.said))
        self._drain = threading.Thread(target=lambda: self.said.extend(self.process.stdout))
        self._drain.start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self._drain.join()
        self.process.stdout.close()
        return status


@pytest.fixture
def program():
    started = []

    def start(*words, until):
        started.append(Program(*words, until=until))
        return started[-1]

    yield start
    for each in reversed(started):
        if each.process.poll() is None:
            each.stop()


@pytest.fixture
def files(tmp_path, authority):
    """The CA, and the front's PEM file, which `renew` writes anew."""
    ca, pem = tmp_path / "ca.pem", tmp_path / "server.pem"
    ca.write_bytes(authority.certificate_pem)

    def renew():
        leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
        new = tmp_path / "new.pem"
        new.touch(0o600)
        with leaf.key_pem.reveal() as key:
            new.write_bytes(bytes(key) + leaf.certificate_pem)
        new.replace(pem)

    renew()
    return ca, pem, renew


@pytest.fixture
def front(program, files, redis_job, tmp_path):
    """Return what starts a front end for the test's job: its process and its port."""

    def start(*words, config=True):
        _, pem, _ = files
        path = tmp_path / "front.yaml"
        path.write_text(redis_job.config_yaml("frontend"))
        asked = ["-c", path] if config else []
        found = program("queue", "frontend", *asked, "--interface", "127.0.0.1", "--securePort", 0,
                        "--httpsKeyStorePath", pem, "--json", *words, until=r'"port": (\d+)')  # fmt: skip
        return found, int(found.found[1])

    return start


@pytest.fixture
def worker(program, redis_job, model, tmp_path):
    path = tmp_path / "worker.yaml"
    path.write_text(redis_job.config_yaml("worker", modelPath=model))
    return lambda: program("queue", "serve", "-c", path, "--json", until=r"[Rr]eady|\{")


def ask(port, ca, method, path, body=None, headers=None):  # noqa: PLR0917  # as http.client has them
    connection = http.client.HTTPSConnection(
        "localhost", port, context=ssl.create_default_context(cafile=str(ca)), timeout=60
    )
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def until_ready(port, ca):
    while ask(port, ca, "GET", "/readyz")[0] != 200:
        pass


def listening_ports(process):
    """Return the ports on which a process listens."""
    inodes = set()
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found = re.fullmatch(r"socket:\[(\d+)\]", str(each.readlink()))
            inodes |= {found[1]} if found else set()
    rows = []
    for family in ("tcp", "tcp6"):
        rows += Path(f"/proc/{process.pid}/net/{family}").read_text().splitlines()[1:]
    columns = [row.split() for row in rows]
    return {int(each[1].rpartition(":")[2], 16) for each in columns if each[3] == "0A" and each[9] in inodes}


def test_curl_asks_a_model_through_the_queue(front, worker, files):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    ca, _, _ = files
    running, port = front()
    assert ask(port, ca, "GET", "/readyz")[0] == 503  # D12: nobody works yet
    worker()
    until_ready(port, ca)
    done = subprocess.run(
        ["curl", "-sS", "--cacert", str(ca), "-d", '{"instances":[{"x":[1.0,2.0]},{"x":[6.0,8.0]},{"x":["a"]}]}',
         f"https://localhost:{port}/predict"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, third = json.loads(done.stdout)["predictions"]
    assert [first["data"], second["data"]] == [[2.5, 3.0], [5.0, 6.0]]
    assert third["error"]["code"] == "dtype_mismatch"
    assert running.stop() == 0


def test_d07_two_front_ends_each_get_all_and_only_their_results(front, worker, files, redis_job):
    ca, _, _ = files
    ports = [front()[1], front()[1]]
    worker()
    until_ready(ports[0], ca)
    found = {}

    def many(port, start):
        found[start] = [
            ask(port, ca, "POST", "/predict", {"instances": [{"x": [start + at]}, {"x": [start - at]}]})[1]
            for at in range(20)
        ]

    threads = [threading.Thread(target=many, args=(port, 1000 * at)) for at, port in enumerate(ports)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for start, bodies in found.items():
        values = [[each["data"][0] for each in body["predictions"]] for body in bodies]
        assert values == [[(start + at) / 2 + 2, (start - at) / 2 + 2] for at in range(20)]
    assert "cmdstat_keys" not in str(redis_job.admin("INFO", "commandstats"))


def test_d13_one_port_with_tls_1_2_or_newer_and_nothing_else(front, files):
    ca, _, _ = files
    plain = free_port()
    running, port = front("--port", plain)
    assert listening_ports(running.process) == {port}
    old = ssl.create_default_context(cafile=str(ca))
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", port)) as bare, pytest.raises(ssl.SSLError):
        old.wrap_socket(bare, server_hostname="localhost")


def test_a_certificate_that_is_replaced_on_the_disk_is_used_without_a_restart(front, files):
    _, _, renew = files
    running, port = front()
    before = ssl.get_server_certificate(("localhost", port))
    renew()
    while ssl.get_server_certificate(("localhost", port)) == before:
        assert running.process.poll() is None


def test_d20_no_password_is_on_a_command_line_or_in_an_environment(front, files, tmp_path, redis_job):
    running, _ = front()
    passwords = [each.read_bytes().strip() for each in redis_job.folder.iterdir() if each.is_file()]
    place = Path(f"/proc/{running.process.pid}")
    seen = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
    assert passwords
    assert not [each for each in passwords if each and each in seen]
    assert not [each for each in passwords if each.decode() in "".join(running.said)]


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [(["--httpsEnabled", "false"], "SR-QUEUE-HTTPS-ONLY", 3),
     (["--httpsKeyStoreToken", PASSWORD], "SR-QUEUE-HTTPS-ONLY", 3),
     (["--redissTrustStoreToken", PASSWORD], "SR-QUEUE-HTTPS-ONLY", 3),
     (["--redisOutputQueue", "other:"], "SR-QUEUE-FRONTEND-OPTION", 2),
     (["--tokensPerSecond", "0"], "SR-QUEUE-FRONTEND-OPTION", 2),
     (["--modelName", "m"], "SR-QUEUE-FRONTEND-OPTION", 2),
     (["--servableManagerConfPath", "none.yaml"], "SR-QUEUE-SERVABLES", 2)],
)  # fmt: skip
def test_what_cannot_be_started_says_why(files, capfd, words, code, status):
    _, pem, _ = files
    ended = main(["queue", "frontend", "--httpsKeyStorePath", str(pem), *words])
    said = capfd.readouterr()
    assert ended == status, said.err
    assert code in said.err
    assert PASSWORD not in said.out + said.err


def test_the_original_s_flags_start_it_with_its_defaults(front, files):
    ca, _, _ = files
    flags = "--httpsEnabled true --parallelism 30 --tokenBucketEnabled true --tokensPerSecond 1"
    _, port = front(*flags.split(), "--tokenAcquireTimeout", 0, "--timeWindow", 0, "--countWindow", 0)
    body, headers = {"instances": [{"x": [1]}]}, {"X-Request-Timeout-Ms": "100"}
    statuses = [ask(port, ca, "POST", "/predict", body, headers)[0] for _ in range(20)]
    assert 429 in statuses


def test_the_model_server_answers_one_shot_calls(  # noqa: PLR0917  # fixtures
    front, program, files, model, tmp_path, authority
):
    ca, _, _ = files
    (tmp_path / "models").mkdir()
    shutil.copytree(model, tmp_path / "models" / "1")
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    config = SslConfig(server_key=leaf.key_pem, server_cert=leaf.certificate_pem, custom_ca=b"", client_verify=False)
    ssl_cfg = tmp_path / "ssl.cfg"
    ssl_cfg.touch(0o600)
    with config.render().reveal() as text:
        ssl_cfg.write_bytes(bytes(text))
    rest, grpc = free_ports(2)
    program("serve", f"--port={grpc}", f"--rest_api_port={rest}", "--model_name=half",
            f"--model_base_path={tmp_path / 'models'}", f"--ssl_config_file={ssl_cfg}",
            until="Entering the event loop")  # fmt: skip
    _, port = front("--model-server", f"localhost:{rest}", "--modelName", "half", "--model-server-ca", ca, config=False)
    until_ready(port, ca)
    status, body = ask(port, ca, "POST", "/predict", {"instances": [{"x": [1, 2]}, {"x": [6, 8]}]})
    assert (status, [each["data"] for each in body["predictions"]]) == (200, [[2.5, 3.0], [5.0, 6.0]])
    status, body = ask(port, ca, "POST", "/predict", {"instances": [{"x": [[1, 2]]}]})
    assert (status, body["error"]["code"]) == (422, "shape_mismatch")
