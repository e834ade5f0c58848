"""XGBoost's own network stays out of trusted jobs, and the reason is told."""

import subprocess
import sys

import pytest

from strongroom.analytics.submit import collective
from strongroom.analytics.submit.collective import OpenCollective

TRUSTED = {"spark.authenticate": "true"}


def test_an_09_several_workers_of_xgboost_are_refused_in_a_trusted_job():
    with pytest.raises(OpenCollective) as refused:
        collective.check_workers(2, TRUSTED)
    assert refused.value.code == "SR-LEARN-COLLECTIVE"
    assert "without TLS" in refused.value.sentence
    assert "num_workers=1" in refused.value.fix


@pytest.mark.parametrize(("workers", "conf"), [(1, TRUSTED), (4, {}), (4, {"spark.authenticate": "false"})],
                         ids=["one worker", "plain job", "said plain"])  # fmt: skip
def test_one_worker_or_a_plain_job_is_let_through(workers, conf):
    collective.check_workers(workers, conf)


def test_spelling_does_not_get_around_it():
    with pytest.raises(OpenCollective):
        collective.check_workers(2, {"spark.authenticate": " TRUE "})


def test_the_guard_is_there_once_xgboost_is_imported_and_once_alone():
    lines = (
        "from strongroom.analytics.submit.collective import guard",
        "guard()",
        "import xgboost.spark.core as core",
        "held = core._SparkXGBEstimator._get_tracker_args",
        "assert held.strongroom_guard",
        "guard()",
        "assert core._SparkXGBEstimator._get_tracker_args is held",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
