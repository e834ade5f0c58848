"""Trusted sessions on real Spark: what other users, disks and the wire see of a job."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import pytest

from strongroom.analytics.session.storage import is_in_memory
from strongroom.analytics.submit.session import SessionRuns, TrustedSession
from strongroom.analytics.submit.submitting import keep_event_logs
from strongroom.sparkjobs import defaults_file

CANARY = "canary-" + "9f27c1d0b4"  # never whole in the source of a plan
SUBMIT = (sys.executable, "-m", "strongroom", "spark", "submit")


def secrets_of(session, primary_keys):
    settings = defaults_file.parse((session.folder.conf / "spark-defaults.conf").read_bytes())
    jvm = session.spark.sparkContext._jvm
    found = {value for name, value in settings.items() if name.endswith("Password")}
    found |= {(session.folder.path / name).read_text() for name in ("gateway.token", "page.token")}
    user = jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser()
    own = user.getCredentials().getSecretKey(jvm.org.apache.hadoop.io.Text("sparkCookie"))  # what Spark made for itself
    found.add(bytes(own).decode())
    for path in primary_keys.iterdir():
        found |= set(json.loads(path.read_bytes())["keys"].values())
    return found


def pages(session, path):
    return page(session, f"/api/v1/applications/{session.status().application}/{path}",
                f"Bearer {session.page_token_file.read_text()}")[1]  # fmt: skip


def page(session, path, authorization):
    context = ssl.create_default_context(cafile=session.ca_file)
    headers = {"Authorization": authorization} if authorization else {}
    asked = urllib.request.Request(session.status().page + path, headers=headers)  # noqa: S310  # https
    try:
        with urllib.request.urlopen(asked, context=context, timeout=60) as reply:  # noqa: S310  # https
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def everything_shown_by_processes():
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                yield process.name, name, (process / name).read_bytes()
            except OSError:
                continue  # ended, or somebody else's


def test_an_09_a6_no_secret_is_in_an_argument_or_environment_of_any_process(trusted_session, primary_keys):
    context = trusted_session.spark.sparkContext
    assert context.parallelize(range(4), 2).map(lambda number: number + 1).sum() == 10  # there are workers now
    secrets = secrets_of(trusted_session, primary_keys)
    assert len(secrets) >= 5
    assert all(len(secret) >= 20 for secret in secrets)
    seen = list(everything_shown_by_processes())
    assert any(b"strongroom.submit.Gateway" in data for _, _, data in seen)
    for pid, name, data in seen:
        assert not [1 for secret in secrets if secret.encode() in data], f"/proc/{pid}/{name}"


def test_an_09_the_page_answers_over_tls_alone_and_shows_no_secret(trusted_session, primary_keys):
    shown = pages(trusted_session, "environment")
    assert "spark.ssl.keyStorePassword" in shown
    assert not [1 for secret in secrets_of(trusted_session, primary_keys) if secret in shown]
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(trusted_session.status().page, timeout=60)  # noqa: S310  # https


@pytest.mark.parametrize("path", ["/", "/jobs/", "/stages/", "/environment/", "/executors/", "/SQL/",
                                  "/static/webui.js", "/api/v1/applications", "/metrics/json"])  # fmt: skip
def test_an_09_pages_are_for_who_has_the_sessions_token_alone(trusted_session, path):
    token = trusted_session.page_token_file.read_text()
    gateway = (trusted_session.folder.path / "gateway.token").read_text()
    for wrong in (
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {token[:-1]}",
        f"Bearer {gateway}",
        "Basic ###",
        "Basic",
        basic(""),
    ):
        assert page(trusted_session, path, wrong)[0] == 401, wrong
    assert page(trusted_session, path, f"Bearer {token}")[0] == 200
    assert page(trusted_session, path, basic(token))[0] == 200
    assert token not in pages(trusted_session, "environment")


def basic(password):
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


def test_an_09_ports_of_the_driver_listen_on_loopback_and_answer_nobody_without_the_secret(trusted_session):
    ports = listening(trusted_session.spark.sparkContext._gateway.proc.pid)
    assert ports
    assert {address for address, _ in ports} == {"127.0.0.1"}
    request = struct.pack(">qbqi", 8 + 1 + 8 + 4 + 4, 3, 1, 4) + b"\0\0\0\0"  # Spark's RpcRequest, unauthenticated
    for _, port in ports:
        reply = asked(port, request)
        assert len(reply) < 9 or reply[8] != 4, f"port {port} took a request: {reply[:80]!r}"  # 4: RpcResponse


def asked(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(request)
        peer.shutdown(socket.SHUT_WR)
        reply = b""
        try:
            while piece := peer.recv(4096):
                reply += piece
        except ConnectionResetError:
            pass
        return reply


def listening(pid):
    inodes = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(str(each.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                raw, port = words[1].split(":")
                found.add((address(raw), int(port, 16)))
    return found


def address(raw):
    last = bytes.fromhex(raw[-8:])[::-1]
    return socket.inet_ntoa(last) if len(raw) == 8 or raw[:24] == "0" * 16 + "FFFF0000" else raw


def test_python_and_the_jvm_speak_tls_and_take_nobody_else(trusted_session):
    gateway = trusted_session.spark.sparkContext._gateway
    port = gateway.java_parameters.port
    token = (trusted_session.folder.path / "gateway.token").read_text()
    reply = asked(port, f"A\n{token}\n".encode())  # in clear, even with the token
    assert b"!y" not in reply
    stranger = ssl.create_default_context(cafile=trusted_session.ca_file)  # no certificate of its own
    with socket.create_connection(("127.0.0.1", port), 20) as peer:
        channel = stranger.wrap_socket(peer, server_hostname="127.0.0.1")  # TLS 1.3: the refusal comes with the answer
        channel.sendall(f"A\n{token}\n".encode())
        with channel, pytest.raises((ssl.SSLError, ConnectionError)):
            channel.recv(64)


def test_a_process_has_one_session_at_a_time(trusted_session):
    with pytest.raises(SessionRuns) as refused:
        TrustedSession("another")
    assert refused.value.code == "SR-SPARK-RUNS"


def test_the_jvm_calls_back_into_python(trusted_session, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one\ntwo\n")
    counted = []
    stream = trusted_session.spark.readStream.format("text").load(str(tmp_path / "in"))
    query = (
        stream.writeStream.foreachBatch(lambda batch, _: counted.append(batch.count()))
        .option("checkpointLocation", str(trusted_session.folder.temporary / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    assert counted == [2]


def looking_for(word):
    """Return a function for workers: it yields each file that they write, and whether the word is in what it holds."""

    def frames(data):
        at = 0
        while at < len(data):  # PySpark's framing: a length, then what zlib made of a pickle
            size = int.from_bytes(data[at : at + 4], "big")
            yield zlib.decompress(data[at + 4 : at + 4 + size])
            at += 4 + size

    def look(groups):
        next(iter(groups))  # from now on there are files: groups are read back from them
        for folder in os.environ["SPARK_LOCAL_DIRS"].split(","):
            for inner, _, names in os.walk(Path(folder) / "python"):  # other tasks' files go meanwhile
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        path = Path(inner) / name
                        yield str(path), any(word in frame for frame in frames(path.read_bytes()))
        for link in list(Path("/proc/self/fd").iterdir()):
            target = Path(os.path.realpath(link))  # one is gone by now: that of the folder itself
            if target.is_file() and os.access(link, os.W_OK) and not target.is_relative_to("/dev"):
                yield str(target), True

    return look


def test_an_09_what_python_spills_stays_in_memory(trusted_session):
    word = CANARY

    def rows(_):
        return ((number % 7, word + "x" * 400 + str(number)) for number in range(30_000))

    numbers = trusted_session.spark.sparkContext.parallelize(range(2), 2)
    found = numbers.mapPartitions(rows).groupByKey(2).mapPartitions(looking_for(word.encode())).collect()
    spilled = [Path(path) for path, has_canary in found if has_canary]
    assert spilled, "the job was to spill"
    assert is_in_memory(trusted_session.folder.path)
    assert not [path for path in spilled if not path.is_relative_to(trusted_session.folder.path)]


def test_an_09_event_logs_leave_the_session_without_data(trusted_session, tmp_path):
    spark = trusted_session.spark
    spark.createDataFrame([(CANARY,)], "name string").where(f"name != '{CANARY}'").collect()

    def fails(row):
        raise ValueError(f"no number: {row}")

    with pytest.raises(Exception, match="no number"):
        spark.sparkContext.parallelize([CANARY], 1).map(fails).collect()
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    raw = b"".join(path.read_bytes() for path in trusted_session.folder.events.iterdir())
    assert CANARY.encode() in raw  # Spark hides neither literals nor what exceptions quote
    kept = keep_event_logs(trusted_session.folder.events, tmp_path / "log")
    assert len(kept) == 1
    data = kept[0].read_bytes()
    assert CANARY.encode() not in data
    assert b"SparkListenerApplicationStart" in data
    assert b"SparkListenerTaskEnd" in data
    assert kept[0].stat().st_mode & 0o777 == 0o600


PROGRAM = """
import signal, sys
from pyspark.sql import SparkSession
try:
    builder = SparkSession.builder.config("spark.extraListeners", "org.apache.spark.scheduler.StatsReportListener")
    builder.config("spark.network.crypto.enabled", "false").getOrCreate()
    print("open", flush=True)
