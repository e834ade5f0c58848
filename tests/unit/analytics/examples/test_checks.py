"""What the examples have to print: the guide's lines pass, and anything less does not."""

from pathlib import Path

import pytest

from strongroom.analytics.examples import EXAMPLES, Asked, checks, find, learning_checks
from strongroom.analytics.examples.asked import BadSize
from strongroom.analytics.examples.catalogue import UnknownExample

FINISHED = "".join(f"query {n}: 1 rows\n----------------{n} finished--------------------\n" for n in range(1, 23))
SQL = "".join(f"{line}\n" for line in (
    "|  19|  Justin|", "|  Justin|", "|  Justin|           20|", "|  19|  Justin|", "|NULL|Michelle|",
    "|  19|  Justin|",
    "|  19|  Justin|", "Name: Justin", "|  Justin|",
))  # fmt: skip
SERIES = """INFO data collected: [                 timestamp  value
0      2014-07-01 00:00:00  10844
...                    ...    ...
INFO data2 collected: [                timestamp  value            datetime  hours  awake
0     2014-07-01 00:00:00  10844 2014-07-01 00:00:00      0      1
rows: 10320 rows with features: 10320
Stopping orca context
"""


def test_the_guides_lines_pass():
    assert checks.hello("Hello World\n['/somewhere']\n", Asked()) == []
    assert checks.pi("Pi is roughly 3.146760\n", Asked(size=100_000)) == []
    assert checks.pi("Pi is roughly 3.1422957114785572\n", Asked(size=100_000)) == []
    assert checks.sql_basics(SQL, Asked()) == []
    assert checks.tpch(FINISHED, Asked()) == []
    assert checks.time_series(SERIES, Asked(size=10_320)) == []
    assert checks.matrix_product(
        "numpy.dot: 0.034211914986371994 sec\none entry of 8 x 8, computed again: equal\n", Asked(size=8)
    ) == []  # fmt: skip


@pytest.mark.parametrize("line", ["Pi is roughly 3.2\n", "Pi is roughly 3\n", "", "Pi is roughly 3.1600\n"])
def test_another_pi_does_not_pass(line):
    assert checks.pi(line, Asked(size=100_000)) != []


def test_few_points_may_be_further_away_from_pi():
    assert checks.pi("Pi is roughly 3.3\n", Asked(size=100)) == []
    assert checks.pi("Pi is roughly 3.3\n", Asked(size=10_000)) != []


def test_lines_about_justin_in_another_order_do_not_pass():
    lines = SQL.splitlines(keepends=True)
    assert checks.sql_basics("".join(reversed(lines)), Asked()) != []
    assert checks.sql_basics("".join(lines[1:]), Asked()) != []


@pytest.mark.parametrize("number", [1, 13, 22])
def test_a_query_that_has_not_finished_is_missed(number):
    assert checks.tpch(FINISHED.replace(f"-{number} finished", "-x finished"), Asked()) != []


@pytest.mark.parametrize(
    "gone", ["INFO data c", "INFO data2", "  awake", "rows: 10320", "Stopping", "2014-07-01 00:00"]
)
def test_each_part_of_the_time_series_is_needed(gone):
    assert checks.time_series(SERIES.replace(gone, "?"), Asked(size=10_320)) != []


def test_one_half_hour_is_a_series_too():
    said = (
        "INFO data collected: [             timestamp  value\n0  2014-07-01 00:00:00   7521]\n"
        "INFO data2 collected: [             timestamp  value   datetime  hours  awake\n"
        "0  2014-07-01 00:00:00   7521 2014-07-01      0      1]\n"
        "rows: 1 rows with features: 1\nStopping orca context\n"
    )
    assert checks.time_series(said, Asked(size=1)) == []
    assert checks.time_series(said, Asked(size=2)) != []


def test_words_are_held_against_the_text_itself():
    check = checks.words({'print("Hello': 1, "print(sys.path);": 1, "a:": 2})
    assert check('a:: 2\nprint("Hello: 1\nprint(sys.path);: 1\n', Asked()) == []
    assert check('a:: 3\nprint("Hello: 1\nprint(sys.path);: 1\n', Asked()) == ["'a:' is counted 3"]
    assert check("a:: 2\n", Asked()) != []
    assert check('a:: 2\nprint("Hello: 1\nprint(sys.path);: 1\nb: 1\n', Asked()) == ["'b' is counted 1"]


def accuracies(*rights):
    return "".join(
        f"Top1Accuracy is Accuracy(correct: {right}, count: 10000, accuracy: {right / 10000:.4f})\n" for right in rights
    )


def test_lenet_has_to_be_as_good_as_the_guides_on_all_of_mnist():
    check = learning_checks.lenet(real=True)
    assert check(accuracies(9500, 9700), Asked(size=0)) == []
    assert check(accuracies(9500, 9699), Asked(size=0)) == ["accuracy 0.9699 after epoch 2 is below 0.97"]
    assert check(accuracies(9499, 9700), Asked(size=0)) != []
    assert check(accuracies(9800), Asked(size=0)) != []
    assert check(accuracies(9500, 9700).replace("0.95", "0.96"), Asked(size=0)) != []
    assert learning_checks.lenet(real=False)(accuracies(9000, 9100), Asked(size=0)) == []
    assert check(accuracies(900, 1100), Asked(size=300)) == []


def test_mails_have_to_be_told_from_each_other():
    line = "results: {'loss': 0.12, 'acc Top1Accuracy': 0.949}\n"
    assert learning_checks.mails(real=True)(line, Asked(size=0)) == ["accuracy 0.949 is below 0.95"]
    assert learning_checks.mails(real=False)(line, Asked(size=0)) == []
    assert learning_checks.mails(real=True)(line, Asked(size=100)) == []
    assert learning_checks.mails(real=True)("results: none\n", Asked(size=0)) != []


def test_a_table_and_a_measure_are_both_needed():
    check = learning_checks.measured(("features", "label", "prediction"), "r2 of .* rows:", 0.6)
    table = "+-+\n|            features|label|prediction|\n+-+\n"
    assert check(table + "r2 of 990 rows: 0.8\n", Asked(size=5_000)) == []
    assert check(table + "r2 of 990 rows: 0.5\n", Asked(size=5_000)) != []
    assert check(table + "r2 of 9 rows: -0.5\n", Asked(size=50)) == []
    assert check(table, Asked(size=5_000)) != []
    assert check("r2 of 990 rows: 0.8\n", Asked(size=5_000)) != []


def test_names_are_found_and_near_ones_are_suggested():
    assert find("tpch").name == "tpch"
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES)
    with pytest.raises(UnknownExample, match="did you mean wordcount") as raised:
        find("word-count")
    assert raised.value.code == "SR-EXAMPLE-NAME"


@pytest.mark.parametrize("size", [0, -1, 0.5, float("nan"), float("inf"), 1e12])
def test_a_size_that_is_no_such_number_is_refused(size, tmp_path):
    with pytest.raises(BadSize) as raised:
        find("pi").prepare(Asked(size=size), tmp_path, Path())
    assert raised.value.code == "SR-EXAMPLE-SIZE"
