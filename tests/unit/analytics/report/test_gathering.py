"""A report from what a job left: what is in it, what is not, and what hostile files can do to it."""

import json
import re
import shutil
import socket
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from strongroom.analytics.report import page, reading, words
from strongroom.analytics.report.facts import MAX_ROWS, DataSet, Facts
from strongroom.analytics.report.finishing import (
    JSON,
    LINEAGE,
    PAGE,
    TEXT,
    NoPlaceForReport,
    clear,
    finish,
    keep_logs,
    make_place,
)
from strongroom.analytics.report.gather import gather, spark_logs
from strongroom.analytics.report.reading import BadReportInput
from strongroom.analytics.session import events
from strongroom.cli import main
from strongroom.sparkjobs.registration import Registration

MEASURED = f"MRENCLAVE {'ab' * 32}"


def write(folder, *lines, name="events.jsonl"):
    with (folder / name).open("ab") as file:
        file.writelines(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in lines)


def test_spark_s_log_says_stages_executors_and_times(job_folder):
    (found,) = gather(job_folder).applications
    assert (found.number, found.name, found.spark, found.seconds) == ("local-1700000000000", "sums", "4.3.0", 5.0)
    assert (found.jobs, found.jobs_failed) == (1, 1)
    good, bad = found.ran
    assert (good.done, good.tasks, good.failed, good.seconds, good.cpu_ns) == (2, 2, 0, 2.5, 10**9)
    assert (good.read, good.shuffled, good.spilled, good.broken) == (4000, 600, 8192, False)
    assert (bad.done, bad.failed, bad.broken) == (0, 1, True)
    assert [(each.name, each.cores) for each in found.executors.values()] == [("driver", 2)]


@pytest.mark.parametrize(("suffix", "codec"), [(".zstd", "zstd"), (".lz4", "lz4")])
def test_a_compressed_log_is_read_as_well(tmp_path, spark_log, suffix, codec):
    with pa.CompressedOutputStream(str(tmp_path / f"local-1{suffix}"), codec) as file:
        file.write(spark_log)
    assert gather(tmp_path).applications[0].name == "sums"
    (tmp_path / f"local-1{suffix}").write_bytes(b"not compressed at all")
    with pytest.raises(BadReportInput):
        gather(tmp_path)


def test_events_of_several_processes_come_together(tmp_path, manifest):
    path = tmp_path / "events.jsonl"
    found = events._data_set(manifest(), "/data/people")
    for kind, fields in (
        ("started", {"application": "sums", "program": "a.py", "digest": "ab" * 32, "master": "local[2]"}),
        ("admitted", {"platform": "SimulatedPlatform", "keys": ["people"], "seconds": 0.2, "broker": "https://b"}),
        ("key", {"op": "unwrap", "key_id": "people.1", "ok": True, "times": 2, "program": "java"}),
        ("key", {"op": "unwrap", "key_id": "people.1", "ok": True, "times": 3, "program": "python"}),
        ("key", {"op": "unwrap", "key_id": "pay.1", "ok": False, "times": 1}),
        ("read", found), ("read", found),
        ("something new", {}),
        ("ended", {"status": 0}),
    ):  # fmt: skip
        events.record(kind, fields, to=path)
    arrival = {"time": "2026-01-01T00:00:00+00:00", "host": "h2", "role": "executor", "name": "3", "application": "a",
               "admitted": False, "code": "SR-AGENT-REFUSAL", "sentence": "nothing", "seconds": 0.0}  # fmt: skip
    write(tmp_path, arrival, name="roll-call.jsonl")
    told = gather(tmp_path).facts
    assert (told.job.program, told.job.status) == ("a.py", 0)
    assert [(each.keys, each.platform) for each in told.admitted] == [(("people",), "SimulatedPlatform")]
    assert [(each.key_id, each.times, each.programs) for each in told.uses] == [
        ("pay.1", 1, ()), ("people.1", 5, ("java", "python")),
    ]  # fmt: skip
    assert [each.name for each in told.read] == ["people"]
    assert [(each.role, each.host, each.code) for each in told.refused] == [("executor 3", "h2", "SR-AGENT-REFUSAL")]
    shown = words.text(gather(tmp_path))
    assert "executor 3" in shown
    assert "2026-01-01 00:00:00 UTC" in shown


