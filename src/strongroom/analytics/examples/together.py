"""Run several programs in one driver, one after another: what `strongroom spark example` submits for more than one.

usage: together.py PLAN   (a JSON list of {"name", "program", "arguments"})

Every program is run as the main module, as if it had been submitted alone. A line before and behind each says whose
output it is, on standard error as well; a program that fails does not keep the next from running. World: the driver's
process.
"""

from __future__ import annotations

import json
import runpy
import sys
import traceback
from pathlib import Path
from typing import Final

BEGIN: Final = "==== strongroom example: "
END: Final = "==== strongroom example ended with "


def main(plan: Path) -> int:
    """Run what the plan lists; return 1 if any of them failed."""
    statuses = [_run(each["name"], each["program"], each["arguments"]) for each in json.loads(plan.read_text())]
    return 1 if any(statuses) else 0


def _run(name: str, program: str, arguments: list[str]) -> int:
    _mark(f"{BEGIN}{name}")
    before = sys.argv
    sys.argv = [program, *arguments]
    status = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)  # as Python does for a program alone
    except Exception:  # noqa: BLE001  # it is told, and the next program runs
        traceback.print_exc()
        status = 1
    finally:
        sys.argv = before
        _stop()
    _mark(f"{END}{status}")
    return status


def _mark(line: str) -> None:
    for stream in (sys.stdout, sys.stderr):
        print(line, file=stream, flush=True)


def _stop() -> None:
    """Stop the session that a failed program has left."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