except Exception as problem:
    print("locked", "SR-SPARK-SETTING" in str(problem), flush=True)
spark = SparkSession.builder.config("spark.network.crypto.enabled", "true").getOrCreate()
print("sum", spark.range(10).count(), sys.argv[1:], flush=True)
print("folder", spark.conf.get("spark.strongroom.folder"), flush=True)
meeting = sys.argv[2]
def wait(_):
    open(meeting, "w").close()
    signal.pause()
spark.sparkContext.parallelize([0], 1).map(wait).count()
"""


@pytest.mark.parametrize(
    ("number", "words"),
    [pytest.param(signal.SIGTERM, "", marks=pytest.mark.full), (signal.SIGINT, "spark submit: interrupted")],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_an_09_a_program_cannot_unlock_its_session_and_a_signal_leaves_no_file(tmp_path, lean_java, number, words):
    (tmp_path / "app.py").write_text(PROGRAM)
    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)
    command = [*SUBMIT, "--master", "local[1]", "--driver-memory", "512m", "--driver-java-options", lean_java,
               "--no-ui", str(tmp_path / "app.py"), "wait", str(meeting)]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        said = [job.stdout.readline().split() for _ in range(3)]
        meeting.read_bytes()  # the driver waits for a task, which waits for ever
        job.send_signal(number)
        _, complaint = job.communicate(timeout=300)
    assert said[:2] == [["locked", "True"], ["sum", "10", "['wait',", f"'{meeting}']"]], complaint
    folder = Path(said[2][1])
    assert folder.parent == Path("/dev/shm")
    assert not folder.exists()
    assert job.returncode == 128 + number, complaint
    assert not [each for each in ("Traceback", "BrokenPipe", "replaced a previously") if each in complaint], complaint
    assert words in complaint.splitlines()[-1:] or not words, complaint


CLUSTER = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
word = "".join(chr(int(code)) for code in sys.argv[1].split(","))
pairs = spark.sparkContext.parallelize(range(400), 4).map(lambda number: (number % 5, word + str(number)))
groups = dict(pairs.groupByKey(3).mapValues(len).collect())
shown = spark.createDataFrame([(word,)], "name string").repartition(3).collect()[0][0]
print("groups", sorted(groups.items()), shown == word, flush=True)
"""


