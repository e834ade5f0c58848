"""What an unmodified Spark program meets in place of PySpark's gateway in clear, whenever it first asks for Spark.

World: this process's PySpark. Changed is where a program's first SparkContext gets its JVM, that sessions know format
"sealed", and that XGBoost keeps to one worker, whose network has no TLS. The JVM itself holds every context to the
session's settings (java/Agent.java).
"""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import sys
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from strongroom.analytics import source
from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.submit import collective, gateway

if TYPE_CHECKING:
    from py4j.clientserver import ClientServer  # type: ignore[import-untyped]  # py4j has no types

_PLAIN_INIT: Final = "_strongroom_plain_init"
_SIGNAL: Final = "signal"  # the module, as a name of PySpark's


class Started:
    """The gateway of this process, once a program has asked for it."""

    def __init__(self, folder: SessionFolder) -> None:
        self.folder: Final = folder
        self.gateway: ClientServer | None = None
        self._stopping = False

    def launch(self, conf: object = None, popen_kwargs: object = None) -> ClientServer:
        """Stand for pyspark.java_gateway.launch_gateway; `conf` is Python's and reaches the JVM later, by TLS."""
        del conf, popen_kwargs
        if self.gateway is None:
            self.gateway = gateway.launch(self.folder, os.environ)
        return self.gateway

    def interrupted(self, number: int, frame: FrameType | None) -> NoReturn:
        """End this process as a signal's handler, also where it waits for the JVM: for executors that never come."""
        del frame
        if self.gateway is not None:
            gateway.let_go(self.gateway)
        sys.exit(128 + number)

    def stopped(self, number: int, frame: FrameType | None) -> None:
        """Cancel what runs and interrupt the program: Ctrl-C, for which PySpark asks over the connection that waits."""
        del number, frame
        if self._stopping:  # a second one, while the first is told
            return
        self._stopping = True
        try:
            if self.gateway is not None:
                gateway.let_go(self.gateway)
                _cancel_jobs()
        finally:
            self._stopping = False
        raise KeyboardInterrupt

    def end(self) -> None:
        """Stop Spark where the program has not, and end the JVM."""
        if self.gateway is None:
            return
        from pyspark import SparkContext

        active: Any = SparkContext._active_spark_context  # noqa: SLF001  # what PySpark's own tests look at
        if active is not None:
            active.stop()
        found, self.gateway = self.gateway, None
        SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001  # the next session has a JVM of its own
        gateway.end(found)


def install(started: Started) -> None:
    """Let PySpark take its JVM from this session; call before a program runs."""
    import pyspark.core.context

    pyspark.core.context.launch_gateway = started.launch  # type: ignore[attr-defined]  # see the module
    handlers: Any = SimpleNamespace(
        SIGINT=signal.SIGINT, signal=lambda number, _: signal.signal(number, started.stopped)
    )
    setattr(pyspark.core.context, _SIGNAL, handlers)  # each context sets one
    collective.guard()
    _know_sealed_data()


def uninstall() -> None:
    """Give PySpark its own launch back."""
    import pyspark.core.context
    import pyspark.java_gateway
    from pyspark.sql import SparkSession

    if _PLAIN_INIT in SparkSession.__dict__:
        SparkSession.__init__ = getattr(SparkSession, _PLAIN_INIT)  # type: ignore[method-assign]  # as it was
        delattr(SparkSession, _PLAIN_INIT)
    pyspark.core.context.launch_gateway = pyspark.java_gateway.launch_gateway  # type: ignore[attr-defined]  # as above
    setattr(pyspark.core.context, _SIGNAL, signal)


def _cancel_jobs() -> None:
    from pyspark import SparkContext

    active: Any = SparkContext._active_spark_context  # noqa: SLF001  # what PySpark's own tests look at
    if active is not None:
        active.cancelAllJobs()


def _know_sealed_data() -> None:
    """Let every session that a program makes know format "sealed", without a word of the program."""
    from pyspark.sql import SparkSession

    if _PLAIN_INIT in SparkSession.__dict__:
        return
    plain = SparkSession.__init__

    def ready(self: SparkSession, *words: Any, **named: Any) -> None:  # noqa: ANN401  # PySpark's own
        plain(self, *words, **named)
        source.register(self)

    setattr(SparkSession, _PLAIN_INIT, plain)
    SparkSession.__init__ = ready  # type: ignore[method-assign]  # see above


def no_dumps() -> None:
    """Let no crash of this process or of those below write memory to a disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def has_pyspark() -> bool:
    """Return whether PySpark can be imported; a program without Spark runs without it as well."""
    return importlib.util.find_spec("pyspark") is not None
