"""Sealed records from a data owner to an attested worker and back: owner, broker, platform, Redis, worker as processes.

The model returns what it gets, so the canary passes in both directions; whatever the operator of the queue can look at
is searched for it.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper

import strongroom
from strongroom.cli import main
from strongroom.clusterserving.access import Role
from strongroom.clusterserving.faults import ServingError, Unauthorized, UnsealFailed
from strongroom.clusterserving.names import Job
from strongroom.clusterserving.record import request_fields
from strongroom.deploy.description import Description
from strongroom.deploy.gramine.places import PythonPlaces
from strongroom.deploy.gramine.programs import streaming_worker
from strongroom.deploy.gramine.simulated import manifest_of
from strongroom.streaming.client.client import Client
from strongroom.streaming.flink.cluster import Size, down, up
from strongroom.streaming.flink.home import FlinkHome, FlinkMissing, JavaMissing
from strongroom.streaming.link.server import Home, RedisServer

STRONGROOM = [sys.executable, "-m", "strongroom"]
LIMIT_S = 60
JOB = Job("sealed_stream")
CANARY = b"CANARY: the patient's blood pressure is 123 over 78."
VALUES = np.frombuffer(CANARY, "<f4")
MODEL = "echo"
SWAP = """
local a, b = redis.call('HGET', KEYS[1], 'value'), redis.call('HGET', KEYS[2], 'value')
if not (a and b) then return 0 end
redis.call('HSET', KEYS[1], 'value', b)
redis.call('HSET', KEYS[2], 'value', a)
return 1
"""
SECRETS = ("model/echo/1", "secret/queue-sealed_stream", "secret/queue-credentials-sealed_stream")


def echo():
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def owner(tmp_path_factory, simulated_owner):
    """A workspace, a sealed model, a queue key, and a simulated world whose quotes the owner can check."""
    folder = tmp_path_factory.mktemp("owner")
    found = simulated_owner(folder)
    plain = folder / "plain"
    plain.mkdir()
    (plain / "model.onnx").write_bytes(echo())
    found.do("model", "publish", plain, "--name", MODEL, "--version", "1", "--out", folder / "models")
    found.key = ["queue", "key", "--job", JOB.name, "--model", MODEL, "--version", "1", "--out", folder / "queue.json"]
    found.do(*found.key)
    return found


@pytest.fixture(scope="module")
def broker(owner):
    """A broker process that speaks KBS; its addresses and its log."""
    with owner.broker() as found:
        yield found


@pytest.fixture
def redis(tmp_path):
    """A Redis with mutual TLS, an append-only file and one user a role."""
    home = Home.make(tmp_path / "redis", JOB, now=datetime.now(UTC))
    with RedisServer(home) as server:
        yield server


class Worker:
    """A worker under the simulated platform, its settings and its log."""

    def __init__(self, words, *, cwd, redis):
        self._redis = redis
        environment = {key: value for key, value in os.environ.items() if key != "STRONGROOM_QUOTE_FD"}
        self.lines = []
        self.process = subprocess.Popen(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr))
        self._reader.start()

    @property
    def log(self):
        return "".join(self.lines)

    def wait_ready(self):
        line = self.process.stdout.readline()
        assert "consumer" in line, self.end()
        pause = threading.Event()
        for _ in range(LIMIT_S * 20):  # its settings are known before it is at the queue
            if self._redis.admin("EXISTS", JOB.stream):
                return self
            pause.wait(0.05)
        raise AssertionError(f"the worker did not make its stream:\n{self.log}")

    def wait_for(self, pattern):
        pause = threading.Event()
        for _ in range(LIMIT_S * 20):
            if re.search(pattern, self.log):
                return
            pause.wait(0.05)
        raise AssertionError(f"{pattern!r} is not in the log:\n{self.log}")

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return status, self.log


@pytest.fixture
def operator(owner, broker, redis, tmp_path):
    """What an operator holds: sealed models, sealed credentials, public files, manifests; and what the owner does."""
    app, place = tmp_path / "app", redis.home.place(Role.WORKER)
    shutil.copytree(owner.folder / "models", tmp_path / "models")
    app.mkdir()
    shutil.copy(owner.ca, app)
    shutil.copy(owner.folder / "workspace" / "signing" / "owner_public.pem", app)
    credentials = app / "credentials"
    owner.do("queue", "seal", place.key_file, place.password_file, "--job", JOB.name, "--out", credentials)
    shutil.copy(place.ca_file, credentials / "ca.crt")
    shutil.copy(place.cert_file, credentials / "worker.crt")
    description = Description()
    python = PythonPlaces(interpreter=sys.executable, folders=(str(Path(strongroom.__file__).parent),))

    def manifest(**changes):
        values = {
            "modelPath": f"{tmp_path}/models/{MODEL}/1", "jobName": JOB.name, "modelEncrypted": True,
            "recordEncrypted": True, "requireSealed": True, "credentialsSealed": True, "broker": broker.url,
            "brokerCaFile": f"{app}/ca_cert.pem", "ownerKeyFile": f"{app}/owner_public.pem", "brokerWaitSeconds": 20,
            "redisUrl": f"rediss://{place.host}:{place.port}", "redisUser": place.user,
            "redisCaFile": f"{credentials}/ca.crt", "redisCertFile": f"{credentials}/worker.crt",
            "redisKeyFile": f"{credentials}/{Path(place.key_file).name}",
            "redisPasswordFile": f"{credentials}/{Path(place.password_file).name}", **changes,
        }  # fmt: skip
        text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items() if value is not None)
        (app / "config.yaml").write_text(text)
        path = app / "worker.manifest"
        path.write_text(manifest_of(streaming_worker(description, python)).replace("/app/", f"{app}/"))
        return path

    def trust(path, *released):
        owner.trust(path, released, "--lease-seconds", "10", "--name", tmp_path.name)

    with contextlib.ExitStack() as stack:

        def launch(path):
            worker = Worker([*STRONGROOM, "sim", "run", *owner.world, str(path)], cwd=tmp_path, redis=redis)
            stack.callback(put_away, worker)
            return worker

        yield SimpleNamespace(manifest=manifest, trust=trust, launch=launch, folder=tmp_path, app=app)


def put_away(worker):
    if not worker.process.stdout.closed:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.end()


def client_of(redis, owner, *, port=None, key="queue.json", **options):
    place = redis.home.place(Role.CLIENT)
    sealing = {"owner_key": owner.folder / "workspace/signing/owner_public.pem"}
    if key is not None:
        sealing["seal_to"] = owner.folder / key
    return Client(host=place.host, port=port or place.port, username=place.user, password_file=place.password_file,
                  ca=place.ca_file, cert=place.cert_file, key=place.key_file, name=JOB.name,
                  **sealing, **options)  # fmt: skip


@contextlib.contextmanager
def monitored(redis, file):
    """Write down every command that Redis gets, in clear: after TLS, as its operator can."""
    place = redis.home.place(Role.ADMIN)
    password = Path(place.password_file).read_text().strip()
    words = ["redis-cli", "--tls", "--cacert", place.ca_file, "--cert", place.cert_file, "--key", place.key_file,
             "-h", place.host, "-p", str(place.port), "--user", place.user, "MONITOR"]  # fmt: skip
    with file.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env={**os.environ, "REDISCLI_AUTH": password})  # fmt: skip
        try:
            pause = threading.Event()
            for _ in range(LIMIT_S * 20):
                if b"OK" in file.read_bytes():
                    break
                pause.wait(0.05)
            yield
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def written(file, *words):
    """Wait until a file holds all words: who writes it may be late."""
    pause = threading.Event()
    for _ in range(LIMIT_S * 20):
        if all(word in file.read_bytes() for word in words):
            return
        pause.wait(0.05)


@contextlib.contextmanager
def recorded(port, file):
    """Stand between a client and Redis and write down what passes; lend the port to connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listener, file.open("wb") as out, contextlib.ExitStack() as stack:

        def pass_on(source, target):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    out.write(data)
                    target.sendall(data)
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    here = stack.enter_context(listener.accept()[0])
                    there = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    for ends in ((here, there), (there, here)):
                        threads.append(threading.Thread(target=pass_on, args=ends))
                        threads[-1].start()

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join(LIMIT_S)
            for thread in threads[1:]:
                thread.join(LIMIT_S)