def test_an_executor_that_both_its_agent_and_the_roll_call_tell_of_is_listed_once_with_its_lease(tmp_path):
    who = {"role": "executor 0", "application": "app-1"}
    refused = {"role": "executor 1", "application": "app-1", "executor": "1", "code": "SR-X"}
    write(tmp_path, {"event": "admitted", **who, "keys": ["people"], "lease_s": 600.0})
    write(tmp_path, {"event": "refused", **refused})
    called = {"time": "2026-01-02T00:00:00+00:00", "host": "10.0.0.1", "role": "executor", "application": "app-1",
              "code": "", "sentence": "", "seconds": 0.1}  # fmt: skip
    write(tmp_path, {**called, "name": "0", "admitted": True}, name="roll-call.jsonl")
    write(tmp_path, {**called, "name": "1", "admitted": False}, name="roll-call.jsonl")
    write(tmp_path, {**called, "name": "0", "admitted": True, "application": "app-2"}, name="roll-call.jsonl")
    report = gather(tmp_path)
    told = report.facts
    admitted = {(each.role, each.application, each.lease_s) for each in told.admitted}
    assert admitted == {("executor 0", "app-1", 600.0), ("executor 0", "app-2", 0.0)}
    assert len(told.admitted) == 2
    assert [(each.role, each.code) for each in told.refused] == [("executor 1", "SR-X")]
    assert " 600 s " in words.text(report)


def joined(executor, host, attributes):
    info = {"Host": host, "Total Cores": 1, "Attributes": attributes}
    return {"Event": "SparkListenerExecutorAdded", "Timestamp": 1763791200000, "Executor ID": executor,
            "Executor Info": info}  # fmt: skip


def test_executors_on_every_host_are_listed_with_what_they_said_and_none_is_left_out(tmp_path):
    told = Registration(time="2026-11-22T06:00:00.000+00:00", platform="simulated", measurement=MEASURED,
                        broker="https://b:1", keys=("people",), seconds=0.5, lease_s=600.0)  # fmt: skip
    (tmp_path / "spark").mkdir()
    write(
        tmp_path / "spark",
        {"Event": "SparkListenerLogStart", "Spark Version": "4.3.0"},
        {"Event": "SparkListenerApplicationStart", "App ID": "app-1", "App Name": "sums", "Timestamp": 1},
        joined("0", "127.0.0.1", {"STRONGROOM": told.to_attribute()}),
        joined("1", "127.0.0.2", {"STRONGROOM": told.to_attribute()}),
        joined("2", "127.0.0.3", {}),
        joined("3", "127.0.0.4", {"STRONGROOM": "anything else"}),
        joined("driver", "127.0.0.1", {}),
        name="app-1",
    )
    called = {"time": "2026-11-22T06:00:01+00:00", "host": "127.0.0.2", "role": "executor", "application": "app-1",
              "code": "", "sentence": "", "seconds": 0.1, "name": "1", "admitted": True}  # fmt: skip
    others = {"name": "8", "application": "app-2"}
    refused = {"name": "9", "admitted": False, "code": "SR-AGENT-REFUSAL"}
    write(tmp_path, called, {**called, "name": "7"}, {**called, **others}, {**called, **others, **refused},
          {**called, **refused}, {**called, **refused, "application": "session-1"}, name="roll-call.jsonl")  # fmt: skip
    own = {"role": "executor 0", "application": "app-1", "measurement": MEASURED}
    events.record("admitted", own, to=tmp_path / "events.jsonl")
    used = {"key_id": "people.1", "op": "wrap", "ok": True, "times": 2}
    for application, key_id in (("app-1", "people.1"), ("app-2", "other.1")):  # of a cluster that has run both
        of = {"role": "executor 0", "application": application}
        events.record("key", {**used, **of, "key_id": key_id}, to=tmp_path / "cluster.jsonl")
    events.record("admitted", {"role": "executor 5", "application": "app-2"}, to=tmp_path / "cluster.jsonl")
    report = gather(tmp_path)
    assert [(each.key_id, each.times) for each in report.facts.uses] == [("people.1", 2)]
    assert [(each.role, each.source, each.host, each.program) for each in report.facts.admitted] == [
        ("executor 1", "registration", "127.0.0.2", MEASURED),
        ("executor 7", "roll call", "127.0.0.2", ""),
        ("executor 0", "event", socket.gethostname(), MEASURED),
    ]
    assert [(each.application, each.role) for each in report.facts.refused] == [
        ("app-1", "executor 9"), ("session-1", "executor 9"),
    ]  # fmt: skip
    assert [(each.number, executor.name, executor.host) for each, executor in report.unnamed] == [
        ("app-1", "2", "127.0.0.3"), ("app-1", "3", "127.0.0.4"),
    ]  # fmt: skip
    shown = words.text(report)
    assert "How often 2 of the executors used their keys is not in here" in shown
    assert "2 of the executors did not say as what they were admitted" in shown
    for name, host in (("2", "127.0.0.3"), ("3", "127.0.0.4")):
        assert re.search(rf"2025-11-22 06:00:00 UTC +{host} +executor {name} +not told +not told", shown), shown
        assert re.search(rf"{name} +{host} +1 +not told +stayed", shown)
    assert re.search(r"driver +127\.0\.0\.1 +1 +is the driver +stayed", shown)
    assert '<td class="bad">not told</td>' in page.html(report)
    assert "2 executors did not say what they are" in words.summary(report)
    finish(tmp_path)
    told = json.loads((tmp_path / JSON).read_text())
    assert [each["name"] for each in told["unnamed"]] == ["2", "3"]
    assert told["applications"][0]["executors"][0]["registration"]["measurement"] == MEASURED


