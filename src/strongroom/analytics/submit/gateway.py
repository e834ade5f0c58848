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
from strongroom.analytics.session.home import home_of
from strongroom.analytics.session.surroundings import spark_home
from strongroom.analytics.submit import class_archive
from strongroom.analytics.submit.preparing import own_jar
from strongroom.errors import Unreachable
from strongroom.sparkjobs.properties import LOOPBACK

if TYPE_CHECKING:
    from py4j.clientserver import ClientServer  # type: ignore[import-untyped]  # py4j has no types

MAIN_CLASS: Final = "strongroom.submit.Gateway"
NO_JAR: Final = "spark-internal"  # Spark's word for a main class that is on the class path already
START_TIMEOUT_S: Final = 300.0  # a JVM on a loaded machine with a small enclave takes its time
_POLL_S: Final = 0.02
# What Spark's scripts say to the JVMs that they start.
_SCRIPTS: Final = {"PYTHONHASHSEED": "0", "SPARK_SCALA_VERSION": class_archive.SCALA}
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
    fix = (
        "Read what Java said above, and run strongroom spark preflight. If Java crashed at its start, make its classes "
        "anew: strongroom spark warm-up --again."
    )


def java_command(
    main_class: str, resource: str, arguments: tuple[str, ...], folder: SessionFolder, environ: Mapping[str, str]
) -> list[str]:
    """Return the command of a driver's JVM: classes and files, and the file of Spark's classes where there is one.

    Raises NoCommand, NoSpark, LoosePermissions.
    """
    words = ["--class", main_class, resource, *arguments]
    archive = class_archive.found(environ, own_jar())
    if archive is None:
        return [os.fspath(spark_home() / "bin" / "spark-submit"), *words]
    return class_archive.command(words, folder, environ, class_archive.using(archive))


def variables(folder: SessionFolder, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a driver's JVM has as its environment: Spark's folder is as the session sees it. Raises NoSpark."""
    return {**environ, **_SCRIPTS, "SPARK_HOME": os.fspath(home_of(folder))}


def launch(folder: SessionFolder, environ: Mapping[str, str], *, keep_classes_in: Path | None = None) -> ClientServer:
    """Start the JVM and return PySpark's gateway to it. Raises DriverNotStarted, NoCommand, NoSpark.

    `keep_classes_in`: a file for the JVM's classes when it ends, see `class_archive`.
    """
    process = subprocess.Popen(
        _command(folder, environ, keep_classes_in), stdin=subprocess.PIPE, env=variables(folder, environ),
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


def _command(folder: SessionFolder, environ: Mapping[str, str], keep_classes_in: Path | None) -> list[str]:
    if keep_classes_in is None:
        return java_command(MAIN_CLASS, NO_JAR, (), folder, environ)
    words = ["--class", MAIN_CLASS, NO_JAR]
    return class_archive.command(words, folder, environ, class_archive.making(keep_classes_in))


def let_go(gateway: ClientServer) -> None:
    """Let this thread's next call take another connection: the last one may wait for an answer that never comes."""
    client = gateway._gateway_client  # noqa: SLF001  # py4j has no word for it
    waiting = client.get_thread_connection()
    if waiting is not None:
        waiting.socket = None  # else py4j shuts down all other connections too, where Ctrl-C interrupts this one
    client.thread_connection.connection = None


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
