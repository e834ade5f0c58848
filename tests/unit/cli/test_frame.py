"""The frame: contents, misuse, and every failure as one catalogued sentence."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from strongroom.cli import frame, main
from strongroom.cli.contents import verbs
from strongroom.errors import Refused


def test_help_reads_like_a_table_of_contents(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for verb in verbs().values():
        assert verb.words in printed
        assert verb.summary in printed


@pytest.mark.parametrize("words", sorted(verbs()))
def test_every_verb_exists_and_explains_itself(words, capsys):
    assert main([*words.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"usage: strongroom {words}" in printed


def test_help_for_a_group_of_commands_lists_them(capsys):
    assert main(["collateral", "--help"]) == 0
    printed = capsys.readouterr().out
    usage, empty, *table = printed.splitlines()
    assert usage.startswith("usage: strongroom collateral COMMAND ")
    assert empty == ""
    assert [line.split()[1] for line in table] == ["fetch", "show", "doctor"]


@pytest.mark.parametrize("group", sorted({words.split()[0] for words in verbs() if " " in words}))
def test_what_the_commands_of_a_group_do_stands_in_one_column(group, capsys):
    assert main([group, "--help"]) == 0
    _, _, *table = capsys.readouterr().out.splitlines()
    listed = [verb for words, verb in verbs().items() if words.startswith(f"{group} ")]
    assert [line.split("  ")[0] for line in table] == [verb.words for verb in listed]
    assert len({line.index(verb.summary) for line, verb in zip(table, listed, strict=True)}) == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nonsense"], "there is no command 'nonsense'"),
        (["file"], "'file' needs one more word"),
        (["file", "-v"], "'file' needs one more word"),
        (
            ["file", "inspct"],
            "there is no command 'file inspct'\n  what to do: Did you mean 'file inspect'? One of: file",
        ),
        (["polciy", "lint"], "Did you mean 'policy'?"),
        (["broker", "serve", "--port", "70000"], "'70000' is not a port, 0 to 65535"),
        (["broker", "serve", "--port", "http"], "'http' is not a port"),
        (["spark", "cluster", "up", "--workers", "0"], "'0' is not a number from 1 to 64"),
        (["spark", "cluster", "up", "--cores", "257"], "'257' is not a number from 1 to 256"),
        (["spark", "cluster", "up", "--memory-mib", "-1"], "'-1' is not a number from 256 to 16777216"),
        (["spark", "history", "job", "--port", "65536"], "'65536' is not a port, 0 to 65535"),
        (["queue", "up", "--workers", "257"], "'257' is not a number from 0 to 256"),
        (["data", "inspect", "people", "--min-generation", "2"], "--min-generation is for --verify"),
        (["data", "inspect", "people", "--min-generation", "x"], "'x' is not a number from 0 to"),
        (["spark", "report", "job", "--with", "other"], "--with is for --check"),
        (["broker", "serve", "--deadline", "soon"], "'soon' is not a number of seconds"),
        (["policy", "trust", "--mrenclave", "00" * 32], "is not 64 hex digits, not all zero"),
        (["policy", "trust", "--mrenclave", "ab" * 32, "--release", "model/m"], "--release is 'model/m'"),
        (["pccs", "fill", "--fmspc", "00906"], "'00906' is not 12 hex digits"),
        (["policy", "trust", "--isvprodid", "65536"], "'65536' is not a number from 0 to 65535"),
        (["explain", "--nonsense"], "unrecognized arguments"),
        (["explain", "SR-NO-SUCH-CODE"], "there is no code"),
    ],
)
def test_misuse_is_one_sentence_and_status_1(argv, said, capsys):
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "[SR-MISUSE]" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (FileNotFoundError(2, "No such file or directory", "key"), 2, "SR-FILE"),
        (OSError(errno.EADDRINUSE, "Address already in use"), 2, "SR-PORT-TAKEN"),
        (ConnectionRefusedError(111, "Connection refused"), 4, "SR-NETWORK"),
        (TimeoutError("timed out"), 4, "SR-NETWORK"),
        (KeyError("surprise"), 2, "SR-DEFECT"),
    ],
)
def test_any_failure_ends_in_one_catalogued_error(problem, status, code, capsys):
    def fail():
        raise problem

    assert frame.guarded(fail) == status
    printed = capsys.readouterr().err
    assert f"[{code}]" in printed
    assert "Traceback" not in printed


def test_a_machine_reads_errors_as_json(capsys):
    class Denied(Refused):
        """A test refusal."""

        fix = "Ask the owner."

    def fail():
        raise Denied("no")

    assert frame.guarded(fail, as_json=True) == 3
    assert json.loads(capsys.readouterr().err)["error"]["fix"] == "Ask the owner."


def test_an_interrupt_is_said_and_nothing_else(capsys):
    def fail():
        raise KeyboardInterrupt

    assert frame.guarded(fail) == frame.INTERRUPTED
    assert capsys.readouterr().err == "strongroom: interrupted\n"


def test_explain_prints_meaning_and_fix(capsys):
    assert main(["explain", "SR-MALFORMED"]) == 0
    assert "what to do:" in capsys.readouterr().out
    assert main(["explain", "SR-MALFORMED", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["code"] == "SR-MALFORMED"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_unwinds_what_is_half_done_and_names_the_signal(number):
    put_away = []

    def work():
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            put_away.append(number)

    before = signal.signal(number, signal.SIG_DFL)
    try:
        assert frame.guarded(work) == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert put_away == [number]


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert frame.guarded(lambda: int(signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_codes_are_explained_where_no_extra_is_installed():
    code = """
import sys
for name in ("pkcs11", "psycopg", "tensorflow", "openvino", "onnx", "sklearn", "uvloop"):
    sys.modules[name] = None
from strongroom.cli import main
sys.exit(main(["explain", "SR-PORT-TAKEN"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SR-PORT-TAKEN" in done.stdout
