"""The examples in a trusted session, with real Spark: each prints what it has to, with seeds and sizes of its own.

The programs share two drivers, as `strongroom spark example A B C` runs them: a JVM is what costs here. Each driver is
one test with parts, so that no process of the tests waits for another's. Sizes are small, and some work on encrypted
data; `make spark` runs every example at full size, and alone those that learn as LeNet, the classifier and the
walk-through do here.
"""

import csv
import dataclasses
import importlib.util
import math
import os
import re
import shutil
from decimal import Decimal, InvalidOperation

import pytest

pytest.importorskip("pyspark")
if shutil.which("java") is None:
    pytest.skip("there is no Java", allow_module_level=True)

from strongroom.analytics.examples import SUBMIT, Asked, data, find, fresh_keys, in_memory, run

pytestmark = pytest.mark.early
OPTIONS = ("--master", "local[2]", "--no-ui", "--no-progress", "--conf", "spark.sql.shuffle.partitions=2",
           "--driver-memory", "2g")  # fmt: skip
SCALE = 0.01
QUERIES = 22
SIZES = {"pi": 20_000, "wordcount": 0, "wordcount-generated": 300, "sql": 25, "time-series": 480, "exploration": 480,
         "tpch": SCALE}  # fmt: skip
LEARNING = {"lenet": 3_000, "xgboost-classifier": 1_200}
if os.environ.get("STRONGROOM_SPARK_FULL"):
    LEARNING |= {"mllib": 1_200, "xgboost-regressor": 1_200, "text-classification": 1_500}
ENCRYPTED = {"sql", "time-series", "tpch", "xgboost-classifier"}  # before they run, as with --encrypted


def run_all(sizes, answers, lean_java, tables=None):
    """Return the outcome of each, with a seed of their own; the queries write their answers as CSV too."""

    def with_answers(asked, folder, programs):
        prepared = find("tpch").prepare(dataclasses.replace(asked, data=tables), folder, programs)
        return dataclasses.replace(prepared, arguments=(*prepared.arguments, str(answers)))

    changed = {
        "wordcount-generated": dataclasses.replace(find("wordcount"), name="wordcount-generated"),
        "tpch": dataclasses.replace(find("tpch"), prepare=with_answers),
    }
    examples = [changed.get(name) or find(name) for name in sizes]
    examples = [each if each.name in ENCRYPTED else dataclasses.replace(each, sealing=None) for each in examples]
    chosen = [(each, Asked(seed=11, size=sizes[each.name])) for each in examples]
    submit = (*SUBMIT, *OPTIONS, "--driver-java-options", lean_java)
    with fresh_keys(in_memory()) as encryption:
        found = run(chosen, submit=submit, say=[].append, encryption=encryption)
    return {outcome.name: outcome for outcome in found}


def check_what_they_printed(outcomes, subtests):
    for name, outcome in outcomes.items():
        when = "" if outcome.reached else "its turn did not come: the driver had ended before\n"
        told = f"{when}{outcome.output[-3000:]}\n---- standard error ----\n{outcome.errors}"
        with subtests.test(name):
            assert (outcome.status, outcome.missing) == (0, ()), told


def test_the_examples_that_learn_print_what_they_have_to(subtests, tmp_path, lean_java):
    """LeNet learns from part of the pictures: from all of them in `make spark`, which asks for 0.95 and 0.97."""
    if not importlib.util.find_spec("keras") or not importlib.util.find_spec("xgboost"):
        pytest.skip("there is nothing to learn with")
    outcomes = run_all(LEARNING, tmp_path, lean_java)
    assert outcomes.keys() == LEARNING.keys()
    check_what_they_printed(outcomes, subtests)
    with subtests.test("LeNet gets better"):
        shares = re.findall(r"^Top1Accuracy is .* accuracy: ([\d.]+)\)$", outcomes["lenet"].output, re.MULTILINE)
        one, two = map(float, shares)
        assert 0.5 < one < two  # the shares of MNIST: 0.83 and 0.90
        assert two > 0.8


def test_the_examples_print_what_they_have_to_and_another_engine_gives_the_same_answers(subtests, tmp_path, lean_java):
    """DuckDB is asked the queries on the same files; it has texts of them of its own."""
    pytest.importorskip("duckdb_extension_tpch")
    tables, answers = tmp_path / "tables", tmp_path / "answers"
    tables.mkdir()
    answers.mkdir()
    data.tables(Asked(size=SCALE), tables)
    outcomes = run_all(SIZES, answers, lean_java, tables)
    assert outcomes.keys() == SIZES.keys()
    check_what_they_printed(outcomes, subtests)
    with subtests.test("the words of hello world are counted as in the guide"):
        lines = outcomes["wordcount"].output.splitlines()
        assert 'print("Hello: 1' in lines
        assert "print(sys.path);: 1" in lines
    with subtests.test("the last query says so as in the guide"):
        assert "----------------22 finished--------------------" in outcomes["tpch"].output.splitlines()
    with duckdb_on(tables) as database:
        for number in range(1, QUERIES + 1):
            with subtests.test("query", number=number):
                rows = database.execute(f"pragma tpch({number})").fetchall()
                wanted = [["" if value is None else str(value) for value in row] for row in rows]  # as CSV has a null
                check_answer(answers / f"q{number:02}.csv", wanted)


def duckdb_on(tables):
    duckdb = pytest.importorskip("duckdb")
    database = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    database.execute(f"load '{data.tpch_extension()}'")
    for table in sorted(tables.glob("*.parquet")):
        database.execute(f"create view {table.stem} as from '{table}'")
    return database


def check_answer(path, wanted):
    with path.open(newline="", encoding="utf-8") as stream:
        given = list(csv.reader(stream))[1:]
    assert len(given) == len(wanted) > 0
    for given_row, wanted_row in zip(given, wanted, strict=True):
        assert len(given_row) == len(wanted_row)
        for ours, theirs in zip(given_row, wanted_row, strict=True):
            assert ours == theirs or near(ours, theirs), f"{given_row} is not {wanted_row}"


def near(ours, theirs):
    """Whether two numbers are equal but for the digits that engines keep of a quotient."""
    try:
        return math.isclose(Decimal(ours), Decimal(theirs), rel_tol=1e-4, abs_tol=1e-6)
    except InvalidOperation:
        return False


def test_pi_runs_on_the_jvm_by_its_class(lean_java):
    submit = (*SUBMIT, *OPTIONS, "--driver-java-options", lean_java)
    (outcome,) = run([(find("pi-jvm"), Asked(seed=7, size=50_000))], submit=submit, say=[].append)
    assert (outcome.status, outcome.missing) == (0, ()), f"{outcome.output[-3000:]}\n{outcome.errors}"
