"""What surrounds Spark's processes: variables that name places, and nothing by which others bring code or options in.

World: this interpreter's flags, PySpark's folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from strongroom.analytics.parquet.build import spark_jars
from strongroom.analytics.session.folder import SessionFolder

# Where a file has what driver and executors of one application share: an agent says so to those below it.
SECRET_FILE_VARIABLE: Final = "STRONGROOM_SPARK_SECRET_FILE"  # noqa: S105  # a path
# Spark's own ways to settings and secrets through the environment.
_DROPPED: Final = frozenset({
    "_SPARK_AUTH_SECRET", "_SPARK_SSL_RPC_KEY_PASSWORD", "_SPARK_SSL_RPC_KEY_STORE_PASSWORD", "SPARK_TESTING",
    "_SPARK_SSL_RPC_TRUST_STORE_PASSWORD", "_SPARK_SSL_RPC_PRIVATE_KEY_PASSWORD", "PYSPARK_SUBMIT_ARGS",
    "PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE",
    "SPARK_JAVA_OPTS", "SPARK_SUBMIT_OPTS", "SPARK_DAEMON_JAVA_OPTS", "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS", "SPARK_PRINT_LAUNCH_COMMAND", "SPARK_ENV_LOADED", "STRONGROOM_QUOTE_FD",
    # What Spark prefers to SPARK_LOCAL_DIRS: it would spill there, in clear where Python does.
    "SPARK_EXECUTOR_DIRS", "CONTAINER_ID", "LOCAL_DIRS",
    # Code and options that nobody has measured: for the shell of spark-submit, for its launcher, on the class path.
    "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "SPARK_LAUNCHER_OPTS", "SPARK_DIST_CLASSPATH",
    "SPARK_PREPEND_CLASSES", "SPARK_SQL_TESTING", "HADOOP_CONF_DIR", "YARN_CONF_DIR", "PYSPARK_ARCHIVES_PATH",
    "HADOOP_TOKEN_FILE_LOCATION",
})  # fmt: skip
# PySpark's planner imports what it finds under names like pyspark_…; nothing else lies here.
LOOKED_THROUGH: Final = Path(__file__).with_name("looked_through")
_COMPILED: Final = "compiled"
_FUNCTION: Final = "BASH_FUNC_"  # shells take functions from variables of such names
_PYTHONS: Final = "PYTHON"


def environment(folder: SessionFolder, base: Mapping[str, str], *, local_dirs: tuple[str, ...]) -> dict[str, str]:
    """Return the environment of the driver, its JVM and its Python workers: names of places, no secrets."""
    kept = {name: value for name, value in base.items() if not _is_dropped(name)}
    paths = [path for path in (kept.get("PYTHONPATH"), os.fspath(LOOKED_THROUGH)) if path]
    return (
        kept
        | _interpreter(folder)
        | {
            "SPARK_CONF_DIR": os.fspath(folder.conf),
            "SPARK_HOME": os.fspath(spark_home()),
            "SPARK_LOCAL_DIRS": ",".join(local_dirs),
            "TMPDIR": os.fspath(folder.temporary),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
        }
    )


def _is_dropped(name: str) -> bool:
    own = bool(sys.flags.ignore_environment) and name.startswith(_PYTHONS)
    return own or name in _DROPPED or name.startswith(_FUNCTION)


def _interpreter(folder: SessionFolder) -> dict[str, str]:
    """Return variables by which the driver and the workers look for code where this interpreter does, and nowhere else.

    A measured command line says -I: neither a module in the working folder nor one of the user's, nor compiled ones but
    those that this session's own processes compile, of which there are many: they lie where its secrets do.
    """
    found = {"PYTHONSAFEPATH": sys.flags.safe_path, "PYTHONNOUSERSITE": sys.flags.no_user_site}
    named = {name: "1" for name, is_set in found.items() if is_set}
    if sys.pycache_prefix is not None:
        return named | {"PYTHONPYCACHEPREFIX": os.fspath(folder.path / _COMPILED)}
    return named | ({"PYTHONDONTWRITEBYTECODE": "1"} if sys.flags.dont_write_bytecode else {})


def spark_home() -> Path:
    """Return where PySpark has Spark. Raises NoSpark."""
    return spark_jars().parent
