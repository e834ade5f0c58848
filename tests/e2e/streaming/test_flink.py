"""A real Flink cluster: TLS on every port, the soliloquy's words, the queue's worker as a job, the page in a browser.

One small cluster for all tests. The long ones run with `make flink` (STRONGROOM_FLINK_FULL=1).
"""

import contextlib
import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from strongroom.clusterserving.record import request_fields
from strongroom.clusterserving.result_reading import read_result
from strongroom.serving.operations.detached import alive, members
from strongroom.streaming.flink import queueing
from strongroom.streaming.flink.cluster import Cluster, ClusterRuns, Size, down, up
from strongroom.streaming.flink.folder import ClusterFolder, NoCluster
from strongroom.streaming.flink.home import FlinkHome, FlinkMissing, JavaMissing
from strongroom.streaming.flink.looking import checkpoint_counts, job_state, look
from strongroom.streaming.flink.rest import FlinkAway, FlinkRefused, Place, Rest
from strongroom.streaming.flink.settings import SHORT_LIVED
from strongroom.streaming.flink.stores import make_identities
from strongroom.streaming.flink.submitting import JobFailed
from strongroom.streaming.link.records import Admission

STRONGROOM = [sys.executable, "-m", "strongroom"]
LIMIT_S = 150
FIRST = [
    "(a,5)", "(action,1)", "(after,1)", "(against,1)", "(all,2)", "(and,12)", "(arms,1)", "(arrows,1)", "(awry,1)",
    "(ay,1)", "(bare,1)", "(be,4)", "(bear,3)", "(bodkin,1)", "(bourn,1)",
]  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SMALL = {
    "jobmanager.memory.process.size": "768m",
    "taskmanager.memory.process.size": "1024m",
    "taskmanager.memory.managed.size": "64m",
    "env.java.opts.taskmanager": SHORT_LIVED,
}
full = pytest.mark.skipif(not os.environ.get("STRONGROOM_FLINK_FULL"), reason="make flink runs this")


@pytest.fixture(scope="module")
def home():
    try:
        return FlinkHome.find()
    except (FlinkMissing, JavaMissing) as problem:
        pytest.skip(problem.sentence)


@pytest.fixture(scope="module")
def cluster(home, tmp_path_factory):
    """A cluster for all tests here, also where several of pytest's workers share them."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder = shared / "flink" / "cluster"
    with users_of(shared / "flink.users") as users:
        users.append(1)
        found = up(folder, home, Size(slots=2, options=SMALL)) if len(users) == 1 else Cluster.of(folder)
    yield found
    with users_of(shared / "flink.users") as users:
        users.pop()
        if not users:
            down(folder)
            assert not folder.exists()
            assert [each for each in found.running.processes if alive(each)] == []
            assert workers_of(found) == []


@contextlib.contextmanager
def users_of(path):
    """Lend, to one at a time, the list of those who use the cluster."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users = json.loads(file.read() or "[]")
        yield users
        file.truncate(0)
        file.write(json.dumps(users))


def workers_of(cluster):
    """Return the processes in the sessions of the cluster's own: Python workers."""
    return [pid for each in cluster.running.processes for pid in members(each.pid) if pid != each.pid]


def strongroom(*words):
    done = subprocess.run([*STRONGROOM, *map(str, words)], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done


def until(condition, what):
    """Wait for another process, which tells of nothing by itself."""
    end = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.2)
    return found


# The cluster ---------------------------------------------------------------------------------------------------------


