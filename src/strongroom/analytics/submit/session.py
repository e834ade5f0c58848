"""A trusted session as a Python object: Spark with everything encrypted, and keys by an agent.

    with TrustedSession("sums", keys="file:keys") as session:
        session.spark.range(10).count()

World: one JVM, a folder in memory, this process's environment while it runs. One session at a time.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from strongroom.analytics.agent.agent import serving
from strongroom.analytics.keys.opening import AGENT_VARIABLE, open_keys
from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.session.folder import PAGE_TOKEN, SessionFolder
from strongroom.analytics.session.notices import quiet_pandas
from strongroom.analytics.submit import hooks
from strongroom.analytics.submit.preparing import Prepared, Wanted, ca_file, prepare, warn_insecure
from strongroom.errors import BadInput
from strongroom.sparkjobs.properties import Rpc

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_AGENT: Final = "agent:"


class SessionRuns(BadInput):
    """This process has a Spark session already, which cannot be made a trusted one."""

    code = "SR-SPARK-RUNS"
    fix = "Stop the other session first (spark.stop()), or start a process of its own."


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a session is."""

    application: str
    master: str
    rpc: Rpc
    protected: bool
    keys: tuple[str, ...]
    page: str | None
    executors: int


class TrustedSession:
    """Starts Spark at once; `stop()` or the end of a `with` block ends it and removes every file of it.

    Raises what `prepare` raises, SessionRuns, DriverNotStarted.
    """

    def __init__(
        self, app_name: str, *, master: str = "local[*]", keys: KeyService | str | None = None,
        rpc: str = "aes", ui: bool = True, extra_conf: Mapping[str, str] | None = None,
        local_dirs: tuple[str, ...] = (), secret_file: str | None = None, insecure: bool = False,
    ) -> None:  # fmt: skip
        _check_none_runs()
        self._stack: Final = ExitStack()
        self._keys = keys
        try:
            agent = self._agent(keys)
            wanted = Wanted(
                app_name=app_name, master=master, settings=dict(extra_conf or {}), rpc=Rpc(rpc), ui=ui,
                local_dirs=local_dirs, secret_file=secret_file, agent=agent, insecure=insecure,
            )  # fmt: skip
            self._wanted: Final = wanted
            self.folder: Final = SessionFolder.create(insecure=insecure)
            self._stack.callback(self.folder.remove)
            self.prepared: Final = prepare(self.folder, wanted, os.environ)
            self.spark: Final = self._start(self.prepared)
        except BaseException:
            self.stop()
            raise
        if insecure:
            warn_insecure()

    @property
    def agent(self) -> str | None:
        """The socket that keys are asked for at."""
        return self._wanted.agent

    @property
    def ca_file(self) -> Path:
        """The certificate by which the session's page is to be checked."""
        return ca_file(self.folder)

    @property
    def page_token_file(self) -> Path:
        """The file with the password of the session's page; the user's name there is anyone's."""
        return self.folder.path / PAGE_TOKEN

    def status(self) -> Status:
        """Return what the session is at this moment."""
        context = self.spark.sparkContext
        names = open_keys(f"{_AGENT}{self.agent}").names() if self.agent is not None else ()
        java = context._jsc.sc()  # noqa: SLF001  # PySpark shows executors nowhere else
        return Status(
            application=context.applicationId, master=self._wanted.master, rpc=self._wanted.rpc,
            protected=not self._wanted.insecure, keys=names, page=context.uiWebUrl,
            executors=int(java.getExecutorMemoryStatus().size()) - 1,
        )  # fmt: skip

    def stop(self) -> None:
        """End Spark, its JVM and the agent, and remove the folder; a second time it does nothing."""
        atexit.unregister(self.stop)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if problem is not None and hasattr(problem, "java_exception"):
            problem.add_note(str(problem))  # py4j asks Java for these words, and Java will be gone
        self.stop()

    def _agent(self, keys: KeyService | str | None) -> str | None:
        """Return the socket of an agent: one that is there, or one of this process over the given keys."""
        if keys is None:
            return os.environ.get(AGENT_VARIABLE) or None
        if isinstance(keys, str):
            if keys.startswith(_AGENT):
                return keys.removeprefix(_AGENT)
            keys = open_keys(keys)
            self._stack.callback(keys.close)
        return os.fspath(self._stack.enter_context(serving(keys)).socket)

    def _start(self, prepared: Prepared) -> SparkSession:
        from pyspark.sql import SparkSession

        self._stack.enter_context(surrounded_by(prepared.environ))
        hooks.no_dumps()
        quiet_pandas()
        started = hooks.Started(self.folder)
        hooks.install(started)
        self._stack.callback(hooks.uninstall)
        self._stack.callback(started.end)
        atexit.register(self.stop)
        self._stack.enter_context(_ended_by_sigterm(started))
        return SparkSession.builder.getOrCreate()


class surrounded_by:  # noqa: N801  # a context manager
    """Has PySpark see a session's environment, and puts back what was there."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._wanted = dict(environ)
        self._before: dict[str, str] = {}

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        self._set(self._wanted)

    def __exit__(self, *_: object) -> None:
        self._set(self._before)

    @staticmethod
    def _set(environ: Mapping[str, str]) -> None:
        for name in set(os.environ) - set(environ):
            del os.environ[name]
        os.environ.update(environ)


class _ended_by_sigterm:  # noqa: N801  # a context manager
    """Makes SIGTERM an ordinary end of the process, so that the session's files go; leaves others' handlers alone."""

    def __init__(self, started: hooks.Started) -> None:
        self._end = started.interrupted
        self._ours = False

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._end)
            self._ours = True

    def __exit__(self, *_: object) -> None:
        if self._ours and signal.getsignal(signal.SIGTERM) is self._end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _check_none_runs() -> None:
    context = sys.modules.get("pyspark.core.context")
    if context is not None and context.SparkContext._gateway is not None:  # noqa: SLF001  # there is no other way to ask
        raise SessionRuns("this process has a JVM of Spark already")
