"""The examples in a trusted session, with real Spark: each prints what it has to, with seeds and sizes of its own.

All Python programs share one driver, as `strongroom spark example A B C` runs them: a JVM is what costs here. Sizes are
small, and some work on encrypted data; `make spark` runs every example at full size.
"""

import csv
import dataclasses
import importlib.util
import math
import re
import shutil
from decimal import Decimal, InvalidOperation

import pytest

pytest.importorskip("pyspark")
if shutil.which("java") is None:
    pytest.skip("there is no Java", allow_module_level=True)

from strongroom.analytics.examples import SUBMIT, Asked, data, find, fresh_keys, in_memory, run

OPTIONS = ("--master", "local[2]", "--no-ui", "--no-progress", "--conf", "spark.sql.shuffle.partitions=2",
           "--driver-memory", "2g")  # fmt: skip
SCALE = 0.01
QUERIES = 22
SIZES = {"pi": 20_000, "wordcount": 0, "wordcount-generated": 300, "sql": 25, "time-series": 480, "exploration": 480,
         "tpch": SCALE}  # fmt: skip
LEARNING = {"lenet": 3_000, "xgboost-regressor": 1_200, "xgboost-classifier": 1_200, "mllib": 1_200,
            "text-classification": 1_500}  # fmt: skip
ENCRYPTED = {"sql", "time-series", "tpch", "xgboost-classifier"}  # before they run, as with --encrypted
# What learns needs its libraries as well.
NAMES = [*SIZES, *(LEARNING if importlib.util.find_spec("keras") and importlib.util.find_spec("xgboost") else ())]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    pytest.importorskip("duckdb_extension_tpch")
    return data.tables(Asked(size=SCALE), tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def ran(once, tmp_path_factory, tables, lean_java):
    """Run them all once, whichever process of the tests comes first; the others wait for what came of it."""

    def run_them():
        answers = tmp_path_factory.mktemp("answers")
        return run_all(tables, answers, lean_java), answers

    return once("examples", run_them)


@pytest.fixture(scope="module")
def outcomes(ran):
    return ran[0]


@pytest.fixture(scope="module")
def answers(ran):
    return ran[1]


def run_all(tables, answers, lean_java):
    """Return the outcome of each, with a seed of their own; the queries write their answers as CSV too."""

    def with_answers(asked, folder, programs):
        prepared = find("tpch").prepare(dataclasses.replace(asked, data=tables), folder, programs)
        return dataclasses.replace(prepared, arguments=(*prepared.arguments, str(answers)))

    changed = {
        "wordcount-generated": dataclasses.replace(find("wordcount"), name="wordcount-generated"),
        "tpch": dataclasses.replace(find("tpch"), prepare=with_answers),
    }
    examples = [changed.get(name) or find(name) for name in NAMES]
    examples = [each if each.name in ENCRYPTED else dataclasses.replace(each, sealing=None) for each in examples]
    chosen = [(each, Asked(seed=11, size=(SIZES | LEARNING)[each.name])) for each in examples]
    submit = (*SUBMIT, *OPTIONS, "--driver-java-options", lean_java)
    with fresh_keys(in_memory()) as encryption:
        found = run(chosen, submit=submit, say=[].append, encryption=encryption)
    return {outcome.name: outcome for outcome in found}


def told(outcome):
    """Return what is needed to see why an example failed."""
    when = "" if outcome.reached else "its turn did not come: the driver had ended before\n"
    return f"{when}{outcome.output[-3000:]}\n---- standard error ----\n{outcome.errors}"


@pytest.mark.parametrize("name", NAMES)
def test_the_example_prints_what_it_has_to(outcomes, name):
    outcome = outcomes[name]
    assert (outcome.status, outcome.missing) == (0, ()), told(outcome)


@pytest.mark.skipif("lenet" not in NAMES, reason="there is nothing to learn with")
def test_lenet_learns_from_part_of_the_pictures_in_each_epoch(outcomes):
    """All of them are learned from in `make spark`, which asks for 0.95 and 0.97."""
    shares = re.findall(r"^Top1Accuracy is .* accuracy: ([\d.]+)\)$", outcomes["lenet"].output, re.MULTILINE)
    one, two = map(float, shares)
    assert 0.5 < one < two  # the shares of MNIST: 0.83 and 0.90
    assert two > 0.8


def test_the_words_of_hello_world_are_counted_as_in_the_guide(outcomes):
    lines = outcomes["wordcount"].output.splitlines()
    assert 'print("Hello: 1' in lines
    assert "print(sys.path);: 1" in lines


def test_the_last_query_says_so_as_in_the_guide(outcomes):
    assert "----------------22 finished--------------------" in outcomes["tpch"].output.splitlines()


@pytest.fixture(scope="module")
def independent(tables):
    """DuckDB on the same files; it has texts of the queries of its own."""
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as database:
        database.execute(f"load '{data.tpch_extension()}'")
        for table in sorted(tables.glob("*.parquet")):
            database.execute(f"create view {table.stem} as from '{table}'")
        yield database


@pytest.mark.parametrize("number", range(1, QUERIES + 1))
def test_another_engine_gives_the_same_answers(outcomes, answers, independent, number):
    rows = independent.execute(f"pragma tpch({number})").fetchall()
    wanted = [["" if value is None else str(value) for value in row] for row in rows]  # as CSV has a null
    with (answers / f"q{number:02}.csv").open(newline="", encoding="utf-8") as stream:
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
    assert (outcome.status, outcome.missing) == (0, ()), told(outcome)
