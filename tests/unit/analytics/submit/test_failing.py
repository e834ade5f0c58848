"""What a program's failure looks like: its own lines, one sentence, and whole traces only where they were asked for."""

import signal
import subprocess
import sys

import pytest

from strongroom.analytics.session.folder import ALL_SHOWN, TRACES_VARIABLE, SessionFolder

OWN = """
import json
def read():
    json.loads("no JSON")
read()
"""
SPARKS = """
import atexit, sys
from pyspark.errors import PySparkException
atexit.register(lambda: print("the JVM's last words", file=sys.stderr))
def read():
    words = ["Failed: Traceback (most recent call last):", "  File x", "a.B: no such key"]
    words = "\\n".join([*words, "what to do: Name it. [SR-DATA-KEY-DENIED]"])
    raise PySparkException(words)
read()
"""
OURS = """
from strongroom.analytics.keys.opening import open_keys
open_keys("a-key")
"""
QUERY = """
from pyspark.errors import AnalysisException
from pyspark.logger import PySparkLogger
try:
    raise AnalysisException("no such column")
except AnalysisException:
    PySparkLogger.getLogger("DataFrameQueryContextLogger").exception("as PySpark does", fragment="col")
    print("caught")
"""
STOPPED = """
def read():
    raise KeyboardInterrupt
read()
"""
ENDED = "import sys; sys.exit(5)"


@pytest.fixture
def folder():
    made = SessionFolder.create(insecure=True)
    yield made
    made.remove()


def run(folder, tmp_path, text, traces=None):
    pytest.importorskip("pyspark")
    app = tmp_path / "app.py"
    app.write_text(text)
    words = [sys.executable, "-m", "strongroom.analytics.submit.program", str(folder.path), str(app)]
    environ = {"PATH": "/usr/bin:/bin"} | ({TRACES_VARIABLE: str(traces)} if traces else {})
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=120)


def test_a_programs_own_failure_is_python_s_without_our_lines(folder, tmp_path):
    done = run(folder, tmp_path, OWN)
    assert done.returncode == 1
    assert 'app.py", line 4, in read' in done.stderr
    assert "json/decoder.py" in done.stderr
    assert "runpy" not in done.stderr
    assert "program.py" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("json.decoder.JSONDecodeError: ")


def test_an_error_of_ours_ends_with_its_remedy_and_code(folder, tmp_path):
    done = run(folder, tmp_path, OURS)
    assert done.returncode == 1
    first, place, line, *told = done.stderr.splitlines()
    assert first.startswith("Traceback")
    assert 'app.py", line 3' in place
    assert line.strip() == 'open_keys("a-key")'
    assert told[-3:] == [
        "spark submit: keys are given as agent:SOCKET or file:FOLDER",
        "  what to do: Write agent:SOCKET, or file:FOLDER for a test; never a key itself.", "  [SR-DATA-KEYS]",
    ]  # fmt: skip
    assert "opening.py" not in done.stderr


def test_what_spark_raised_ends_with_the_sentence_and_its_remedy_after_everything_else(folder, tmp_path):
    done = run(folder, tmp_path, SPARKS)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-4:] == [
        "    raise PySparkException(words)", "spark submit: no such key", "  what to do: Name it.",
        "  [SR-DATA-KEY-DENIED]",
    ]  # fmt: skip
    assert done.stderr.startswith("the JVM's last words")


def test_what_pyspark_logs_of_an_error_that_it_raises_is_not_printed_twice(folder, tmp_path):
    done = run(folder, tmp_path, QUERY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "caught\n", "")


def test_a_program_that_is_stopped_by_ctrl_c_says_so_in_one_line(folder, tmp_path):
    done = run(folder, tmp_path, STOPPED)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "spark submit: interrupted\n")


def test_whole_traces_go_where_they_were_asked_for(folder, tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    done = run(folder, tmp_path, SPARKS, log)
    assert "File x" not in done.stderr
    assert log.read_text().startswith("before\nTraceback")
    assert "File x" in log.read_text()
    assert "File x" in run(folder, tmp_path, SPARKS, ALL_SHOWN).stderr


def test_a_program_that_ends_by_itself_has_its_status_and_no_words_of_ours(folder, tmp_path):
    done = run(folder, tmp_path, ENDED)
    assert (done.returncode, done.stderr) == (5, "")


@pytest.mark.parametrize(("verbose", "traces"), [(False, False), (False, True), (True, False)])
def test_javas_log_shows_traces_to_who_asked(folder, verbose, traces):
    folder.write_settings({}, {}, verbose=verbose, traces=traces)
    said = (folder.conf / "log4j2.properties").read_text()
    console = next(line for line in said.splitlines() if line.startswith("appender.console.layout.pattern"))
    assert ("%ex{none}" in console) is not verbose
    assert (f"${{env:{TRACES_VARIABLE}}}" in said) is traces
