"""Run one Python program in a session that was prepared: what `spark submit` starts as the driver's process.

    python -m strongroom.analytics.submit.program FOLDER app.py ARGUMENT…

The program is run as it is, as __main__, and meets Spark's gateway behind TLS when it first asks for Spark. Where it
fails, the last thing printed is why.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys
from pathlib import Path

from strongroom.analytics.session.folder import TRACES_VARIABLE, SessionFolder
from strongroom.analytics.session.notices import quiet_pandas, quiet_raised
from strongroom.analytics.submit import hooks
from strongroom.analytics.submit.failing import Failing
from strongroom.analytics.submit.progress_line import Progress

PROGRESS_VARIABLE = "STRONGROOM_SPARK_PROGRESS"


def main(words: list[str]) -> None:
    """Run it; its exit status is the process's."""
    folder, program, arguments = SessionFolder(Path(words[0])), words[1], words[2:]
    hooks.no_dumps()
    failing = Failing(program, os.environ.get(TRACES_VARIABLE, ""))
    atexit.register(failing.say)  # first of all, so that it is the last: what ends Spark has words of its own
    sys.excepthook = failing.hear
    started = hooks.Started(folder)
    signal.signal(signal.SIGTERM, started.interrupted)
    if hooks.has_pyspark():
        hooks.install(started)
        atexit.register(started.end)  # not earlier: to print what Java raised, Python asks Java for its words
        quiet_pandas()
        quiet_raised()
        if os.environ.pop(PROGRESS_VARIABLE, ""):
            progress = Progress()
            atexit.register(progress.stop)
            progress.start()
    _run(program, arguments)


def _run(program: str, arguments: list[str]) -> None:
    sys.argv = [program, *arguments]
    beside = os.fspath(Path(program).resolve().parent)
    if sys.flags.safe_path:  # a measured job's: what lies beside its program stands in for nothing that is installed
        sys.path.append(beside)
    else:
        sys.path[0] = beside  # as `python app.py` has it
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
