"""Attested replicas behind nginx as on a plain machine: same manifest, shared ports, TLS passed through, one dying."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper

from strongroom.client import Client
from strongroom.deploy.description import Description
from strongroom.deploy.fronts import Listed, Listening, Replica, nginx_passthrough
from strongroom.ports import free_ports

HOST = Description().host
STRONGROOM = [sys.executable, "-m", "strongroom"]
READY = "Entering the event loop"
NAME = "sealed-model"
LIMIT_S = 60
pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds, what):
    pause = threading.Event()
    for _ in range(LIMIT_S * 50):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError(f"{what} did not come about within {LIMIT_S} s")


def twice_the_input():
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture
def stack():
    with contextlib.ExitStack() as ending:
        yield ending


def running(stack, words, folder, log):
    """Start a program whose log goes to a file; it ends with the test."""
    file = stack.enter_context((folder / log).open("wb"))
    process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    stack.callback(process.wait, LIMIT_S)
    stack.callback(process.terminate)
    return process


@pytest.fixture
def owner(tmp_path, simulated_owner):
    """A workspace with a sealed model, a simulated world, and what clients need: TLS files."""
    source = tmp_path / "plain" / "1"
    source.mkdir(parents=True)
    (source / "model.onnx").write_bytes(twice_the_input())
    found = simulated_owner(tmp_path)
    found.do("certs", "two-way", "--server", HOST, "--client", "client.example", "--out", tmp_path / "ssl")
    found.do("model", "publish", source, "--name", NAME, "--version", "1", "--out", tmp_path / "models", "--ssl-config",
             tmp_path / "ssl" / "ssl.cfg")  # fmt: skip
    shutil.copy(found.ca, tmp_path)
    shutil.copy(tmp_path / "workspace" / "signing" / "owner_public.pem", tmp_path)
    return found


@pytest.fixture
def replicas(owner, measured_program, stack):
    """A broker that trusts one measurement, and two replicas of it that share their ports."""
    folder = owner.folder
    ports, broker = free_ports(2), stack.enter_context(owner.broker())
    flags = [
        f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--model_name={NAME}", f"--model_base_path=models/{NAME}",
        "--ssl_config_file=models/ssl.cfg", f"--broker={broker.gramine}", "--broker_ca=ca_cert.pem",
        "--owner_key=owner_public.pem", "--broker_wait_seconds=60",
    ]  # fmt: skip
    program = measured_program(folder / "replica.manifest", ["serve", *flags], "ca_cert.pem", "owner_public.pem")
    owner.trust(program, [f"model/{NAME}/1"])
    run = [*STRONGROOM, "sim", "run", *owner.world, str(program)]
    found = [running(stack, run, folder, f"replica{number}.log") for number in (1, 2)]
    for number in (1, 2):
        log = folder / f"replica{number}.log"
        wait_until(lambda log=log: READY in log.read_text(), f"replica {number}")
    return found, ports


@pytest.mark.parametrize("protocol", ["grpcs", "https"])
def test_dp_09_evidence_and_answers_survive_the_death_of_a_replica_behind_a_front(owner, replicas, stack, protocol):
    folder = owner.folder
    (first, _second), ports = replicas
    grpc, rest = free_ports(2)
    at = Listening(grpc=f"127.0.0.1:{grpc}", rest=f"127.0.0.1:{rest}", folder=str(folder), access_log="off")
    upstream = Listed((Replica("127.0.0.1", *ports),))
    (folder / "nginx.conf").write_text(nginx_passthrough(Description(), upstream, at))
    running(stack, ["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")], folder, "nginx.log")
    wait_until(lambda: listens(grpc), "nginx")
    shutil.copy(folder / "workspace" / "policy.toml", folder / "workspace" / "trust")
    certificates = folder / "ssl" / "client"
    where = {"evidence_url": f"https://127.0.0.1:{rest}"} if protocol == "grpcs" else {}
    asking = stack.enter_context(
        Client(
            f"{protocol}://127.0.0.1:{grpc if protocol == 'grpcs' else rest}", ca=folder / "ca_cert.pem",
            certificate=certificates / "cert.pem", key=certificates / "key.pem", server_name=HOST,
            trust=folder / "workspace" / "trust", connections=4, retries=8, max_age_s=1.0, **where,
        )
    )  # fmt: skip
    stop, answers, failed = threading.Event(), Counter(), []

    def ask():
        while not stop.is_set():
            try:
                answers[tuple(asking.predict(NAME, {"x": np.array([2.0], np.float32)})["y"].tolist())] += 1
            except Exception as problem:  # noqa: BLE001  # whatever it is, the test tells
                failed.append(problem)

    def more():
        before = answers.total()
        wait_until(lambda: failed or answers.total() >= before + 40, "forty more answers")

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(ask)
        try:
            more()
            first.send_signal(signal.SIGTERM)
            more()
            assert first.wait(LIMIT_S) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
            more()
        finally:
            stop.set()
    assert failed == []
    assert set(answers) == {(4.0,)}
    proved = dict(asking.evidence(NAME).proved())
    assert "accepted by your rule" in proved["program"]