@pytest.mark.parametrize(
    ("lines", "outcome", "minded"),
    [
        ([{"event": "ended", "status": 0}], "done", ""),
        ([], "no end was noted: it runs, or was cut off", ""),
        ([{"event": "ended", "status": 1}], "failed: exit status 1", "errors can quote data"),
        ([{"event": "ended", "status": 3}], "failed: exit status 3", "errors can quote data"),
        ([{"event": "refused", "code": "SR-X"}, {"event": "ended", "status": 3}],
         "failed: processes were refused (exit status 3)", ""),
        ([{"event": "admitted", "platform": "simulated"}, {"event": "ended", "status": 0}], "done",
         "The platform is simulated: no hardware has vouched"),
    ],
)  # fmt: skip
def test_a_report_begins_with_how_the_job_ended_and_what_is_to_be_minded(tmp_path, lines, outcome, minded):
    write(tmp_path, {"event": "started", "time": "2026-11-22T06:00:00+00:00", "program": "a.py"}, *lines)
    found = gather(tmp_path)
    before = words.text(found).partition("Who proved what it is")[0]
    assert re.search(rf"^Outcome +{re.escape(outcome)}$", before, re.MULTILINE)
    assert minded in before
    assert bool(minded) == ('class="mind"' in page.html(found))
    assert ('<dd class="bad">' in page.html(found)) == outcome.startswith("failed")


def test_a_long_word_breaks_and_others_stay_whole(tmp_path):
    write(tmp_path, {"event": "admitted", "platform": "simulated", "measurement": MEASURED, "role": "driver"})
    markup = page.html(gather(tmp_path))
    assert f'<td class="long">{MEASURED}</td>' in markup
    assert "<td>simulated</td>" in markup


def test_lines_that_are_none_are_counted_and_said(tmp_path):
    good = {"event": "ended", "status": 0}
    write(tmp_path, b"{\n", good, b"[1]\n", b"\xff\n", b'{"event":"ended","event":"ended"}\n', b"x" * 200_000 + b"\n",
          good, b'{"event":"ended"')  # fmt: skip
    found = gather(tmp_path)
    assert (found.unreadable, found.facts.job.status) == (6, 0)
    assert "6 lines could not be read" in words.text(found)


def test_more_than_any_job_writes_is_refused(tmp_path, monkeypatch):
    write(tmp_path, *({"event": "key"} for _ in range(20)), b"x" * 100_000)
    assert gather(tmp_path).unreadable == 1
    for limit, most in (("MAX_LINES", 10), ("MAX_BYTES", 90_000)):
        with monkeypatch.context() as patch:
            patch.setattr(reading, limit, most)
            with pytest.raises(BadReportInput):
                gather(tmp_path)


def test_values_of_other_kinds_are_no_values(tmp_path):
    write(
        tmp_path,
        {"event": "started", "application": 7, "keys": "people", "digest": None},
        {"event": "key", "key_id": ["x"], "op": {}, "ok": 1, "times": -4, "seconds": True},
        {"event": "read", "name": "n", "generation": 1e300, "files": True, "bytes": 2**70},
        {"event": ["read"]},
        {"event": "ended", "status": "0"},
    )
    told = gather(tmp_path).facts
    assert told.read[0] == DataSet(
        name="n", generation=0, mac="", kind="", files=0, size=0, key_id="", path="", wrapped=""
    )
    assert words.text(gather(tmp_path))


