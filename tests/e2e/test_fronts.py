"""Real nginx and HAProxy in front of real model servers: what each rendered configuration does with calls.

The numbers in docs/fronts.md and in the files' own comments are those of `test_a_front_behaves_as_its_file_says`.
"""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from onnx import TensorProto, helper

from strongroom.client import Client
from strongroom.client.grpc_transport import PREDICT, predict_request
from strongroom.client.status import ServerBusy
from strongroom.deploy.description import Description
from strongroom.deploy.fronts import (
    FrontFiles,
    Listed,
    Listening,
    Replica,
    Resolved,
    haproxy_h2,
    haproxy_passthrough,
    nginx_grpc,
    nginx_passthrough,
)
from strongroom.pki import Authority, SslConfig
from strongroom.ports import free_ports
from strongroom.tfserving import messages

HOST = Description().host
READY = "Entering the event loop"
LIMIT_S = 60
X = np.zeros((200, 200), np.float32)
FRONTS = {
    "nginx-passthrough": ("nginx", nginx_passthrough),
    "nginx-grpc": ("nginx", nginx_grpc),
    "haproxy-passthrough": ("haproxy", haproxy_passthrough),
    "haproxy-h2": ("haproxy", haproxy_h2),
}
pytestmark = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("haproxy")), reason="nginx and haproxy are not installed"
)


def wait_until(holds, what):
    pause = threading.Event()
    for _ in range(LIMIT_S * 50):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError(f"{what} did not come about within {LIMIT_S} s")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def products(rounds, *, times):
    """Return a model that takes as long as `rounds` products of a 200 x 200 matrix, tiled `times` each way."""
    nodes = [helper.make_node("MatMul", [f"v{n}", "v0"], [f"v{n + 1}"]) for n in range(rounds)]
    nodes = [helper.make_node("Tile", ["x", "tiles"], ["v0"]), *nodes]
    nodes.append(helper.make_node("Identity", [f"v{rounds}"], ["y"]))
    tiles = helper.make_tensor("tiles", TensorProto.INT64, [2], [times, times])
    sides = {"x": 200, "y": 200 * times}
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side]) for name, side in sides.items()]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], [tiles])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def echo():
    """Return a model that answers a list of numbers with itself, however long."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One owner's TLS files for clients, replicas and fronts; models whose version tells which replica answered."""
    folder, now = tmp_path_factory.mktemp("owner"), datetime.now(UTC)
    authority = Authority.create("Owner", now=now)
    server, client = authority.issue_server([HOST], now=now), authority.issue_client("client.example", now=now)
    config = SslConfig(server_key=server.key_pem, server_cert=server.certificate_pem,
                       custom_ca=authority.certificate_pem, client_verify=True)  # fmt: skip
    (folder / "ca_cert.pem").write_bytes(authority.certificate_pem)
    for name, leaf in (("server", server), ("client", client)):
        with leaf.key_pem.reveal() as raw:
            (folder / f"{name}.pem").write_bytes(leaf.certificate_pem + raw)
            (folder / f"{name}.key").write_bytes(raw)
    with config.render().reveal() as raw:
        (folder / "ssl.cfg").write_bytes(raw)
    models = {"fast": products(1, times=1), "slow": products(62, times=4), "echo": echo()}
    for number in (1, 2, 3):
        for name, model in models.items():
            version = folder / f"replica{number}" / name / str(number)
            version.mkdir(parents=True)
            (version / "model.onnx").write_bytes(model)
        configs = "".join(
            f'config {{ name: "{name}" base_path: "{folder}/replica{number}/{name}" model_platform: "onnx" }} '
            for name in models
        )
        (folder / f"replica{number}" / "models.config").write_text(f"model_config_list {{ {configs} }}")
    return folder


