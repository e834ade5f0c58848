"""Reports and history as people meet them: from a job in a real Spark, and in Chromium over TLS."""

import contextlib
import hashlib
import json
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("pyspark", reason="PySpark is not installed")
from pyspark.sql.datasource import DataSource, DataSourceReader

from strongroom.analytics.report.finishing import finish
from strongroom.analytics.report.gather import gather
from strongroom.analytics.report.stage_words import described
from strongroom.analytics.session import events

pytestmark = [
    # PySpark leaves the sockets that it collects rows by to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CANARY = "CANARY-51c2"
WORD = "canary_51c2"  # where an identifier is wanted


def source():
    """Return a source of data that a program gives a name; made here, so that workers need not import this module."""

    class Source(DataSource):
        @classmethod
        def name(cls):
            return f"{WORD}_source"

        def schema(self):
            return "number int"

        def reader(self, schema):
            class Reader(DataSourceReader):
                def read(self, partition):
                    yield (1,)

            return Reader()

    return Source


@pytest.fixture(scope="module")
def job(trusted_session, primary_keys, tmp_path_factory):
    """Run a job that reads one encrypted data set and writes another; return its folder, and its data's."""
    from strongroom.analytics import StrongroomContext
    from strongroom.analytics.keys.files import FileKeyService
    from strongroom.analytics.report.finishing import keep_logs

    place = tmp_path_factory.mktemp("report")
    folder, data, result = place / "job", place / "people", place / "grown"
    (folder / "spark").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, StrongroomContext(
        trusted_session.spark, f"file:{primary_keys}"
    ) as context:  # fmt: skip
        rows = context.spark.createDataFrame([("Ada", 36), (CANARY, 7)], "name string, age int").repartition(1)
        context.write(rows, "AES_GCM_V1", "people").parquet(str(data))
        patch.setenv(events.EVENTS_VARIABLE, str(folder / "events.jsonl"))
        events.job_started(application="grown", program="app.py", digest="ab" * 32, master="local[2]", keys=["people"])
        found = context.read("AES_GCM_V1", "people").parquet(str(data))
        context.write(found.where(f"name <> '{CANARY}'"), "AES_GCM_V1", "people").parquet(str(result))
        events.job_ended(status=0)
    keep_logs(trusted_session.folder.events, folder / "spark")
    finish(folder, FileKeyService(primary_keys))
    return folder, data, result


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Return the folder of a job that is over, of which no more is known than that."""
    folder = tmp_path_factory.mktemp("past")
    said = (
        {"Event": "SparkListenerLogStart", "Spark Version": "4.3.0"},
        {"Event": "SparkListenerApplicationStart", "App Name": "sums of the past", "App ID": "local-1700000000000",
         "Timestamp": 1700000000000, "User": "ada"},
        {"Event": "SparkListenerApplicationEnd", "Timestamp": 1700000005000},
    )  # fmt: skip
    (folder / "local-1700000000000").write_text("".join(f"{json.dumps(each)}\n" for each in said))
    finish(folder)
    return folder


def test_a_job_s_report_says_what_it_read_and_wrote_and_nothing_of_the_data(job):
    folder, *_ = job
    told = json.loads((folder / "report.json").read_text())
    assert ([each["name"] for each in told["read"]], [each["name"] for each in told["written"]]) == (
        ["people"],
        ["grown"],
    )
    assert told["job"]["status"] == 0
    assert told["applications"][0]["stages"]
    for path in folder.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path.name


@pytest.fixture(scope="module")
def talkative(trusted_session, tmp_path_factory):
    """Run jobs that write a canary wherever a program can; return the log in full and a folder of it as it is kept."""
    from strongroom.analytics.report.finishing import keep_logs

    context = trusted_session.spark.sparkContext
    try:
        say_everywhere(trusted_session.spark)
    finally:
        for name in ("spark.job.description", "spark.jobGroup.id", "callSite.short", "callSite.long", "canary.own"):
            context.setLocalProperty(name, None)
        context.clearJobTags()
        trusted_session.spark.catalog.uncacheTable(f"{WORD}_cached")
    place = tmp_path_factory.mktemp("talkative")
    context._jsc.sc().listenerBus().waitUntilEmpty()
    keep_logs(trusted_session.folder.events, place)
    return b"".join(path.read_bytes() for path in trusted_session.folder.events.iterdir()), place


def say_everywhere(spark):
    """Names of columns, views, tables, RDDs, jobs, tags, places in the code, accumulators, sources, errors, rows."""
    context, java = spark.sparkContext, spark.sparkContext._jsc
    rows = spark.range(10).selectExpr("id", "cast(id as string) n").toDF(f"{WORD}_column", "n")
    rows.createOrReplaceTempView(f"{WORD}_view")
    spark.sql(f"cache table {WORD}_cached as select * from {WORD}_view")  # noqa: S608  # our own words
    spark.sql(f"select count(*) from {WORD}_cached where n = '{CANARY} literal'").collect()  # noqa: S608  # our own words
    with contextlib.suppress(Exception):
        spark.sql(f"select raise_error('{CANARY} error')").collect()
    numbers = context.parallelize(range(4), 2).setName(f"{CANARY} rdd").cache()
    context.setJobGroup(f"{CANARY} group", f"{CANARY} description")
    context.addJobTag(f"{CANARY}-tag")
    context.setLocalProperty("canary.own", f"{CANARY} property")
    numbers.map(lambda each: each).count()
    context.setLocalProperty("callSite.short", f"{CANARY} short")
    context.setLocalProperty("callSite.long", f"{CANARY} long")
    numbers.map(lambda each: (each % 2, each)).reduceByKey(lambda one, other: one + other).collect()
    java.setCallSite(f"{CANARY} set")
    rows.count()
    java.clearCallSite()
    for name in (f"{CANARY} sum", f"internal.metrics.{CANARY}"):
        java.sc().longAccumulator(name).add(5)
    metrics = spark._jvm.org.apache.spark.sql.execution.metric.SQLMetrics
    metrics.createMetric(java.sc(), f"{CANARY} metric").add(5)
    spark.dataSource.register(source())
    spark.read.format(source().name()).load().collect()
    spark.conf.set(f"spark.{WORD}.setting", CANARY)
    spark.range(3).where(f"id <> {len(CANARY)}").count()
    numbers.unpersist()


@pytest.fixture(scope="module")
def history(past, talkative, tmp_path_factory):
    """Run `strongroom spark history` of two jobs on a free port; return its address and the certificate to trust."""
    ca = tmp_path_factory.mktemp("history") / "ca.pem"
    words = [sys.executable, "-m", "strongroom", "spark", "history", str(past), str(talkative[1]), "--port", "0",
             "--ca-out", str(ca)]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[0]
        fingerprint = process.stdout.readline().split()[-1]
        yield address, ca, fingerprint
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait() == 0


def test_nothing_that_a_program_says_of_its_data_is_in_the_log_that_is_kept(talkative):
    full, place = talkative
    (kept,) = place.iterdir()
    for said in ("literal", "error", "rdd", "group", "description", "property", "long", "set"):
        assert f"{CANARY} {said}".encode() in full, said  # where it was written to
    for said in ("column", "view", "cached", "source"):
        assert f"{WORD}_{said}".encode() in full, said
    assert CANARY.encode() not in kept.read_bytes()
    assert WORD.encode() not in kept.read_bytes()


def test_a_log_that_lost_every_text_of_a_program_s_is_a_report_and_a_history(talkative, history):
    _, place = talkative
    address, ca, _ = history
    (found,) = gather(place).applications
    told = [described(stage.name) for stage in found.ran]  # of every test's jobs: more than the text lists
    assert any(what.startswith("bring rows to the driver") for what in told)
    assert any(what.startswith("work under a name of the program's own") for what in told)
    context = ssl.create_default_context(cafile=ca)

    def asked(path):
        with urllib.request.urlopen(f"{address}{path}", context=context) as answer:  # noqa: S310  # https
            return answer.read().decode()

    def listed(path):
        return json.loads(asked(f"api/v1/applications/{found.number}/{path}"))

    assert {(each["stageId"], each["attemptId"]) for each in listed("stages")} >= {
        (each.number, each.attempt) for each in found.ran if each.completed_ms
    }
    assert {each["status"] for each in listed("jobs?status=succeeded")} == {"SUCCEEDED"}
    assert [each["id"] for each in listed("executors")] == ["driver"]
    assert ["spark.network.crypto.enabled", "true"] in listed("environment")["sparkProperties"]
    queries = listed("sql?details=true&planDescription=false&length=1000")
    names = {metric["name"] for query in queries for node in query["nodes"] for metric in node["metrics"]}
    assert "number of output rows" in names
    for page in ("jobs/", "stages/", "storage/", "environment/", "executors/", "SQL/"):
        assert CANARY not in asked(f"history/{found.number}/{page}")


def test_an_12_lineage_of_a_job_in_spark_holds_until_an_input_is_changed(job, primary_keys, tmp_path):
    folder, data, result = job
    words = [sys.executable, "-m", "strongroom", "spark", "report", str(folder), "--keys", f"file:{primary_keys}"]
    good = subprocess.run(
        [*words, "--check", str(data), "--check", str(result)], capture_output=True, check=False, text=True
    )
    assert good.returncode == 0, good.stderr
    assert "1 input compared, 2 data sets whole" in good.stdout
    changed = tmp_path / "people"
    shutil.copytree(data, changed)
    (file,) = changed.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"X")
    bad = subprocess.run([*words, "--check", str(changed)], capture_output=True, check=False, text=True)
    assert bad.returncode == 3
    assert "SR-DATA-FILES" in bad.stderr


def test_the_history_server_answers_over_tls_with_the_certificate_that_was_named(history):
    address, ca, fingerprint = history
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca.read_text())).hexdigest() == fingerprint
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with urllib.request.urlopen(f"{address}api/v1/applications", context=context) as answer:  # noqa: S310  # https
        found = {each["name"]: each["attempts"][0]["duration"] for each in json.load(answer)}
    assert len(found) == 2
    assert found["sums of the past"] == 5000
    with pytest.raises(urllib.error.URLError):  # nobody else's certificates vouch for it
        urllib.request.urlopen(f"{address}api/v1/applications", context=ssl.create_default_context())  # noqa: S310


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_report_and_history_open_in_a_browser(history, past):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    address, *_ = history
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-first-run"])
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#history-summary-table")
        assert "sums of the past" in page.content()
        page.goto(Path(past, "report.html").as_uri())
        assert page.title() == "Report of sums of the past"
        assert page.locator("h2").all_inner_texts()[:2] == ["Who proved what it is", "Refused"]
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            back = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 25, 29)")
        browser.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_the_page_of_a_failed_job_says_so_before_everything_else_on_any_screen(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    to = tmp_path / "events.jsonl"
    measured = f"MRENCLAVE {'ab' * 32}"
    events.record("started", {"application": "sums", "program": f"/{'x' * 200}/app.py", "digest": "ab" * 32}, to=to)
    events.record("admitted", {"role": "driver", "platform": "simulated", "measurement": measured}, to=to)
    events.record("refused", {"role": "executor 1", "code": "SR-AGENT-REFUSAL", "sentence": "y" * 200}, to=to)
    events.record("ended", {"status": 3}, to=to)
    finish(tmp_path)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-first-run"])
        for width, scheme, red in ((360, "dark", "rgb(255, 157, 148)"), (1280, "light", "rgb(163, 21, 11)")):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            page.goto((tmp_path / "report.html").as_uri())
            outcome = page.locator("dd.bad")
            assert outcome.inner_text() == "failed: processes were refused (exit status 3)"
            assert outcome.evaluate("each => getComputedStyle(each).color") == red
            minded = page.get_by_role("region", name="To be minded")
            assert "The platform is simulated" in minded.inner_text()
            assert minded.bounding_box()["y"] < page.locator("h2").first.bounding_box()["y"]
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            platform = page.get_by_role("cell", name="simulated")
            assert platform.evaluate("each => each.scrollWidth <= each.clientWidth")  # no word is cut
        browser.close()
