"""The driver's process: status, signals, its log; and the keys, logs and machine around it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.submit import preflight, supervising
from strongroom.analytics.submit.named_keys import NamedKeys
from strongroom.analytics.submit.preflight import Level
from strongroom.analytics.submit.submitting import NoProgram, keep_event_logs, submit
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.names import KeyId
from strongroom.sparkjobs.flags import parse


def python(code):
    return [sys.executable, "-c", code]


def test_the_exit_status_is_the_programs():
    assert supervising.run(python("import sys; sys.exit(7)"), os.environ) == 7
    assert supervising.run(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), os.environ) == 137


def test_what_it_prints_goes_into_a_private_log_as_well(tmp_path, capfdbinary):
    log = tmp_path / "bigdl-ppml-submit.log"
    log.write_text("older")
    log.chmod(0o644)
    code = "import os; os.write(1, b'out\\n'); os.write(2, b'err\\n')"  # each at once, however Python buffers
    assert supervising.run(python(code), os.environ, log=log) == 0
    assert set(log.read_bytes().split()) == {b"out", b"err"}
    assert log.stat().st_mode & 0o777 == 0o600


def test_signals_reach_the_program():
    code = (
        "import os, sys\nfrom strongroom.analytics.submit import supervising\n"
        "inner = 'import signal, os; signal.signal(signal.SIGTERM, lambda *_: os._exit(9)); "
        "print(1, flush=True); signal.pause()'\n"
        "sys.exit(supervising.run([sys.executable, '-c', inner], os.environ))"
    )
    with subprocess.Popen(python(code), stdout=subprocess.PIPE) as outer:
        outer.stdout.readline()
        outer.send_signal(signal.SIGTERM)
        assert outer.wait(60) == 9


def test_an_10_a_job_has_the_keys_that_it_was_submitted_with_and_no_others():
    keys = NamedKeys(RingKeys([KeyRing.fresh("people"), KeyRing.fresh("other")]), ["people"])
    assert keys.names() == ("people",)
    made = keys.new_data_key("people")
    assert keys.unwrap(made.key_id, made.wrapped) == made.plain
    assert keys.unwrap(made.key_id, keys.wrap(keys.current("people"), made.plain)) == made.plain
    for refused in (
        lambda: keys.new_data_key("other"), lambda: keys.current("other"),
        lambda: keys.wrap(KeyId("other", 1), made.plain), lambda: keys.unwrap(KeyId("other", 1), made.wrapped),
    ):  # fmt: skip
        with pytest.raises(KeyNotGranted):
            refused()
    keys.close()


def test_a_key_that_is_not_there_is_said_before_the_job_starts():
    with pytest.raises(KeyNotGranted, match="nobody") as refused:
        NamedKeys(RingKeys([KeyRing.fresh("people")]), ["nobody"])
    assert refused.value.fix == "Make it with strongroom data key, or name another with --key (there are: people)."


def test_a_program_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NoProgram) as refused:
        submit(parse([str(tmp_path / "app.py")]), {})
    assert refused.value.code == "SR-SPARK-PROGRAM"


def test_a_job_that_asks_for_keys_without_anybody_to_have_them_from_is_refused(tmp_path):
    (tmp_path / "app.py").write_text("")
    with pytest.raises(KeyNotGranted, match="nobody to have them from"):
        submit(parse(["--key", "people", str(tmp_path / "app.py")]), {})


def test_event_logs_are_kept_whole_or_redacted_line_by_line(tmp_path):
    (tmp_path / "raw").mkdir()
    lines = [{"Event": "SparkListenerLogStart"}, {"Event": "mine"}, {"Event": "SparkListenerApplicationEnd"}]
    (tmp_path / "raw" / "app-1.inprogress").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (kept,) = keep_event_logs(tmp_path / "raw", tmp_path / "kept")
    assert kept == tmp_path / "kept" / "app-1"
    assert [json.loads(line)["Event"] for line in kept.read_text().splitlines()] == [
        "SparkListenerLogStart", "SparkListenerApplicationEnd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "level"),
    [('openjdk version "17.0.15"', Level.OK), ('java version "1.8.0_401"', Level.FAIL),
     ('openjdk version "25" 2025', Level.WARN), ("nothing", Level.FAIL)],
)  # fmt: skip
def test_preflight_judges_java(said, level):
    assert preflight.java_version(said, "remedy").level is level


def test_preflight_says_how_a_clone_and_others_get_the_packages(monkeypatch):
    assert [each.level for each in preflight.pyspark()] == [Level.OK]
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda _name: None)
    (found,) = preflight.pyspark()
    assert found.level is Level.FAIL
    assert found.remedy == "In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[analytics]'."


def test_preflight_says_what_is_missing(tmp_path, monkeypatch):
    assert preflight.java({"PATH": str(tmp_path)}).level is Level.FAIL
    assert preflight.memory({"MemAvailable": 1 << 20}).level is Level.WARN
    assert preflight.memory({}).level is Level.WARN
    assert preflight.shared_memory(tmp_path / "absent").level is Level.FAIL
    found = preflight.trusted_hardware(devices=(tmp_path / "sgx_enclave",))
    if not Path("/dev/tdx_guest").exists():
        assert found[0].level is Level.WARN
        assert "sgx_enclave" in found[0].found
