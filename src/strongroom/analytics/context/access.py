"""What a context's readers and writers need: a session, its keys, and where copies in memory may be.

World: the session, the agent that keys are asked of.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from strongroom.analytics.context.in_memory import OpenedCopies, copies_of, one_process
from strongroom.analytics.keys.opening import AGENT_VARIABLE, default_keys, open_keys
from strongroom.analytics.keys.service import KeyService

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_AGENT: Final = "agent:"


class Access:
    """A session with keys, which are asked for when they are needed first. Raises BadKeysReference."""

    def __init__(self, spark: SparkSession, keys: str | None, *, in_memory: bool) -> None:
        from strongroom.analytics.source import register

        self.spark: Final = spark
        self._stack: Final = ExitStack()
        try:
            self.socket: Final = self._named_agent(keys)
            register(spark)
        except BaseException:
            self._stack.close()
            raise
        self._keys: KeyService | None = None
        self.copies: Final = copies_of(spark) if in_memory else OpenedCopies(None)

    @property
    def keys(self) -> KeyService:
        """Where keys come from. Raises KeyNotGranted where this process has none."""
        if self._keys is None:
            self._keys = open_keys(f"{_AGENT}{self.socket}") if self.socket else default_keys(os.environ)
            self._stack.callback(self._keys.close)
        return self._keys

    def sealed_options(self, key: str) -> dict[str, str]:
        """Return the options of format sealed that are known here: references, never keys."""
        found = {"keys": f"{_AGENT}{self.socket}"} if self.socket else {}
        return found | ({"key": key} if key else {})

    def close(self) -> None:
        """Let go of the keys; the session stays."""
        self._stack.close()

    def _named_agent(self, keys: str | None) -> str:
        """Return the socket to give to workers and to the JVM; empty where the environment tells each its own."""
        if keys is None:
            return "" if os.environ.get(AGENT_VARIABLE) else _session_agent(self.spark)
        if keys.startswith(_AGENT):
            return keys.removeprefix(_AGENT)
        from strongroom.analytics.agent.agent import serving

        service = open_keys(keys)
        self._stack.callback(service.close)
        return os.fspath(self._stack.enter_context(serving(service)).socket)


def _session_agent(spark: SparkSession) -> str:
    from strongroom.sparkjobs.properties import AGENT_SOCKET

    return (spark.sparkContext.getConf().get(AGENT_SOCKET) or "") if one_process(spark) else ""
