"""A Spark cluster whose Master, Worker, executors and driver are attested: all of them, and the owner, as processes.

One cluster for all tests, of two hosts (two addresses of this machine) with one Worker and one executor each.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest

from strongroom.analytics.cluster import programs, running
from strongroom.analytics.cluster.cluster import Cluster
from strongroom.analytics.session.surroundings import SECRET_FILE_VARIABLE
from strongroom.cli import main
from strongroom.serving.operations import detached

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="PySpark is not installed"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java on this machine"),
    pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no folder in memory"),  # tmpfs
]
STRONGROOM = [sys.executable, "-m", "strongroom"]
LIMIT_S = 240
PROGRAM = """\
import os
import time
from pyspark.sql import SparkSession

from strongroom.analytics import StrongroomContext

spark = SparkSession.builder.appName("attested").getOrCreate()
while spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() < 3:  # the driver's own, and both executors'
    time.sleep(0.1)


def look(_):
    from pyspark import SparkFiles
    from strongroom.analytics.keys.opening import default_keys

    keys = default_keys(os.environ)
    data_key = keys.new_data_key("people")
    opened = keys.unwrap(data_key.key_id, data_key.wrapped) == data_key.plain
    print("printed by" + "-a-task", flush=True)
    yield (os.getppid(), keys.names(), opened, "_SPARK_AUTH_SECRET" in os.environ)


rows = spark.sparkContext.parallelize(range(4), 4).mapPartitions(look).collect()
counts = spark.sparkContext.parallelize(range(1000), 4).map(lambda x: (x % 7, 1)).reduceByKey(lambda a, b: a + b)
print("COUNTED", sum(dict(counts.collect()).values()), flush=True)
print("KEYS", sorted({(names, opened, seen) for _, names, opened, seen in rows}), flush=True)
place = "at_work" + "-rows"
with StrongroomContext(spark) as context:
    context.write(spark.range(0, 5000, 1, 3), "sealed", "people").parquet(place)
    found = context.read("sealed", "people").parquet(place)
    print("SEALED", found.inputFiles()[0].split("/")[0], found.selectExpr("sum(id)").first()[0], flush=True)
with open("at_work", "w"), open("go_on"):  # the test looks at everybody meanwhile
    pass
spark.stop()
"""


@pytest.fixture(scope="module")
def owner(tmp_path_factory, simulated_owner):
    """A workspace with a primary key and a job's secret, and a simulated world whose quotes the owner can check."""
    found = simulated_owner(tmp_path_factory.mktemp("owner"))
    found.do("data", "key", "people")
    found.do("key", "create", "secret/spark-demo")
    return found


def admit(owner, program, name):
    """Let the owner release everything to a program, and keep what it was measured as under a name."""
    owner.trust(program, ["secret/spark-demo", "secret/data-people"], "--name", name, to=owner.folder / f"{name}.json")


def measured(owner, name):
    """Return how a report calls a program that was admitted."""
    return f"MRENCLAVE {json.loads((owner.folder / f'{name}.json').read_text())['mr_enclave']}"


@pytest.fixture(scope="module")
def broker(owner):
    """The address of a broker process that speaks KBS."""
    with owner.broker() as found:
        yield found.url


@contextlib.contextmanager
def one_host(owner, broker, name, *words):
    """One host's part of a cluster, whose programs the owner has admitted."""
    place = owner.folder / name
    up = ["spark", "cluster", "up", "--dir", str(place), "--broker", broker, "--broker-ca", str(owner.ca),
          "--job", "demo", "--key", "people", "--workers", "1", "--cores", "1", "--memory-mib", "1024",
          *words, *owner.world]  # fmt: skip
    assert main([*up, "--prepare"]) == 0
    for role in programs.roles(Cluster.of(place).record.settings):
        admit(owner, Cluster.of(place).program(role), f"{name}-{role}")
    assert main(up) == 0
    try:
        yield Cluster.of(place)
    finally:
        assert main(["spark", "cluster", "down", "--dir", str(place)]) == 0


@pytest.fixture(scope="module")
def cluster(owner, broker):
    """The host with the Master."""
    with one_host(owner, broker, "cluster") as found:
        yield found