def listening(pids):
    """Return addresses and ports that processes listen on, from /proc."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
            except FileNotFoundError:
                continue
            inodes |= {found[1]} if found else set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                yield address, int(port, 16)


def clear_text(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.settimeout(3)
        connection.sendall(b"GET /overview HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            return connection.recv(65536)
        except (TimeoutError, ConnectionResetError):
            return b""


def handshake(port, context):
    """Return the version of TLS that a server speaks once it has taken us; raise SSLError where it has not."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    with raw, context.wrap_socket(raw, server_hostname="localhost") as connection:
        connection.sendall(b"GET /overview HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        if not connection.recv(1):
            raise ssl.SSLEOFError("hung up")
        return connection.version()


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_dp_05_every_port_speaks_tls_and_takes_nobody_without_a_certificate(cluster):
    ports = list(listening([each.pid for each in cluster.running.processes]))
    assert len(ports) >= 5
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert {address for address, _ in ports} <= loopback
    for _, port in ports:
        answer = clear_text(port)
        assert b"taskmanagers" not in answer
        assert answer == b"" or answer.startswith((b"HTTP/1.1 301", b"\x15\x03"))  # to https, or an alert of TLS
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(port, unverified())
    assert handshake(cluster.place.port, cluster.place.context()) == "TLSv1.3"


def test_dp_05_jobs_are_taken_from_this_cluster_s_clients_alone(cluster, tmp_path):
    stranger = make_identities(["localhost"], now=datetime.now(UTC))
    for name, pem in (
        ("ca.pem", (cluster.folder.tls / "ca.pem").read_bytes()),
        ("cert.pem", stranger.client.certificate_pem),
    ):
        (tmp_path / name).write_bytes(pem)
    with stranger.client.key_pem.reveal() as raw:
        (tmp_path / "key.pem").write_bytes(raw)
    place = Place(cluster.place.host, cluster.place.port, tmp_path)
    with pytest.raises(FlinkAway, match="does not answer") as refused:
        Rest(place).post("/jobs", {})
    assert refused.value.code == "SR-FLINK-AWAY"
    with pytest.raises(FlinkRefused) as unknown:  # ours is heard
        cluster.rest().get("/jobs/" + "0" * 32)
    assert unknown.value.code == "SR-FLINK-REFUSED"


def test_d13_the_rest_port_serves_nothing_in_clear_text(cluster):
    connection = http.client.HTTPConnection("localhost", cluster.place.port, timeout=10)
    connection.request("GET", "/overview")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (301, b"")
    assert answer.getheader("Location").startswith("https://")
    connection.close()


def test_d20_passwords_stand_in_private_files_alone(cluster):
    passwords = set()
    for role in ("jobmanager", "taskmanager", "client"):
        path = cluster.folder.configuration(role) / "config.yaml"
        assert path.stat().st_mode & 0o077 == 0
        passwords |= set(re.findall(r'password: "([^"]+)"', path.read_text()))
    assert len(passwords) == 3  # internal, the REST server's, the client's
    assert cluster.folder.path.stat().st_mode & 0o077 == 0
    for pid in [each.pid for each in cluster.running.processes] + workers_of(cluster):
        for name in ("cmdline", "environ"):
            shown = Path(f"/proc/{pid}/{name}").read_bytes()
            assert not any(password.encode() in shown for password in passwords)
    for log in cluster.folder.logs.iterdir():
        text = log.read_text(errors="replace")
        assert not any(password in text for password in passwords), log


def test_a_second_cluster_does_not_start_in_the_same_folder(cluster, home):
    with pytest.raises(ClusterRuns) as refused:
        up(cluster.folder.path, home, Size())
    assert refused.value.code == "SR-FLINK-RUNS"
    assert cluster.rest().get("/overview")["taskmanagers"] == 1


# The queue -----------------------------------------------------------------------------------------------------------


def doubling():
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.array(2, np.float32), "two")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9).SerializeToString()


ROW = np.array([1, 2, 3, 4], np.float32)


@pytest.fixture
def queue(redis_job, tmp_path, cluster):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "doubling.onnx").write_bytes(doubling())
    config = tmp_path / "config.yaml"
    config.write_text(redis_job.config_yaml("worker", modelPath=tmp_path / "model", maxStreamLength=200_000))
    with redis_job.queue("client") as client:
        yield SimpleNamespace(config=config, client=client, job=redis_job, name=redis_job.job.name)
    for job in queueing.jobs_of(cluster.rest(), redis_job.job.name):
        cluster.rest().cancel(job)  # its test has failed; the others need its slots


def send_and_check(queue, prefix, count):
    uris = [f"{prefix}-{number}" for number in range(count)]
    entries = queue.client.admit_many([Admission(request_fields(uri, {"x": ROW})) for uri in uris])
    assert [each for each in entries if isinstance(each, Exception)] == []
    for uri in uris:
        found = until(lambda uri=uri: queue.client.result(uri), f"the result of {uri}")
        assert np.array_equal(read_result(uri, found).outputs["y"], 2 * ROW)


def consumers(queue):
    with queue.job.queue("worker") as worker:
        return worker.consumers()


def checkpoints(cluster, job):
    return checkpoint_counts(cluster.rest(), job)["completed"]


