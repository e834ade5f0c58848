"""Running examples: what each printed is its own, one that fails does not keep others from running, nothing is left."""

import dataclasses
import fcntl
import json
import os
import pty
import struct
import sys
import termios

import pytest

from strongroom.analytics.examples import Asked, Example, run, runner
from strongroom.analytics.examples.entry import Prepared
from strongroom.analytics.examples.said import MAX_CHARS, MAX_LINES
from strongroom.cli import main, spark_example

PLAIN = (sys.executable,)  # runs the program as it is: these programs need no Spark


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Return a maker of examples from the text of a program."""
    monkeypatch.setattr(runner, "programs", lambda: tmp_path)

    def make(name, code, *, wanted="", spark=True, prepare=None):
        (tmp_path / f"{name}.py").write_text(code)
        absent = f"{wanted} is missing"
        fixed = Prepared((), lambda output, asked: [] if wanted in output else [absent])
        return Example(
            name=name, summary="", program=f"{name}.py", spark=spark,
            prepare=prepare or (lambda asked, folder, place: fixed),
        ), Asked()  # fmt: skip

    return make


def test_one_program_runs_alone_and_its_output_is_passed_on(example):
    said = []
    (outcome,) = run([example("one", "print('a')\nprint('b')", wanted="b")], submit=PLAIN, say=said.append)
    assert (outcome.output, outcome.as_expected) == ("a\nb\n", True)
    assert said == ["a\n", "b\n"]


def test_what_is_not_printed_is_told(example):
    (outcome,) = run([example("one", "print('a')", wanted="b")], submit=PLAIN, say=[].append)
    assert (outcome.missing, outcome.as_expected) == (("b is missing",), False)


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "raise ValueError", "import os; os._exit(4)"])
def test_a_program_that_fails_is_not_as_expected(example, end):
    (outcome,) = run([example("one", f"print('b', flush=True)\n{end}", wanted="b")], submit=PLAIN, say=[].append)
    assert not outcome.as_expected
    assert outcome.status != 0


def test_several_programs_share_a_driver_and_each_is_judged_by_its_own_output(example):
    chosen = [
        example("first", "import os\nprint('one', os.getpid())", wanted="one"),
        example(
            "second", "import sys\nprint('two', __import__('os').getpid(), sys.argv[1:])\nsys.exit()", wanted="two"
        ),
        example("third", "print('one')", wanted="three"),
    ]
    first, second, third = run(chosen, submit=PLAIN, say=[].append)
    assert first.as_expected
    assert second.as_expected
    assert first.output.split()[1] == second.output.split()[1]
    assert "two" not in first.output
    assert third.missing == ("three is missing",)


@pytest.mark.parametrize(
    ("end", "why"), [("raise ValueError('no')", "ValueError: no\n"), ("import sys; sys.exit('why')", "why\n")]
)
def test_one_that_fails_says_why_and_does_not_keep_the_next_from_running(example, end, why):
    shown = []
    chosen = [
        example("warned", "import sys; print('mind', file=sys.stderr)"),
        example("bad", end),
        example("good", "print('x')", wanted="x"),
    ]
    warned, first, second = run(chosen, submit=PLAIN, say=[].append, complain=shown.append)
    assert first.status == 1
    assert first.errors.endswith(why)
    assert (warned.errors, second.errors) == ("mind\n", "")
    assert second.as_expected
    assert "".join(shown).startswith("mind\n")
    assert "".join(shown).endswith(why)
    assert "====" not in "".join(shown)


def test_last_errors_are_bounded_and_shown_without_what_a_terminal_would_obey(example):
    code = """
import sys
for number in range(500):
    print(number, file=sys.stderr)
sys.stderr.write("\\x1b[31mred\\x1b[0m\\n10 %\\r20 %\\n" + "y" * 9000 + "\\nbell\\x07\\n\\nno end")
raise SystemExit(4)
"""
    shown = []
    (outcome,) = run([example("one", code)], submit=PLAIN, say=[].append, complain=shown.append)
    lines = outcome.errors.splitlines()
    assert (len(lines), lines[-5:]) == (MAX_LINES, ["red", "20 %", "y" * (MAX_CHARS - 1) + "…", "bell?", "no end"])
    assert "".join(shown).startswith("0\n1\n2\n")
    assert "".join(shown).rstrip("\n").endswith("bell\x07\n\nno end")


def test_what_is_said_is_passed_on_before_its_line_is_over(example):
    """As a progress bar needs it: the program waits until it was heard."""
    code = """