def test_an_09_nothing_readable_travels_between_driver_jvm_python_and_executors(tmp_path, lean_java, loopback):
    (tmp_path / "app.py").write_text(CLUSTER)
    codes = ",".join(str(ord(letter)) for letter in CANARY)
    words = [*SUBMIT, "--master", "local-cluster[2,1,512]", "--driver-memory", "512m", "--executor-memory", "512m",
             "--driver-java-options", lean_java, "--conf", f"spark.executor.extraJavaOptions={lean_java}",
             "--no-ui", str(tmp_path / "app.py"), codes]  # fmt: skip
    with loopback(CANARY) as caught:
        job = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=500)
    assert job.returncode == 0, job.stderr[-3000:]
    assert job.stdout.split("\n")[0] == "groups [(0, 80), (1, 80), (2, 80), (3, 80), (4, 80)] True"
    assert caught["control"]
    assert caught["bytes"] > 100_000
    assert not caught["canary"]


def test_the_words_of_the_original_and_their_status(tmp_path):
    words = ["--master", "k8s://https://127.0.0.1:1", str(tmp_path / "app.py")]
    done = subprocess.run([*SUBMIT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--deploy-mode should be specified for k8s" in done.stderr


def test_a_job_gets_no_key_that_it_does_not_name(tmp_path, primary_keys):
    app = tmp_path / "app.py"
    app.write_text("raise SystemExit(0)\n")
    words = ["--keys", f"file:{primary_keys}", str(app)]
    done = subprocess.run([*SUBMIT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Add --key NAME" in done.stderr
    assert "SR-DATA-KEY-DENIED" in done.stderr


def test_the_original_command_name_is_the_same_command():
    from strongroom.cli.spark_submit import alias

    assert alias(["--sgx-enabled", "true", "app.py"]) == 1


def test_preflight_says_what_is_there_with_remedies():
    done = subprocess.run([sys.executable, "-m", "strongroom", "spark", "preflight", "--json"], capture_output=True,
                          text=True, check=False)  # fmt: skip
    findings = json.loads(done.stdout)
    assert {"packages", "Java", "memory", "swap", "disk"} <= {each["subject"] for each in findings}
    assert all(each["remedy"] for each in findings if each["level"] != "OK")
    assert done.returncode == (3 if any(each["level"] == "FAIL" for each in findings) else 0)
    assert re.search(r"^OK    Java: version \d+", subprocess.run(
        [sys.executable, "-m", "strongroom", "spark", "preflight"], capture_output=True, text=True, check=False
    ).stdout, re.MULTILINE)  # fmt: skip
