"""Spark's workers collect garbage after every task: what was imported is left out, whenever it was imported."""

import subprocess
import sys

WORKER = """
import gc
from strongroom.analytics.source import plan

plan._spare_modules()
before = gc.get_freeze_count()
plan._spare_modules()
assert gc.get_freeze_count() <= before
class Many: pass
kept = [Many() for _ in range(1000)]
plan._spare_modules()
assert gc.get_freeze_count() <= before, "nothing was imported"
import xml.etree.ElementTree, wave
plan._spare_modules()
print(before > 0, gc.get_freeze_count() > before)
"""


def told(runtime: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WORKER],
        env={"SPARK_PYTHON_RUNTIME": runtime, "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr


def test_modules_that_were_imported_later_are_spared_as_well() -> None:
    assert told("PYTHON_WORKER") == "True True"


def test_a_driver_collects_as_it_always_did() -> None:
    assert told("") == "False False"