class Server:
    """A running `strongroom serve`; replica N serves version N."""

    def __init__(self, files, number, ports, *words):
        self.number, self.ports, self.log = number, ports, []
        self._ready = threading.Event()
        flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--ssl_config_file={files / 'ssl.cfg'}",
                 f"--model_config_file={files / f'replica{number}' / 'models.config'}", *words]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if key != "STRONGROOM_QUOTE_FD"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "strongroom", "serve", *flags],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if READY in line:
                self._ready.set()
        self._ready.set()

    def wait_ready(self):
        assert self._ready.wait(LIMIT_S)
        assert READY in "".join(self.log), "".join(self.log)
        return self

    def wait_busy(self):
        """Wait until it has computed for a tenth of a second more: a slow request is being run."""
        before = self.ticks()
        wait_until(lambda: self.ticks() - before >= os.sysconf("SC_CLK_TCK") // 10, "a request in the engine")

    def ticks(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:13]))

    def end(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        self.process.stderr.close()
        return status


@pytest.fixture
def start(files):
    """Start model servers; they end with the test."""
    with contextlib.ExitStack() as stack:

        def begin(*numbers, words=(), ports=None):
            servers = [Server(files, number, ports or free_ports(2), *words) for number in numbers]
            for server in servers:
                stack.callback(server.end)
            return [server.wait_ready() for server in servers]

        yield begin


@pytest.fixture(scope="module")
def standing(files):
    """Start one replica for the tests that only ask it."""
    server = Server(files, 1, free_ports(2))
    try:
        yield server.wait_ready()
    finally:
        server.end()


@pytest.fixture
def front(files, tmp_path):
    """Check and start a front from its rendered text, by kind; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def begin(kind, upstream, *, workers=2):
            program, render = FRONTS[kind]
            ports = free_ports(2)
            at = Listening(grpc=f"127.0.0.1:{ports[0]}", rest=f"127.0.0.1:{ports[1]}", folder=str(tmp_path),
                           access_log=str(tmp_path / "access.log"), files=FrontFiles(str(files)),
                           workers=workers)  # fmt: skip
            file = tmp_path / f"{kind}.conf"
            file.write_text(render(Description(), upstream, at))
            log = stack.enter_context((tmp_path / "front.log").open("wb"))
            words = ["nginx", "-e", "stderr", "-c"] if program == "nginx" else ["haproxy", "-f"]
            check = [*words[:-1], "-t", "-c"] if program == "nginx" else ["haproxy", "-c", "-f"]
            subprocess.run([*check, file], check=True, stdout=log, stderr=log)
            process = subprocess.Popen([*words, file], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(process.wait, LIMIT_S)
            stack.callback(process.terminate)
            wait_until(lambda: listens(ports[0]), "the front")
            return SimpleNamespace(grpc=ports[0], rest=ports[1], process=process, log=tmp_path / "front.log")

        yield begin


def listed(servers):
    return Listed(tuple(Replica("127.0.0.1", *server.ports) for server in servers))


def client(files, port, *, protocol="grpc", **options):
    scheme = {"grpc": "grpcs", "rest": "https"}[protocol]
    return Client(
        f"{scheme}://127.0.0.1:{port}", ca=files / "ca_cert.pem", certificate=files / "client.pem",
        key=files / "client.key", server_name=HOST, **options,
    )  # fmt: skip


class Caller:
    """gRPC as a plain client speaks it: no retries; counts versions and statuses."""

    def __init__(self, files, port):
        self._files, self._port = files, port
        self._channels = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channels.close()

    def channel(self):
        read = {name: (self._files / name).read_bytes() for name in ("ca_cert.pem", "client.key", "client.pem")}
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.ssl_target_name_override", HOST), ("grpc.initial_reconnect_backoff_ms", 100)]  # fmt: skip
        credentials = grpc.ssl_channel_credentials(*read.values())
        return self._channels.enter_context(grpc.secure_channel(f"127.0.0.1:{self._port}", credentials, options))

    def begin(self, channel, model="fast"):
        request = predict_request(model, {"x": X})
        return channel.unary_unary(PREDICT).future(request, timeout=LIMIT_S)

    def outcome(self, call):
        """Return the number of the replica that answered, or the name of the status."""
        try:
            return messages.PredictResponse.FromString(call.result()).model_spec.version.value
        except grpc.RpcError as failure:
            return failure.code().name

    def calls(self, channels):
        return Counter(self.outcome(self.begin(channel)) for channel in channels)


@pytest.mark.parametrize("kind", FRONTS)
def test_a_front_behaves_as_its_file_says(kind, files, start, front, record_property):
    passes = kind.endswith("passthrough")
    servers = {server.number: server for server in start(1, 2)}
    at = front(kind, listed(servers.values()))
    with Caller(files, at.grpc) as caller:
        # 1. Calls of one channel, and of twenty.
        channel = caller.channel()
        one = caller.calls([channel] * 20)
        many = caller.calls([caller.channel() for _ in range(20)])
        assert sorted(one.values()) == ([20] if passes else [10, 10])
        assert sum(many.values()) == 20
        assert min(many[1], many[2]) >= 8
        # 2. Four calls in flight; the replica that runs one of them is killed.
        calls = [caller.begin(channel, "slow") for _ in range(4)]
        victim = servers[next(iter(one))]
        victim.wait_busy()
        victim.end()
        lost = Counter(caller.outcome(call) for call in calls)
        # 3. The next calls, and those when nobody is left.
        after = caller.calls([channel] * 20)
        (survivor,) = (server for server in servers.values() if server is not victim)
        survivor.end()
        nobody = caller.calls([channel] * 4)
    record_property("measured", f"{kind}: {dict(one)} {dict(many)} lost {dict(lost)} after {dict(after)} {nobody}")
    sys.stderr.write(f"{kind}: {dict(one)} {dict(many)} lost {dict(lost)} after {dict(after)} {nobody}\n")
    if kind == "haproxy-h2":
        assert lost == {survivor.number: 4}
    else:
        assert lost["UNAVAILABLE"] == (4 if passes else 2)
    assert after == {survivor.number: 20}
    assert nobody == {"UNAVAILABLE": 4}


def test_dp_09_one_client_over_three_replicas_behind_passthrough_gives_each_more_than_a_fifth(files, start, front):
    servers = start(1, 2, 3)
    at = front("nginx-passthrough", listed(servers))
    with client(files, at.grpc, connections=6) as asking:
        answered = Counter(asking.predict("fast", {"x": X}).version for _ in range(60))
    assert set(answered) == {1, 2, 3}
    assert min(answered.values()) > 60 / 5


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_no_request_fails_while_replicas_are_killed_come_back_and_drain(protocol, files, start, front):
    servers = start(1, 2, 3)
    at = front("nginx-passthrough", listed(servers))
    stop, answered, failed = threading.Event(), Counter(), []

    def ask():
        while not stop.is_set():
            try:
                answered[asking.predict("fast", {"x": X}).version or 0] += 1
            except Exception as problem:  # noqa: BLE001  # whatever it is, the test tells
                failed.append(problem)

    def more_answers():
        before = answered.total()
        wait_until(lambda: answered.total() >= before + 30 or failed, "thirty more answers")

    port = at.grpc if protocol == "grpc" else at.rest
    with client(files, port, protocol=protocol, connections=6, retries=6) as asking, ThreadPoolExecutor(6) as threads:
        for _ in range(6):
            threads.submit(ask)
        try:
            more_answers()
            servers[0].end()
            more_answers()
            servers[0] = start(1, ports=servers[0].ports)[0]
            assert servers[1].end(signal.SIGTERM) == 0
            more_answers()
        finally:
            stop.set()
    assert failed == []


def test_without_retries_what_a_dying_replica_had_begun_fails(files, start, front):
    servers = start(1, 2)
    at = front("nginx-passthrough", listed(servers))
    with client(files, at.grpc) as asking, ThreadPoolExecutor(1) as thread:
        (victim,) = (each for each in servers if each.number == asking.predict("fast", {"x": X}).version)
        begun = thread.submit(asking.predict, "slow", {"x": X})
        victim.wait_busy()
        victim.end()
        with pytest.raises(ServerBusy, match="UNAVAILABLE"):
            begun.result(LIMIT_S)
        assert asking.predict("fast", {"x": X}).version == 3 - victim.number


def test_a_connection_that_reached_its_age_at_the_client_or_the_server_ends_without_a_failure(files, start):
    (server,) = start(1, words=["--grpc_channel_arguments=grpc.max_connection_age_ms=300"])
    with client(files, server.ports[0], connections=2, max_age_s=0.2, retries=0) as asking:
        until = time.monotonic() + 2
        count = 0
        while count < 10 or time.monotonic() < until:
            assert asking.predict("fast", {"x": X}).version == 1
            count += 1


@pytest.mark.parametrize("kind", FRONTS)
def test_requests_and_answers_beyond_a_fronts_buffers_get_through(kind, files, standing, front):
    at = front(kind, listed([standing]))
    numbers = np.arange(3 << 20, dtype=np.float32)  # 12 MiB
    with client(files, at.grpc) as asking:
        assert np.array_equal(asking.predict("echo", {"x": numbers})["y"], numbers)


class NameServer:
    """Answers every question for an IPv4 address with all `addresses`, and every other with nothing (RFC 1035)."""

    def __init__(self):
        self.addresses = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        while True:
            question, peer = self._socket.recvfrom(512)
            if not question:
                return
            end = question.index(0, 12) + 5  # the name, its type and class
            is_address = question[end - 4 : end - 2] == b"\x00\x01"
            found = self.addresses if is_address else []
            records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(a) for a in found)
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
            self._socket.sendto(head + question[12:end] + records, peer)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


def test_as_in_a_cluster_replicas_that_dns_names_later_get_connections_and_those_that_left_get_none(
    files, start, front
):
    ports = free_ports(2)
    first, _second = (start(number, words=[f"--bind=127.0.0.{number + 1}"], ports=ports)[0] for number in (1, 2))
    with contextlib.closing(NameServer()) as names:
        names.addresses = ["127.0.0.2"]
        upstream = Resolved(name="replicas.example", resolver=f"127.0.0.1:{names.port}", grpc=ports[0], rest=ports[1])
        at = front("nginx-passthrough", upstream, workers=1)  # each keeps for two seconds what it was told
        with Caller(files, at.grpc) as caller:

            def fresh():
                return caller.calls([caller.channel() for _ in range(10)])

            assert fresh() == {1: 10}
            names.addresses = ["127.0.0.2", "127.0.0.3"]
            wait_until(lambda: fresh()[2], "a connection to the new replica")
            assert set(fresh() + fresh()) == {1, 2}
            first.end()
            assert fresh() == {2: 10}, at.log.read_text()  # DNS still names it: the other one gets what cannot connect
            names.addresses = ["127.0.0.3"]
            assert fresh() == {2: 10}


def test_names_that_are_not_ours_and_clients_without_a_name_get_nothing(standing, front):
    for kind in FRONTS:
        at = front(kind, listed([standing]))
        for name in ("other.example", None):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                shake_hands(at.grpc, name)


def shake_hands(port, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as plain:
        context.wrap_socket(plain, server_hostname=name).close()