@pytest.fixture(scope="module")
def second(owner, broker, cluster):
    """The host that joined."""
    master = cluster.record.settings.master
    with one_host(owner, broker, "second", "--host", "127.0.0.2", "--join", master) as found:
        yield found


@pytest.fixture
def submit(owner, broker, cluster, tmp_path, *, measured_program, lean_java):
    """Start the measured program of a driver, which the owner admits first; lend its process."""

    def start(program):
        app = tmp_path / "app.py"
        app.write_text(program)
        words = [
            "spark", "submit", "--master", cluster.record.settings.master, "--broker", broker,
            "--broker-ca", str(owner.ca), "--job", "demo", "--key", "people", "--driver-memory", "512m",
            "--driver-java-options", lean_java, "--conf", f"spark.executor.extraJavaOptions={lean_java}",
            "--executor-memory", "512m", "--executor-cores", "1", "--no-ui",
            "--roll-call", str(cluster.roll_call.path), "--report", str(tmp_path / "job"), str(app),
        ]  # fmt: skip
        manifest = measured_program(tmp_path / "driver.toml", words, app, environment=["PATH", "HOME"])
        admit(owner, manifest, tmp_path.name)
        return subprocess.Popen(
            [*STRONGROOM, "sim", "run", *owner.world, str(manifest)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return start


def processes_now():
    """Yield number, words and environment of every process that may be looked at."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()


def secrets_in_memory(environ):
    """Return Spark's secret that a process was told the place of."""
    for pair in environ.split(b"\0"):
        name, _, value = pair.partition(b"=")
        if name.decode() == SECRET_FILE_VARIABLE:
            yield Path(value.decode()).read_bytes()


def injected(executor_words):
    """Return what a plain executor says, started with the words of a real one and without any attestation."""
    words = executor_words.rstrip(b"\0").decode().split("\0")
    kept = [word for word in words if "secret" not in word]
    kept[kept.index("--executor-id") + 1] = "99"
    kept[1:1] = ["-Dspark.rpc.lookupTimeout=10s", "-Dspark.rpc.askTimeout=10s", "-XX:TieredStopAtLevel=1"]
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return subprocess.run(kept, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_two_executors_prove_themselves_and_no_secret_is_where_others_see_it(
    submit, owner, cluster, second, tmp_path
):  # fmt: skip
    for name in ("at_work", "go_on"):
        os.mkfifo(tmp_path / name)
    program = PROGRAM.replace('"at_work"', repr(str(tmp_path / "at_work"))).replace(
        '"go_on"', repr(str(tmp_path / "go_on"))
    )
    with submit(program) as driver, ended_in_any_case(driver):
        said = []
        reader = threading.Thread(target=lambda: said.extend(driver.stdout))
        reader.start()
        ended = threading.Thread(target=unblock_at_end, args=(driver, tmp_path / "at_work"))
        ended.start()
        with (tmp_path / "at_work").open() as ready:
            assert driver.poll() is None, "".join(said)
            found = list(processes_now())
            job = cluster.arrivals()[-1].application.encode()  # others may run Spark on this machine too
            java = [
                (words, environ) for _, words, environ in found
                if job in words.split(b"\0") and words.split(b"\0")[0].endswith(b"/bin/java")
            ]  # fmt: skip
            assert len(java) == 2
            # AN-09: nobody's words, nobody's environment.
            known = {secret for _, environ in java for secret in secrets_in_memory(environ)}
            assert len(known) == 1
            for secret in known:
                assert len(secret) == 64
                assert not [pid for pid, words, environ in found if secret in words or secret in environ]
            assert not [words for words, environ in java if b"_SPARK_AUTH_SECRET=" in environ]
            # AN-07: an executor that has proved nothing cannot connect.
            plain = injected(java[0][0])
            assert plain.returncode != 0
            assert re.search(r"authenticat|secret key|SASL|Exception", plain.stderr), plain.stderr[-2000:]
            assert "Successfully registered with driver" not in plain.stderr
            check_pages(cluster, second)
            (tmp_path / "go_on").open("w").close()
            ready.read()
        assert driver.wait(LIMIT_S) == 0
        ended.join()
        reader.join()
    text = "".join(said)
    assert "COUNTED 1000" in text
    assert "SEALED sealed: 12497500" in text  # the executors' JVMs decrypted, with keys from their own agents
    assert "KEYS [(('people',), True, False)]" in text
    ever = [*cluster.arrivals(), *second.arrivals()]  # of other tests, too, which come in any order
    arrived = [(each.role, each.admitted, each.host) for each in ever if each.application.encode() == job]
    assert arrived == [("executor", True, "127.0.0.1"), ("executor", True, "127.0.0.2")]
    check_report(tmp_path / "job", owner, cluster, second)
    events = [json.loads(line) for line in (cluster.folder / "events.jsonl").read_text().splitlines()]
    assert {each["event"] for each in events} >= {"admitted", "key"}
    assert {each["key_id"] for each in events if each["event"] == "key"} == {"people.1"}
    status = main(["spark", "cluster", "status", "--dir", str(cluster.folder)])
    assert status == (0 if all(each.admitted for each in cluster.arrivals()) else 3)


@contextlib.contextmanager
def ended_in_any_case(driver):
    """A driver that waits for the test's word must not wait for a test that has failed."""
    try:
        yield
    except BaseException:
        driver.terminate()
        raise


def unblock_at_end(driver, fifo):
    """Let a test go on that waits for a driver which has ended."""
    driver.wait(LIMIT_S)
    with contextlib.suppress(OSError):
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


def check_report(folder, owner, *clusters):
    """The job's report lists driver and executors of both hosts, each with the measurement that its owner admitted."""
    told = json.loads((folder / "report.json").read_text())
    executors = [each for each in told["admitted"] if each["role"].startswith("executor")]
    wanted = {each.record.settings.host: measured(owner, f"{each.folder.name}-executor") for each in clusters}
    assert {each["host"]: each["program"] for each in executors} == wanted
    for each in executors:
        assert (each["source"], each["platform"], each["keys"]) == ("registration", "simulated", ["people"])
        assert datetime.fromisoformat(told["job"]["started"]) < datetime.fromisoformat(each["time"])
        assert each["lease_s"] > 0
    (driver,) = (each for each in told["admitted"] if each["role"] == "driver")
    assert driver["program"] == measured(owner, folder.parent.name)
    assert (told["unnamed"], told["refused"], told["job"]["status"]) == ([], [], 0)
    assert [each["host"] for each in told["applications"][0]["executors"]].count("127.0.0.2") == 1


def page(ca, url, header=""):
    """Return status and text of a page over TLS, under the certificate that the cluster shows."""
    name, _, value = header.partition(": ")
    asked = urllib.request.Request(url, headers={name: value} if header else {})  # noqa: S310  # https
    try:
        context = ssl.create_default_context(cafile=str(ca))
        with urllib.request.urlopen(asked, context=context, timeout=LIMIT_S) as found:  # noqa: S310  # https
            return found.status, found.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


PAGES = ("/", "/json/", "/metrics/json/", "/metrics/master/json/", "/app/", "/environment/", "/static/webui.js",
         "/logPage/", "/log/")  # fmt: skip


def check_pages(cluster, second):
    """Master's and Workers' pages are for who has the token alone: a Worker's has all that executors print."""
    launches, base = cluster.folder / "launches", f"https://127.0.0.1:{cluster.record.settings.page_port}"
    header = (launches / "master/page.header").read_text().strip()
    assert (launches / "master/page.token").resolve().is_relative_to("/dev/shm")
    assert header == (second.folder / "launches/worker-1/page.header").read_text().strip()
    workers = json.loads(page(launches / "master/ui_ca.pem", f"{base}/json/", header)[1])["workers"]
    found = {base: launches / "master/ui_ca.pem"}
    for each in workers:
        folder = cluster.folder if each["host"] == "127.0.0.1" else second.folder
        found[each["webuiaddress"].rstrip("/")] = folder / "launches/worker-1/ui_ca.pem"
    assert len(found) == 3
    printed = []
    for address, ca in found.items():
        for path in PAGES:
            for wrong in ("", header[:-1], "Authorization: Basic Og=="):
                assert page(ca, address + path, wrong)[0] == 401, (address, path, wrong)
        status, text = page(ca, address, header)
        assert (status, "Spark " in text) == (200, True)
        for link in re.findall(r'href="([^"]*logPage[^"]*)"', text):
            log = urllib.parse.urljoin(address + "/", link.replace("&amp;", "&"))
            assert page(ca, log)[0] == 401
            printed.append(page(ca, log, header)[1])
    assert len(printed) >= 4
    assert sum("printed by-a-task" in each for each in printed) >= 1  # this is what was to be kept from others


def test_an_07_executors_whose_program_was_changed_get_nothing_and_the_job_ends_saying_which(
    submit, cluster, second, tmp_path
):  # fmt: skip
    found = [each.program("executor") for each in (cluster, second)]
    before = [program.read_text() for program in found]
    try:
        for program, text in zip(found, before, strict=True):
            program.write_text(text.replace('"--max-heap-mib=1024"', '"--max-heap-mib=1025"'))
            assert program.read_text() != text
        with submit(
            "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().range(9).count()\n"
        ) as job:
            text = job.stdout.read()
            assert job.wait(LIMIT_S) == 3, text
    finally:
        for program, words in zip(found, before, strict=True):
            program.write_text(words)
    assert re.search(r"refused: executor \d+ on 127\.0\.0\.1 \(SR-AGENT-REFUSAL\)", text), text
    assert "SR-SPARK-EXECUTORS" in text
    told = json.loads((tmp_path / "job" / "report.json").read_text())
    assert told["job"]["status"] == 3
    refused = {(each["host"], each["code"]) for each in told["refused"]}
    assert ("127.0.0.1", "SR-AGENT-REFUSAL") in refused
    assert {each["role"] for each in told["admitted"]} == {"driver"}
    assert main(["spark", "cluster", "status", "--dir", str(cluster.folder)]) == 3


def test_up_again_changes_nothing_and_a_clusters_processes_are_the_same(cluster, second):
    assert cluster.runs
    assert second.runs
    assert all(map(detached.alive, cluster.record.processes))


SPILLING = """\
import os, zlib
from pathlib import Path
from pyspark.sql import SparkSession

spark = SparkSession.builder.config("spark.python.worker.memory", "1m").getOrCreate()
word = "".join(chr(int(code)) for code in (__CODES__))


def frames(data):
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield zlib.decompress(data[at + 4 : at + 4 + size])
        at += 4 + size


def look(groups):
    next(iter(groups))
    print(word, flush=True)  # an executor's own log
    os.write(2, word.encode())
    for folder in os.environ["SPARK_LOCAL_DIRS"].split(","):
        for path in [each for each in Path(folder, "python").rglob("*") if each.is_file()]:
            try:
                found = any(word.encode() in frame for frame in frames(path.read_bytes()))
            except FileNotFoundError:
                continue  # another task's, gone meanwhile
            if found:
                yield str(path)


rows = spark.sparkContext.parallelize(range(2), 2).flatMap(
    lambda _: ((number % 7, word + "x" * 400 + str(number)) for number in range(30_000)))
spilled = rows.groupByKey(2).mapPartitions(look).collect()
print("SPILLED", len(spilled), sorted({path.split("/")[1] + "/" + path.split("/")[2] for path in spilled}), flush=True)
print("CANARY", spark.createDataFrame([(word,)], "name string").repartition(2).collect()[0][0] == word, flush=True)
"""
SPILLED_WORD = "canary-" + "51ac07e3d2"


@pytest.mark.full
def test_an_09_what_a_job_spills_on_a_cluster_is_on_no_disk_and_in_no_packet(submit, cluster, second, loopback):
    codes = ",".join(str(ord(letter)) for letter in SPILLED_WORD)
    with loopback(SPILLED_WORD) as seen, submit(SPILLING.replace("__CODES__", codes)) as job:
        text = job.stdout.read()
        assert job.wait(LIMIT_S) == 0, text
    assert re.search(r"SPILLED [1-9]\d* \['dev/shm'\]", text), text
    assert "CANARY True" in text
    assert seen["bytes"] > 1_000_000
    assert not seen["canary"]
    # What lies on disks: launches, roll calls, logs of Master and Workers.
    files = [path for each in (cluster, second) for path in each.folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SPILLED_WORD.encode() in path.read_bytes()]


KILLED = (
    SPILLING[: SPILLING.index("def frames")]
    + """
def wait(groups):
    next(iter(groups))
    if not os.path.exists("__KILLED__"):
        with open("__MEETING__", "w") as meeting:
            meeting.write(f"{os.getpid()} {os.environ['STRONGROOM_AGENT']}\\n")
        signal.pause()
    yield word in os.environ.values()


rows = spark.sparkContext.parallelize(range(2), 2).flatMap(
    lambda _: ((number % 7, word + "x" * 400 + str(number)) for number in range(30_000)))
print("SURVIVED", rows.groupByKey(2).mapPartitions(wait).collect(), flush=True)
"""
)
KILLED_WORD = "canary-" + "9d20f4b7aa"


def parent(pid):
    return int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def above(pid, word):
    """Return the nearest process above another whose command line has a word."""
    while pid > 1:
        pid = parent(pid)
        if word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    raise AssertionError(word)


def agent_folder(pid):
    pairs = dict(each.partition(b"=")[::2] for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return Path(pairs[b"STRONGROOM_AGENT"].decode()).parent


def ended(handles):
    """Wait until each of these processes has ended; return whether they did."""
    waiting = set(handles)
    while waiting:
        found = select.select(waiting, [], [], LIMIT_S)[0]
        if not found:
            return False
        waiting -= set(found)
    return True


@pytest.mark.full
def test_an_09_an_executor_and_a_worker_that_are_killed_leave_nothing_and_the_job_goes_on(
    submit, cluster, second, tmp_path
):  # fmt: skip
    os.mkfifo(tmp_path / "meeting")
    codes = ",".join(str(ord(letter)) for letter in KILLED_WORD)
    program = KILLED.replace("__CODES__", codes).replace("__KILLED__", str(tmp_path / "killed"))
    program = program.replace("__MEETING__", str(tmp_path / "meeting")).replace("import os", "import os, signal", 1)
    with submit(program) as driver, ended_in_any_case(driver):
        said = []
        reader = threading.Thread(target=lambda: said.extend(driver.stdout))
        reader.start()
        threading.Thread(target=unblock_at_end, args=(driver, tmp_path / "meeting")).start()
        met = []
        while len(met) < 2:
            met += (tmp_path / "meeting").read_text().splitlines()
            assert driver.poll() is None, "".join(said)
        tasks = {Path(agent).parent: int(pid) for pid, agent in map(str.split, met)}
        assert len(tasks) == 2
        for folder in tasks:  # spilled, and in memory
            assert [each for each in folder.glob("local/**/python/**/*") if each.is_file() and each.stat().st_size]
        for _, words, environ in processes_now():
            assert KILLED_WORD.encode() not in words + environ
        java = {above(pid, b"--executor-id"): folder for folder, pid in tasks.items()}
        hosts = {pid: b"127.0.0.2" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in java}
        (first,) = (pid for pid, there in hosts.items() if not there)
        (other,) = (pid for pid, there in hosts.items() if there)
        worker = above(other, b"org.apache.spark.deploy.worker.Worker")
        left = [*tasks, agent_folder(worker)]
        handles = [os.pidfd_open(each) for each in (first, other, worker, *tasks.values())]
        (tmp_path / "killed").touch()
        try:
            for each in (parent(first), parent(worker), worker):  # the executor's agent; the Worker with its own
                os.kill(each, signal.SIGKILL)
            assert ended(handles)
        finally:
            for each in handles:
                os.close(each)
        assert driver.wait(LIMIT_S) == 0, "".join(said)
        reader.join()
    text = "".join(said)
    assert "SURVIVED [False, False]" in text
    assert "Lost executor" in text, text
    assert main(["spark", "cluster", "status", "--dir", str(second.folder)]) == 4
    running.up(Cluster.of(second.folder))
    assert not [each for each in left if each.exists()]
    files = [path for each in (cluster, second) for path in each.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if KILLED_WORD.encode() in path.read_bytes()]