def everything_kept(redis):
    """Return what lies on the disk of Redis: the append-only file, and a dump made now."""
    assert redis.admin("SAVE") == b"OK"
    return b"".join(path.read_bytes() for path in (redis.home.folder / "data").rglob("*") if path.is_file())


def test_an_01_kd_24_d05_nothing_of_a_sealed_record_or_result_is_readable_in_the_queue(owner, redis, operator, broker):
    path = operator.manifest()
    operator.trust(path, *SECRETS)
    worker = operator.launch(path).wait_ready()
    limits = Path(f"/proc/{worker_pid(worker)}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    monitor, wire = operator.folder / "monitor", operator.folder / "wire"
    with monitored(redis, monitor), recorded(redis.home.port, wire) as port, client_of(redis, owner, port=port) as ann:
        results = [ticket.result(LIMIT_S) for ticket in [ann.submit({"x": VALUES}) for _ in range(5)]]
        kept = everything_kept(redis)
        assert [each.outputs["y"].ravel().tobytes() for each in results] == [CANARY] * 5
        with pytest.raises(ServingError):
            ann.submit({"x": np.zeros((2, 3, 4), np.float32)}).result(LIMIT_S)
        with client_of(redis, owner, key=None) as bob, pytest.raises(Unauthorized):
            bob.submit({"x": np.zeros(3, np.float32)})
        processes = told_of_processes()
    status, log = worker.end()
    assert status == 0, log
    kept += everything_kept(redis)
    assert monitor.read_bytes().count(b"evalsha") + monitor.read_bytes().count(b"EVALSHA") > 0
    for seen in (kept, monitor.read_bytes(), wire.read_bytes(), log.encode(), broker.log.read_bytes()):
        assert len(seen) > 100
        for form in (CANARY[:16], CANARY[-16:], CANARY[8:24].hex().encode()):
            assert form not in seen
    # No key is there either: not the queue's, not the model's, not the password.
    password = Path(redis.home.place(Role.WORKER).password_file).read_bytes().strip()
    for secret in (*_secrets(owner), password):
        for seen in (kept, monitor.read_bytes(), log.encode(), processes):
            assert secret not in seen
            assert secret.hex().encode() not in seen


def test_an_01_no_file_that_a_worker_leaves_behind_holds_a_record(owner, redis, operator, tmp_path):
    """What was clear was in memory alone: no temporary file, no core file, no cache."""
    path = operator.manifest()
    operator.trust(path, *SECRETS)
    worker = operator.launch(path).wait_ready()
    with client_of(redis, owner) as ann:
        assert ann.predict({"x": VALUES}, timeout_s=LIMIT_S).outputs
    worker.end()
    left = [each for each in tmp_path.rglob("*") if each.is_file() and not each.is_symlink()]
    assert len(left) > 10
    assert [each for each in left if CANARY[:16] in each.read_bytes() or CANARY[-16:] in each.read_bytes()] == []


def told_of_processes():
    """Return what everybody on this machine may read of processes: command lines and environments (defect D20)."""
    found = b""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                found += (process / name).read_bytes()
    return found


@pytest.fixture
def flink(tmp_path):
    """A small Flink cluster of its own."""
    if not os.environ.get("STRONGROOM_FLINK_FULL"):
        pytest.skip("make flink runs this")
    try:
        home = FlinkHome.find()
    except (FlinkMissing, JavaMissing) as problem:
        pytest.skip(problem.sentence)
    cluster = up(tmp_path / "flink", home, Size(slots=1))
    yield cluster
    down(tmp_path / "flink")


def test_an_06_kd_24_flink_launches_workers_that_attest_and_holds_no_key(owner, redis, operator, flink):
    path = operator.manifest()
    words = ["queue", "flink", "-c", str(operator.app / "config.yaml"), "--dir", str(flink.folder.path)]
    assert main(words) == 3  # a plain task manager is asked to prove what it cannot
    launch = ["--launch", shlex.join(["strongroom", "sim", "run", *owner.world, str(path)])]
    assert main([*words, *launch]) == 3  # the broker knows no such worker, and the job was cancelled
    operator.trust(path, *SECRETS)
    assert main([*words, *launch]) == 0
    with client_of(redis, owner) as ann:
        results = [ticket.result(LIMIT_S) for ticket in [ann.submit({"x": VALUES}) for _ in range(5)]]
        assert [each.outputs["y"].ravel().tobytes() for each in results] == [CANARY] * 5
    assert main([*words, "--stop"]) == 0
    assert redis.admin("HLEN", JOB.workers) == 0  # it drained and took leave
    said = b"".join(log.read_bytes() for log in flink.folder.logs.iterdir())
    password = Path(redis.home.place(Role.WORKER).password_file).read_bytes().strip()
    for secret in (*_secrets(owner), password, CANARY):
        assert secret not in said
        assert secret.hex().encode() not in said


def worker_pid(worker):
    """Return the process that holds the keys: the launcher's child."""
    pid = worker.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return children[0] if children else pid


def test_an_01_the_search_itself_finds_what_is_not_sealed(redis):
    fields = request_fields("plain-1", {"x": VALUES}, serde="raw")
    redis.admin("XADD", JOB.stream, "*", *(word for pair in fields.items() for word in pair))
    assert CANARY[:16] in everything_kept(redis)
    assert CANARY[-16:] in everything_kept(redis)


def test_an_06_kd_24_a_changed_or_unknown_worker_gets_nothing_and_says_why(owner, redis, operator):
    redis.admin("HSET", "model_secured", "secret", "secret", "salt", "salt")  # where the original looks
    path = operator.manifest()
    assert_refused(operator.launch(path))
    operator.trust(path, *SECRETS)
    operator.manifest(requireSealed=False)  # one line of the measured configuration
    assert_refused(operator.launch(path))
    assert redis.admin("EXISTS", JOB.workers, JOB.stream) == 0


def assert_refused(worker):
    worker.process.wait(LIMIT_S)
    status, log = worker.end()
    assert status == 3, log
    assert "SR-KEY-NOT-RELEASED" in log


def test_a_queue_key_that_was_not_released_keeps_the_worker_from_starting(owner, operator):
    path = operator.manifest(credentialsSealed=None, redisUser=None, redisPasswordFile=None, redisCertFile=None,
                             redisKeyFile=None)  # fmt: skip
    operator.trust(path, "model/echo/1")
    assert_refused(operator.launch(path))


def test_a_sealed_model_comes_over_gramines_protocol_as_well(owner, broker, redis, operator):
    place = redis.home.place(Role.WORKER)
    path = operator.manifest(broker=broker.gramine, recordEncrypted=None, requireSealed=None, credentialsSealed=None,
                             redisKeyFile=place.key_file, redisPasswordFile=place.password_file)  # fmt: skip
    operator.trust(path, "model/echo/1")
    worker = operator.launch(path).wait_ready()
    with client_of(redis, owner, key=None) as bob:
        assert bob.submit({"x": VALUES}).result(LIMIT_S).outputs["y"].ravel().tobytes() == CANARY
    assert worker.end()[0] == 0


def test_a_lost_lease_lets_records_wait_and_a_renewed_one_answers_them(owner, redis, operator):
    path = operator.manifest(keyLeaseSeconds=2, claimIdleMs=500)
    rules = owner.folder / "workspace" / "policy.toml"
    before = rules.read_bytes()
    operator.trust(path, *SECRETS)
    trusted = rules.read_bytes()
    worker = operator.launch(path).wait_ready()
    with client_of(redis, owner) as ann:
        assert ann.submit({"x": VALUES}).result(LIMIT_S).outputs
        rules.write_bytes(before)
        worker.wait_for("key lease of secret/queue-sealed_stream lost")
        waiting = ann.submit({"x": VALUES})
        worker.wait_for("key lease of model/echo/1 lost")
        assert not waiting.done
        rules.write_bytes(trusted)
        assert waiting.result(LIMIT_S).outputs["y"].ravel().tobytes() == CANARY
    assert worker.end()[0] == 0


def test_sv_04_a_rotated_key_arrives_without_a_restart_and_both_are_opened(owner, redis, operator):
    path = operator.manifest(claimIdleMs=500)
    operator.trust(path, *SECRETS)
    worker = operator.launch(path).wait_ready()
    shutil.copy(owner.folder / "queue.json", owner.folder / "old.json")
    owner.do(*owner.key, "--rotate")
    with client_of(redis, owner, key="old.json") as old, client_of(redis, owner) as new:
        tickets = [each.submit({"x": VALUES}) for each in (old, new)]
        answers = [ticket.result(LIMIT_S).outputs["y"].ravel().tobytes() for ticket in tickets]
    assert answers == [CANARY, CANARY]
    assert worker.end()[0] == 0


def test_sv_06_a_replayed_record_is_not_answered_and_swapped_results_do_not_open(owner, redis, operator):
    path = operator.manifest()
    operator.trust(path, *SECRETS)
    worker = operator.launch(path).wait_ready()
    with client_of(redis, owner) as ann:
        monitor = operator.folder / "monitor"
        with monitored(redis, monitor):
            first = ann.submit({"x": VALUES}, uri="first")
            assert first.result(LIMIT_S).outputs
            written(monitor, b'"serde" "sealed"', b'"reply"')
        seen = re.search(rb'"serde" "sealed" "kid" "([0-9a-f]+)" "data" "(.*?)" "reply"', monitor.read_bytes())
        assert seen, monitor.read_bytes()[:2000]
        data = seen[2].decode("unicode_escape").encode("latin-1")
        entry = redis.admin("XADD", JOB.stream, "*", "uri", "first", "serde", "sealed", "kid", seen[1], "data", data)
        pause = threading.Event()
        for _ in range(LIMIT_S * 20):
            found = redis.admin("HMGET", JOB.result("first"), "id", "code")
            if found[0] == entry:
                break
            pause.wait(0.05)
        assert found == [entry, b"unseal_failed"]
        # Results change places: each opens for neither.
        tickets = [ann.submit({"x": VALUES}, uri=f"r{number}", deadline_ms=60_000) for number in (1, 2)]
        keys = [JOB.result(f"r{number}") for number in (1, 2)]
        for _ in range(LIMIT_S * 20):
            if redis.admin("EVAL", SWAP, 2, *keys) == 1:
                break
            pause.wait(0.05)
        for ticket in tickets:
            with pytest.raises(UnsealFailed):
                ticket.result(LIMIT_S)
    assert worker.end()[0] == 0


def _secrets(owner):
    """Return the bytes that must be nowhere: the model's key and the queue's."""
    found = []
    for name in SECRETS[:2]:
        out = owner.folder / "exported"
        owner.do("key", "export", name, "--out", out)
        found.append(out.read_bytes()[:32])
        out.unlink()
    return found
