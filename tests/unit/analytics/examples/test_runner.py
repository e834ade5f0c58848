"""Running examples: what each printed is its own, one that fails does not keep others from running, nothing is left."""

import json
import os
import sys

import pytest

from strongroom.analytics.examples import Asked, Example, run, runner
from strongroom.analytics.examples.entry import Prepared
from strongroom.cli import main

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


@pytest.mark.parametrize("end", ["raise ValueError('no')", "import sys; sys.exit('why')"])
def test_one_that_fails_does_not_keep_the_next_from_running(example, end, capfd):
    first, second = run([example("bad", end), example("good", "print('x')", wanted="x")], submit=PLAIN, say=[].append)
    assert first.status == 1
    assert second.as_expected


def test_where_the_driver_dies_the_rest_counts_as_failed(example):
    chosen = [
        example("good", "print('x', flush=True)", wanted="x"),
        example("bad", "import os; print('y', flush=True); os._exit(9)", wanted="y"),
        example("never", "print('z')", wanted="z"),
    ]
    good, bad, never = run(chosen, submit=PLAIN, say=[].append)
    assert good.as_expected
    assert (bad.output, bad.as_expected) == ("y\n", False)
    assert (never.output, never.as_expected) == ("", False)


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
