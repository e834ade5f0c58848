"""The driver's JVM, and the way of Python to it: mutual TLS on loopback, where PySpark's own gateway is in clear.

World: one JVM by Spark's own spark-submit, which finds its settings in the session's folder and none in its arguments.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from strongroom.analytics.session.folder import CA, DRIVER_PEM, PORT, TOKEN, SessionFolder
from strongroom.errors import Unreachable
from strongroom.sparkjobs.properties import LOOPBACK

if TYPE_CHECKING:
    from py4j.clientserver import ClientServer  # type: ignore[import-untyped]  # py4j has no types

MAIN_CLASS: Final = "strongroom.submit.Gateway"
START_TIMEOUT_S: Final = 300.0  # a JVM on a loaded machine with a small enclave takes its time
_POLL_S: Final = 0.02
# What PySpark's own gateway lets Python programs name without their packages (pyspark/java_gateway.py).
_IMPORTS: Final = (
    "org.apache.spark.SparkConf",
    "org.apache.spark.api.java.*",
    "org.apache.spark.api.python.*",
    "org.apache.spark.ml.python.*",
    "org.apache.spark.mllib.api.python.*",
    "org.apache.spark.resource.*",
    "org.apache.spark.sql.Encoders",
    "org.apache.spark.sql.OnSuccessCall",
    "org.apache.spark.sql.functions",
    "org.apache.spark.sql.classic.*",
    "org.apache.spark.sql.api.python.*",
    "org.apache.spark.sql.hive.*",
    "scala.Tuple2",
)


class DriverNotStarted(Unreachable):
    """The driver's JVM ended before Python could speak with it, or did not begin in time."""

    code = "SR-SPARK-DRIVER"
    fix = "Read what Java said above, and run strongroom spark preflight."


def environment(folder: SessionFolder, base: Mapping[str, str], *, local_dirs: tuple[str, ...]) -> dict[str, str]:
    """Return the environment of the driver, its JVM and its Python workers: names of places, no secrets."""
    kept = {name: value for name, value in base.items() if not _is_dropped(name)}
    return (
        kept
        | _interpreter()
        | {
            "SPARK_CONF_DIR": os.fspath(folder.conf),
            "SPARK_HOME": os.fspath(spark_home()),
            "SPARK_LOCAL_DIRS": ",".join(local_dirs),
            "TMPDIR": os.fspath(folder.temporary),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
        }
    )


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
_FUNCTION: Final = "BASH_FUNC_"  # shells take functions from variables of such names
_PYTHONS: Final = "PYTHON"


def _is_dropped(name: str) -> bool:
    own = bool(sys.flags.ignore_environment) and name.startswith(_PYTHONS)
    return own or name in _DROPPED or name.startswith(_FUNCTION)


def _interpreter() -> dict[str, str]:
    """Return variables by which the driver and the workers look for code where this interpreter does, and nowhere else.

    A measured command line says -I: neither a module in the working folder nor one of the user's, nor compiled ones.
    """
    found = {
        "PYTHONSAFEPATH": sys.flags.safe_path,
        "PYTHONNOUSERSITE": sys.flags.no_user_site,
        "PYTHONDONTWRITEBYTECODE": sys.flags.dont_write_bytecode,
    }
    prefix = {} if sys.pycache_prefix is None else {"PYTHONPYCACHEPREFIX": sys.pycache_prefix}
    return {name: "1" for name, is_set in found.items() if is_set} | prefix


def spark_home() -> Path:
    """Return where PySpark has Spark. Raises NoSpark."""
    from strongroom.analytics.parquet.build import spark_jars

    return spark_jars().parent


def java_command(main_class: str, resource: str, arguments: tuple[str, ...] = ()) -> list[str]:
    """Return the command of a driver's JVM: classes and files, nothing else."""
    submit = os.fspath(spark_home() / "bin" / "spark-submit")
    return [submit, "--class", main_class, resource, *arguments]


def launch(folder: SessionFolder, environ: Mapping[str, str]) -> ClientServer:
    """Start the JVM and return PySpark's gateway to it. Raises DriverNotStarted, NoSpark."""
    process = subprocess.Popen(
        java_command(MAIN_CLASS, "spark-internal"), stdin=subprocess.PIPE, env=dict(environ),
        stdout=sys.stderr.fileno() if _has_descriptor() else None,
        process_group=0,  # Ctrl-C is for Python, which cancels jobs
    )  # fmt: skip
    try:
        gateway = _connect(folder, _port(folder, process))
    except BaseException:
        process.kill()
        process.wait()
        raise
    gateway.proc = process
    return gateway


def let_go(gateway: ClientServer) -> None:
    """Let this thread's next call take another connection: the last one may wait for an answer that never comes."""
    gateway._gateway_client.thread_connection.connection = None  # noqa: SLF001  # py4j has no word for it


def end(gateway: ClientServer) -> None:
    """End the JVM and wait for it."""
    process: subprocess.Popen[bytes] = gateway.proc
    with contextlib.suppress(Exception):  # a JVM that is gone cannot be told goodbye; py4j raises what it likes
        gateway.shutdown()
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _has_descriptor() -> bool:
    try:
        sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def _port(folder: SessionFolder, process: subprocess.Popen[bytes]) -> int:
    place, ends = folder.path / PORT, time.monotonic() + START_TIMEOUT_S
    while not place.exists():
        status = process.poll()
        if status is not None:
            raise DriverNotStarted(f"the driver's JVM ended with {status} before it could be spoken with")
        if time.monotonic() > ends:
            raise DriverNotStarted(f"the driver's JVM did not begin within {START_TIMEOUT_S:.0f} seconds")
        time.sleep(_POLL_S)
    return int(place.read_text(encoding="ascii"))


def _context(folder: SessionFolder, purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=os.fspath(folder.path / CA))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder.path / DRIVER_PEM)
    return context


def _connect(folder: SessionFolder, port: int) -> ClientServer:
    from py4j.clientserver import ClientServer, JavaParameters, PythonParameters
    from py4j.java_gateway import java_import  # type: ignore[import-untyped]  # as above

    token = (folder.path / TOKEN).read_text(encoding="ascii")
    outward, inward = _context(folder, ssl.Purpose.SERVER_AUTH), _context(folder, ssl.Purpose.CLIENT_AUTH)
    gateway: Any = ClientServer(
        java_parameters=JavaParameters(
            address=LOOPBACK, port=port, auth_token=token, auto_convert=True, ssl_context=outward
        ),
        python_parameters=PythonParameters(address=LOOPBACK, port=0, eager_load=False, ssl_context=inward),
    )
    for each in _IMPORTS:
        java_import(gateway.jvm, each)
    return gateway
