"""Generated tables are the same for one seed, of any size, and what is asked of them can be learned."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from strongroom.analytics.learning import tables


@pytest.mark.parametrize("make", [tables.housing, tables.diabetes], ids=["housing", "diabetes"])
def test_a_seed_and_a_size_give_the_same_table(make):
    one, same, other = make(50, seed=1), make(50, seed=1), make(50, seed=2)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["label"], other["label"]) or not np.array_equal(
        one[next(iter(one))], other[next(iter(other))]
    )
    assert {len(column) for column in make(7, seed=1).values()} == {7}


def test_columns_are_named_as_the_guides_are():
    assert list(tables.diabetes(3)) == ["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "label"]
    assert list(tables.housing(3))[-1] == "label"


def test_a_table_is_written_as_csv_with_a_header():
    text = tables.to_csv({"a": np.array([1.5, 2.0]), "label": np.array([0.0, 1.0])})
    assert text == "a,label\n1.5,0\n2,1\n"


def test_prices_can_be_learned():
    found = tables.housing(3000, seed=5)
    rows = np.column_stack([found[name] for name in tables.HOUSING_COLUMNS])
    model = HistGradientBoostingRegressor(random_state=0, max_iter=40).fit(rows[:2400], found["label"][:2400])
    assert model.score(rows[2400:], found["label"][2400:]) > 0.8


def test_diabetes_can_be_told_in_most_cases_and_both_answers_occur():
    found = tables.diabetes(3000, seed=5)
    rows = np.column_stack([found[name] for name in tables.DIABETES_COLUMNS])
    assert 0.2 < found["label"].mean() < 0.6
    model = HistGradientBoostingClassifier(random_state=0, max_depth=3, max_iter=40)
    model.fit(rows[:2400], found["label"][:2400])
    assert model.score(rows[2400:], found["label"][2400:]) > 0.75