import sys
sys.stderr.write("half a line")
sys.stderr.flush()
sys.stdin = open(sys.argv[1])
print(sys.stdin.read())
"""
    made, asked = example("one", code)
    heard, places = [], []

    def prepare(asked, folder, place):
        places.append(folder / "go")
        os.mkfifo(places[0])
        return Prepared((str(folder / "go"),), lambda output, asked: [] if output == "on\n\n" else [output])

    def complain(text):
        if not heard:
            heard.append(text)
            places[0].write_text("on\n")

    (outcome,) = run(
        [(dataclasses.replace(made, prepare=prepare), asked)], submit=PLAIN, say=[].append, complain=complain
    )
    assert outcome.as_expected, outcome
    assert heard == ["half a line"]


def test_where_there_is_a_terminal_a_program_has_one_too(example, monkeypatch):
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 111, 0, 0))
        with os.fdopen(os.dup(theirs), "w") as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            code = "import os, sys; sys.exit(f'{sys.stderr.isatty()} {os.get_terminal_size(2).columns}')"
            (outcome,) = run([example("one", code)], submit=PLAIN, say=[].append, complain=[].append)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (outcome.status, outcome.errors) == (1, "True 111\n")


def test_where_the_driver_dies_the_rest_counts_as_failed(example):
    chosen = [
        example("good", "print('x', flush=True)", wanted="x"),
        example("bad", "import os; print('y', flush=True); os.write(2, b'last words'); os._exit(9)", wanted="y"),
        example("never", "print('z')", wanted="z"),
    ]
    good, bad, never = run(chosen, submit=PLAIN, say=[].append)
    assert good.as_expected
    assert (bad.output, bad.as_expected) == ("y\n", False)
    assert (never.output, never.as_expected) == ("", False)
    assert (good.reached, bad.reached, never.reached) == (True, True, False)
    assert (good.errors, bad.errors, never.errors) == ("", "last words\n", "last words\n")


def test_a_program_without_spark_does_not_go_through_submit(example):
    (outcome,) = run([example("one", "print('x')", wanted="x", spark=False)], submit=("/nonexistent",), say=[].append)
    assert outcome.as_expected


def test_the_folder_of_a_run_is_private_and_gone_at_its_end(example):
    seen = []

    def prepare(asked, folder, place):
        (folder / "data").write_text("x")
        seen.append((folder.parent, folder.parent.stat().st_mode & 0o777))
        return Prepared((str(folder / "data"),), lambda output, asked: [] if output == "x\n" else [output])

    one = example("one", "import sys\nprint(open(sys.argv[1]).read())", prepare=prepare)
    assert [each.as_expected for each in run([one], submit=PLAIN, say=[].append)] == [True]
    ((folder, mode),) = seen
    assert mode == 0o700
    assert not folder.exists()


def test_a_driver_is_ended_when_its_reader_stops(example):
    code = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
    seen = []

    def say(line):
        seen.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([example("long", code)], submit=PLAIN, say=say)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_hello_world_is_run_by_its_name(capfd):
    assert main(["spark", "example", "helloworld"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("Hello World\n")
    assert err == "helloworld: as expected\n"


def test_json_has_the_output_and_nothing_else_is_printed(capfd):
    assert main(["spark", "example", "helloworld", "numpy", "--seed", "5", "--json"]) == 0
    out, err = capfd.readouterr()
    assert [(each["name"], each["as_expected"]) for each in json.loads(out)] == [("helloworld", True), ("numpy", True)]
    assert err == ""


def test_of_several_that_were_run_those_that_failed_have_their_last_words_at_the_end(example, capfd, monkeypatch):
    from strongroom.analytics import examples

    bad = example("bad", "import sys; sys.exit('the disk is full')", spark=False)[0]
    quiet = example("quiet", "raise SystemExit(5)", spark=False)[0]
    monkeypatch.setattr(examples, "find", {"bad": bad, "quiet": quiet}.get)
    assert main(["spark", "example", "bad", "quiet"]) == 2
    said = capfd.readouterr().err
    assert "the last that bad said on standard error:\n  the disk is full\n" in said
    assert "quiet said nothing on standard error\n" in said
    assert main(["spark", "example", "bad", "quiet", "--json"]) == 2
    assert [each["errors"] for each in json.loads(capfd.readouterr().out)] == ["the disk is full\n", ""]


def test_an_example_whose_turn_did_not_come_is_not_told_as_one_that_failed(example, capfd, monkeypatch):
    from strongroom.analytics import examples

    ends = example("ends", "import os; os.write(2, b'out of room'); os._exit(9)")[0]
    waits = example("waits", "print('x')")[0]
    monkeypatch.setattr(examples, "find", {"ends": ends, "waits": waits}.get)
    monkeypatch.setattr(examples, "SUBMIT", PLAIN)
    monkeypatch.setattr(spark_example, "SETTINGS", ())
    assert main(["spark", "example", "ends", "waits"]) == 2
    said = capfd.readouterr().err
    assert "ends ended with status 9\n" in said
    assert "waits was not run: the driver had ended before with status 9" in said
    assert said.count("out of room") == 2  # as it came, and at the end


def test_the_list_names_every_example(capsys):
    assert main(["spark", "example", "--list"]) == 0
    listed = capsys.readouterr().out
    for name in ("helloworld", "pi-jvm", "tpch", "lenet", "time-series"):
        assert f"{name} " in listed
    assert main(["spark", "example", "--list", "--json"]) == 0
    assert {"name", "size", "unit", "data", "summary", "encrypted"} == set(json.loads(capsys.readouterr().out)[0])


@pytest.mark.parametrize("words", [
    [], ["pi", "--all"], ["pi", "sql", "--size", "3"], ["helloworld", "--size", "3"], ["pi", "--data", "x"],
])  # fmt: skip
def test_words_that_do_not_fit_are_misuse(words, capsys):
    assert main(["spark", "example", *words]) == 1
    assert "SR-MISUSE" in capsys.readouterr().err


def test_an_example_that_says_something_else_is_told_by_name(capfd, monkeypatch):
    from strongroom.analytics import examples
    from strongroom.analytics.examples import catalogue, checks

    changed = Example(
        name="helloworld", summary="", program="matrix_product.py", spark=False,
        prepare=lambda asked, folder, place: Prepared(("4",), checks.hello),
    )  # fmt: skip
    monkeypatch.setattr(catalogue, "EXAMPLES", (changed,))
    monkeypatch.setattr(examples, "EXAMPLES", (changed,))
    assert main(["spark", "example", "helloworld"]) == 2
    assert "[SR-EXAMPLE-FAILED]" in capfd.readouterr().err