@pytest.fixture(scope="module")
def counting(cluster):
    """Count words while the queue's job starts, which takes either most of its time."""
    words = [*STRONGROOM, "flink", "run", "--dir", str(cluster.folder.path), "wordcount"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.usefixtures("counting")
def test_the_worker_serves_as_a_flink_job_while_checkpoints_pass_and_ends_with_nothing_in_hand(cluster, queue):
    words = ("queue", "flink", "-c", queue.config, "--dir", cluster.folder.path)
    job = json.loads(strongroom(*words, "--json").stdout)["jobs"][0]
    send_and_check(queue, "first", 100)
    assert list(consumers(queue)) == [f"flink-{queue.name}-0"]
    before = checkpoints(cluster, job)
    cluster.rest().post(f"/jobs/{job}/checkpoints", {"checkpointType": "CONFIGURED"})
    until(lambda: checkpoints(cluster, job) > before, "a checkpoint while the job serves")
    assert next(each for each in look(cluster.rest()).jobs if each.id == job).failed_checkpoints == 0
    send_and_check(queue, "second", 100)
    with pytest.raises(queueing.ServesAlready) as twice:
        queueing.start(cluster.rest(), FlinkHome.find(), queue.config, queue.name)
    assert twice.value.code == "SR-FLINK-SERVES"
    assert strongroom(*words, "--stop").stdout == f"JobID {job} has ended {queue.name}\n"
    assert job_state(cluster.rest(), job) == "FINISHED"
    assert consumers(queue) == {}  # it took leave
    assert queue.client.backlog().records == 0
    with pytest.raises(queueing.NotServed) as nothing:
        queueing.stop(cluster.rest(), queue.name)
    assert nothing.value.code == "SR-FLINK-NOT-SERVED"


def test_the_soliloquy_s_words_are_counted_and_status_knows_the_job(cluster, counting):
    printed, complained = counting.communicate(timeout=LIMIT_S)
    assert counting.returncode == 0, complained
    assert printed.splitlines()[: len(FIRST)] == FIRST
    job = re.search(r"^JobID ([0-9a-f]{32})$", complained, re.MULTILINE)[1]
    state = json.loads(strongroom("flink", "status", "--dir", cluster.folder.path, "--json").stdout)
    assert (state["slots"], len(state["task_managers"])) == (2, 1)
    assert {each["id"]: each["state"] for each in state["jobs"]}[job] == "FINISHED"
    place = f"localhost:{cluster.place.port}"
    shown = strongroom("flink", "status", "-m", place, "--tls-dir", cluster.folder.tls).stdout
    assert f"{job}  FINISHED" in shown


@full
def test_workers_end_when_their_task_manager_or_who_submits_is_killed(home, tmp_path_factory):
    """Nothing is left of a cluster of its own: of Python workers, of Flink's client, of the job manager."""
    folder = tmp_path_factory.mktemp("killed") / "cluster"
    cluster = up(folder, home, Size(slots=1, options=SMALL))
    endless = folder.parent / "endless.py"
    endless.write_text(ENDLESS)
    words = [*STRONGROOM, "flink", "run", "--dir", str(folder), str(endless)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0) as submitting:
        until(lambda: any(b"beam_boot" in command_of(pid) for pid in workers_of(cluster)), "a Python worker")
        client = [pid for pid in pids() if str(endless).encode() in command_of(pid) and pid != submitting.pid]
        assert client
        submitting.kill()
    until(lambda: not [pid for pid in client if command_of(pid)], "the end of Flink's client")
    workers = workers_of(cluster)
    manager = next(each for each in cluster.running.processes if each.role == "taskmanager")
    os.kill(manager.pid, signal.SIGKILL)
    until(lambda: not [pid for pid in workers if b"beam_boot" in command_of(pid)], "the end of the Python workers")
    down(folder)
    assert not [pid for pid in pids() if str(folder).encode() in command_of(pid)]


ENDLESS = """
import time
from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment

environment = StreamExecutionEnvironment.get_execution_environment()
environment.from_collection([1], Types.LONG()).map(lambda each: time.sleep(3600) or each, Types.LONG()).print()
environment.execute("endless")
"""


def pids():
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@full
def test_a_cancelled_job_drains_too(cluster, queue, home):
    job = queueing.start(cluster.rest(), home, queue.config, queue.name, until_open=True)
    send_and_check(queue, "here", 50)
    cluster.rest().cancel(job)
    until(lambda: job_state(cluster.rest(), job) == "CANCELED", "the job's end")
    until(lambda: consumers(queue) == {}, "the worker's leave")


@full
def test_two_workers_share_a_queue_and_one_that_is_killed_comes_back(cluster, queue, home):
    queueing.start(cluster.rest(), home, queue.config, queue.name, parallelism=2, until_open=True)
    send_and_check(queue, "both", 200)
    names = [f"flink-{queue.name}-{number}" for number in range(2)]
    until(lambda: sorted(consumers(queue)) == names, "both workers")
    victims = [pid for pid in workers_of(cluster) if b"beam_boot" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(victims[0], signal.SIGKILL)
    send_and_check(queue, "after", 200)
    queueing.stop(cluster.rest(), queue.name)
    assert queue.client.backlog().records == 0


@full
def test_a_worker_that_cannot_begin_is_told_of_and_its_job_cancelled(cluster, queue, home):
    shutil.rmtree(queue.config.parent / "model")
    with pytest.raises(JobFailed) as failed:
        queueing.start(cluster.rest(), home, queue.config, queue.name, until_open=True)
    assert failed.value.code == "SR-FLINK-JOB-FAILED"
    assert "model" in failed.value.sentence
    until(lambda: queueing.jobs_of(cluster.rest(), queue.name) == [], "the job's end")


@full
def test_an_06_a_plain_task_manager_that_is_to_ask_a_broker_says_so_and_does_not_hang(cluster, queue, home):
    with queue.config.open("a") as config:
        config.write("broker: https://localhost:1\nbrokerCaFile: /ca.pem\nownerKeyFile: /owner.pem\n")
    with pytest.raises(JobFailed, match="plain task managers cannot prove"):
        queueing.start(cluster.rest(), home, queue.config, queue.name, until_open=True)


@full
def test_the_flink_runner_keeps_up_with_the_plain_one(cluster, home, tmp_path, tool):
    found = tool("queue/runners").compare(tmp_path, cluster, home, count=20_000, turns=3)
    for here, there in zip(found.plain, found.flink, strict=True):
        sys.stderr.write(f"plain {here}\nFlink {there}\n")
    sys.stderr.write(f"records per second {found.rates:.2f}, per second of CPU {found.cpu:.2f}\n")
    assert len(found.plain) == len(found.flink) == 3


# Java ----------------------------------------------------------------------------------------------------------------

SQUARES = """
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

public class Squares {
    public static void main(String[] words) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        long last = Long.parseLong(words[0]);
        try (var found = environment.fromSequence(1, last).map(each -> each * each).executeAndCollect("squares")) {
            long sum = 0;
            while (found.hasNext()) {
                sum += found.next();
            }
            System.out.println("the sum of squares is " + sum);
        }
    }
}
"""


@full
@pytest.mark.skipif(shutil.which("javac") is None, reason="there is no javac on this machine")
def test_a_jar_runs_and_what_it_prints_is_handed_on(cluster, home, tmp_path):
    (tmp_path / "Squares.java").write_text(SQUARES)
    classes, jar = tmp_path / "classes", tmp_path / "squares.jar"
    compile_it = ["javac", "-cp", f"{home.distribution}/lib/*", "-d", str(classes), str(tmp_path / "Squares.java")]
    subprocess.run(compile_it, check=True, timeout=LIMIT_S)
    with zipfile.ZipFile(jar, "w") as archive:
        for path in classes.iterdir():
            archive.write(path, path.name)
    done = strongroom("flink", "run", "--dir", cluster.folder.path, "-c", "Squares", jar, "100")
    assert "the sum of squares is 338350\n" in done.stdout
    job = re.search(r"^JobID ([0-9a-f]{32})$", done.stderr, re.MULTILINE)[1]
    assert job_state(cluster.rest(), job) == "FINISHED"


# The page ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(cluster, tmp_path):
    words = ["flink", "page", "--dir", str(cluster.folder.path), "--page-dir", str(tmp_path / "page"), "--json"]
    with (tmp_path / "page.log").open("wb") as log:
        process = subprocess.Popen([*STRONGROOM, *words], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield SimpleNamespace(**json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_sees_flink_after_a_login_and_changes_nothing(cluster, page):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(60_000)
        window, complaints = context.new_page(), []
        window.on("pageerror", lambda error: complaints.append(str(error)))
        window.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)

        window.goto(page.url)
        assert window.url == f"{page.url}/login"
        window.goto(page.link)
        window.wait_for_url(f"{page.url}/login")  # the code has left the address
        window.get_by_role("button", name="Log in").click()
        window.get_by_text("Available Task Slots").wait_for()
        assert window.get_by_text("Submit New Job").count() == 0  # /config offers no changes
        [cookie] = context.cookies()
        assert cookie["httpOnly"]
        assert cookie["secure"]
        assert cookie["sameSite"] == "Strict"
        assert window.evaluate("document.cookie") == ""
        tried = window.evaluate("fetch('/jobs/%s?mode=cancel', {method: 'PATCH'}).then(r => r.text())" % ("0" * 32))
        assert "SR-FLINK-READ-ONLY" in tried
        assert complaints == []

        other = browser.new_context(ignore_https_errors=True).new_page()
        other.goto(page.link)  # it worked once
        other.get_by_role("button", name="Log in").click()
        other.get_by_text("That did not work").wait_for()
        other.get_by_label("Password").fill(Path(page.password_file).read_text().strip())
        other.get_by_role("button", name="Log in").click()
        other.get_by_text("Available Task Slots").wait_for()
        browser.close()


def test_what_has_ended_is_no_cluster(tmp_path):
    with pytest.raises(NoCluster) as nothing:
        Cluster.of(tmp_path)
    assert nothing.value.code == "SR-FLINK-NO-CLUSTER"
    assert ClusterFolder(tmp_path).record.exists() is False