def test_a_folder_without_a_job_is_refused_by_code_and_links_are_not_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "other.txt").write_text("nothing")
    write(tmp_path / "real", {"event": "ended", "status": 0})
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "events.jsonl").symlink_to(tmp_path / "real" / "events.jsonl")
    (tmp_path / "job" / "more").symlink_to(tmp_path / "real")
    with pytest.raises(BadReportInput) as caught:
        gather(tmp_path / "job")
    assert caught.value.code == "SR-REPORT-INPUT"
    with pytest.raises(BadReportInput):
        gather(tmp_path / "absent")


def test_tables_are_bounded():
    facts = Facts()
    facts.add({"event": "read", "name": f"{each}"} for each in range(MAX_ROWS + 5))
    assert (len(facts.read), facts.left_out) == (MAX_ROWS, 5)


HOSTILE = '"><script>alert(1)</script>\x1b[31m\u202e\n'


def test_what_others_wrote_is_only_shown(tmp_path):
    write(
        tmp_path,
        {"event": "started", "application": HOSTILE, "program": HOSTILE, "digest": HOSTILE},
        {"event": "refused", "executor": HOSTILE, "code": HOSTILE, "sentence": HOSTILE},
        {"event": "key", "key_id": HOSTILE, "op": HOSTILE, "program": HOSTILE},
        {"event": "read", "name": HOSTILE, "path": HOSTILE, "mac": HOSTILE},
        {"event": "ended", "time": HOSTILE, "status": 1},
    )
    found = gather(tmp_path)
    shown, markup = words.text(found), page.html(found)
    assert not re.search(r"[^\n\x20-\x7e…]", shown)
    assert "<script" not in markup
    assert "\x1b" not in markup
    assert "\u202e" not in markup
    assert words.summary(found).isprintable() or words.summary(found).count("\n") <= 3


def test_the_page_is_whole_without_scripts_or_anything_from_elsewhere(job_folder):
    markup = page.html(gather(job_folder))
    assert markup.startswith('<!doctype html>\n<html lang="en">')
    assert "default-src 'none'" in markup
    assert not re.search(r"https?://|src=|href=|@import|url\(", markup)
    assert markup.count("<section") == markup.count("</section>") == markup.count("<h2")
    assert markup.count("<table") == markup.count('scope="row"') > 0 or 'scope="col"' in markup
    assert "prefers-color-scheme: dark" in markup


def test_a_job_s_end_leaves_report_and_lineage_that_its_user_alone_reads(job_folder, manifest, keys):
    path = job_folder / "events.jsonl"
    events.record("started", {"application": "sums", "program": "a.py"}, to=path)
    events.record("read", events._data_set(manifest(), "in"), to=path)
    events.record("written", events._data_set(manifest("sums"), "out"), to=path)
    events.record("ended", {"status": 0}, to=path)
    finish(job_folder, keys)
    for name in (TEXT, PAGE, JSON, LINEAGE):
        assert stat.S_IMODE((job_folder / name).stat().st_mode) == 0o600
    told = json.loads((job_folder / JSON).read_text())
    assert [each["name"] for each in told["written"]] == ["sums"]
    assert told["applications"][0]["stages"][0]["seconds"] == 2.5


def test_the_next_job_takes_the_place_of_an_earlier_ones_report_and_of_nothing_else(job_folder, manifest, keys):
    logs = job_folder / "spark"
    (logs / "mine.txt").write_text("somebody's")
    clear(job_folder, logs)  # there is no report yet: nothing says whose these are
    assert len(list(logs.iterdir())) == 2
    events.record("written", events._data_set(manifest("sums"), "out"), to=job_folder / "events.jsonl")
    finish(job_folder, keys)
    assert (job_folder / LINEAGE).exists()
    told = json.loads((job_folder / JSON).read_bytes())
    told["applications"].append({"id": "../report.txt"})
    (job_folder / JSON).write_text(json.dumps(told))
    clear(job_folder, logs)
    assert [each.name for each in logs.iterdir()] == ["mine.txt"]
    assert not (job_folder / LINEAGE).exists()
    assert (job_folder / TEXT).exists()


