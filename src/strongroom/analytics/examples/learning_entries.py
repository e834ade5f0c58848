"""The learning examples: what they learn from is fetched at set-up (.data/), given, or a stand-in that is named.

World: reads fetched data, writes into the folder of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from strongroom.analytics.examples import learning_checks as checks
from strongroom.analytics.examples.asked import Asked
from strongroom.analytics.examples.checks import Check
from strongroom.analytics.examples.data import ExampleData
from strongroom.analytics.examples.entry import Example, Prepare, Prepared, Sealing

FETCHED: Final = Path(__file__).parents[4] / ".data"  # of a clone; tools/fetch_data.py fills it
DIABETES_COLUMNS: Final = (*(f"f{number}" for number in range(1, 9)), "label", "rawPrediction", "probability",
                           "prediction")  # fmt: skip


def _from_corpus(what: str, folder: str, check: Callable[..., Check]) -> Prepare:
    """Pictures and mails: a given folder has to be the real thing."""

    def prepare(asked: Asked, own: Path, programs: Path) -> Prepared:
        from strongroom.analytics.learning.prepare import WRITERS

        del programs
        fetched = asked.data if asked.data is not None else FETCHED / folder
        size = asked.whole(least=20) if asked.size else None
        source = WRITERS[what](own, fetched=fetched, size=size, seed=asked.seed)
        real = "stand-in" not in source
        if asked.data is not None and not real:
            raise ExampleData(f"{asked.data} has no {what} of this form")
        return Prepared((str(own), "--seed", str(asked.seed)), check(real=real), source)

    return prepare


def _from_table(what: str, check: Check) -> Prepare:
    """Rows of numbers: a given CSV file is taken as it is."""

    def prepare(asked: Asked, own: Path, programs: Path) -> Prepared:
        from strongroom.analytics.learning.prepare import WRITERS

        del programs
        if asked.data is not None and not asked.data.is_file():
            raise ExampleData(f"{asked.data} is no file")
        if asked.data is not None:
            return Prepared((str(asked.data.resolve()), "--seed", str(asked.seed)), check, str(asked.data))
        source = WRITERS[what](own, fetched=None, size=asked.whole(least=20, most=10_000_000), seed=asked.seed)
        return Prepared((str(own), "--seed", str(asked.seed)), check, source)

    return prepare


LEARNING: Final = (
    Example(
        name="lenet", summary="LeNet on pictures of digits, two epochs", program="lenet.py",
        prepare=_from_corpus("pictures", "mnist", checks.lenet), size=0, unit="pictures to learn from (0: all)",
        data="a folder with MNIST's four files", sealing=Sealing(parts=("train", "test")),
    ),
    Example(
        name="xgboost-regressor", summary="prices of houses with XGBoost", program="xgboost_regressor.py",
        prepare=_from_table("houses", checks.measured(("features", "label", "prediction"), "r2 of .* rows:", 0.6)),
        size=5_000, unit="rows", data="a CSV file with numbers and label", sealing=Sealing(),
    ),
    Example(
        name="xgboost-classifier", summary="who has diabetes, with XGBoost", program="xgboost_classifier.py",
        prepare=_from_table("diabetes", checks.measured(DIABETES_COLUMNS, "of .* right, area under ROC", 0.75)),
        size=5_000, unit="rows", data="a CSV file with f1 to f8 and label", sealing=Sealing(),
    ),
    Example(
        name="mllib", summary="group houses and fit a line, with MLlib", program="mllib.py",
        prepare=_from_table("houses", checks.measured(("group", "avg(label)"), "r2 of .* rows:", 0.4)),
        size=5_000, unit="rows", data="a CSV file with numbers and label", sealing=Sealing(),
    ),
    Example(
        name="text-classification", summary="tell spam from other mails", program="text_classification.py",
        prepare=_from_corpus("mails", "spam-assassin", checks.mails), size=0, unit="mails (0: all)",
        data="a folder with SpamAssassin's mails", sealing=Sealing(),
    ),
)  # fmt: skip
