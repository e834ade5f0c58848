"""What Flink's processes are told, and the end of its client with everything that it started.

World: processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from strongroom.serving.operations import detached
from strongroom.streaming.flink.home import FlinkHome


def environment(home: FlinkHome, configuration: Path, logs: Path) -> dict[str, str]:
    """Return the whole environment of a process of Flink's: what it needs, and nothing that this process happens to
    hold."""
    kept = detached.kept_environment()
    return kept | {
        "JAVA_HOME": str(home.java_home),
        "FLINK_HOME": str(home.distribution),
        "FLINK_CONF_DIR": str(configuration),
        "FLINK_LOG_DIR": str(logs),
        "FLINK_IDENT_STRING": "strongroom",
        "STD_REDIRECT_TO_FILE": "true",
        "PATH": f"{home.environment / 'bin'}:{home.java_home / 'bin'}:{kept.get('PATH', os.defpath)}",
    }


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a process that leads a group of its own, with its children; nothing happens if all have ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