@pytest.mark.parametrize("text", ["", "[]", "7", '{"applications": [3]}', '{"applications": [{"id": 3}]}'])
def test_a_report_that_is_none_of_ours_names_nothing_to_take_away(job_folder, text):
    (job_folder / JSON).write_text(text)
    clear(job_folder, job_folder / "spark")
    assert len(list((job_folder / "spark").iterdir())) == 1


def test_a_folder_below_that_has_a_report_is_another_jobs(job_folder, tmp_path):
    events.record("started", {"application": "monday", "program": "monday.py"}, to=job_folder / "events.jsonl")
    finish(job_folder)
    shutil.copytree(job_folder, tmp_path / "jobs" / "monday")
    with pytest.raises(BadReportInput):  # nothing of its own
        gather(tmp_path / "jobs")
    host = tmp_path / "jobs" / "other-host"
    host.mkdir()
    events.record("started", {"application": "today", "program": "today.py"}, to=host / "events.jsonl")
    report = gather(tmp_path / "jobs")
    assert (report.facts.job.application, report.applications) == ("today", [])
    assert len(spark_logs(tmp_path / "jobs")) == 1  # what a history shows is of any job


def test_a_place_for_a_report_is_made_before_the_job_and_private(tmp_path, job_folder):
    make_place(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "a" / "b" / "app.py").write_text("print(1)")
    make_place(tmp_path / "a" / "b")
    finish(job_folder)
    make_place(job_folder)


@pytest.mark.parametrize("file", ["_strongroom.json", TEXT, PAGE, JSON, LINEAGE])
def test_a_data_set_and_files_of_somebody_are_no_place_for_a_report(tmp_path, file):
    (tmp_path / file).write_text("mine")
    with pytest.raises(NoPlaceForReport) as refusal:
        make_place(tmp_path)
    assert refusal.value.code == "SR-REPORT-PLACE"
    assert [each.name for each in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/reports"])
def test_what_cannot_be_a_folder_is_no_place_for_a_report(tmp_path, place):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(NoPlaceForReport, match="no report can be kept in"):
        make_place(tmp_path / place)


def test_a_job_whose_report_cannot_be_kept_does_not_begin(tmp_path, capfd):
    program = tmp_path / "app.py"
    program.write_text("print('ran')")
    assert main(["spark", "submit", "--report", str(program), str(program)]) == 2
    said = capfd.readouterr()
    assert "SR-REPORT-PLACE" in said.err
    assert "--report" in said.err
    assert said.out == ""


def test_a_report_without_the_output_s_key_says_why_it_has_no_lineage(job_folder, manifest, keys):
    told = events._data_set(manifest("sums"), "out")
    first, rest = told["data_key"][0], told["data_key"][1:]
    other = ("y" if first == "x" else "x") + rest  # the first six bits are random: one key in 64 begins with x
    events.record("written", {**told, "data_key": other}, to=job_folder / "events.jsonl")
    finish(job_folder, keys)
    assert not (job_folder / LINEAGE).exists()
    assert "has no lineage" in (job_folder / TEXT).read_text()


def test_logs_are_kept_without_data(job_folder, tmp_path, canary):
    into = tmp_path / "kept"
    into.mkdir()
    assert keep_logs(job_folder, into) == 1
    (kept,) = spark_logs(into)
    assert canary in (job_folder / "spark" / kept.name).read_text()
    assert canary not in kept.read_text()
    assert '\n{"Event":"SparkListenerApplicationStart",' in kept.read_text()  # as Spark's history server looks for it
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert gather(into).applications[0].ran == gather(job_folder).applications[0].ran


def test_the_verb_prints_and_writes(job_folder, tmp_path, capsys):
    assert main(["spark", "report", str(job_folder), "--html", str(tmp_path / "r.html")]) == 0
    assert "Report of sums" in capsys.readouterr().out
    assert (tmp_path / "r.html").read_text().endswith("</html>\n")
    assert main(["spark", "report", str(job_folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "sums"
    for words_ in ([str(Path(tmp_path, "absent"))], [str(job_folder), "--check", str(tmp_path), "--keys", "file:x"]):
        assert main(["spark", "report", *words_]) == 2
        assert "SR-REPORT-INPUT" in capsys.readouterr().err
