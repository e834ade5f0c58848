"""Which JVM is started, and what the measured manifest lets it be given: nothing here comes from the host. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.errors import Refused

# Spark deserialises what arrives, and hands tasks and data to whoever answers: only to those who know the job's secret.
# It lies sealed with the job's data, or in memory where an agent has put it. Without it nothing starts, and no secret
# of Spark's own making reaches a pod's environment, where the cluster's operator reads it. Source: Spark, "Security".
SPARK_SECRET: Final = "/data/spark_secret"  # noqa: S105  # where it is


class LaunchArgumentRefused(Refused):
    """A word on the command line of a measured program is not one that the untrusted side may choose."""

    code = "SR-LAUNCH-ARGUMENT"
    fix = "Remove it, or fix its value in the manifest; docs/gramine-manifests.md lists what may come from outside."


class Role(StrEnum):
    """One kind of JVM."""

    SPARK_DRIVER = "spark-driver"
    SPARK_EXECUTOR = "spark-executor"
    FLINK_JOBMANAGER = "flink-jobmanager"
    FLINK_TASKMANAGER = "flink-taskmanager"

    @property
    def is_spark(self) -> bool:
        """Whether it belongs to Spark."""
        return self in {Role.SPARK_DRIVER, Role.SPARK_EXECUTOR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the manifest's own words say; they are measured."""

    role: Role
    java: str  # the program that is started
    home: str  # Spark's or Flink's folder: jars and configuration, all of it trusted files
    scratch: str  # what may be written: local folders, logs
    max_heap_mib: int
    library_path: str = ""
    secret: str = SPARK_SECRET  # the file with Spark's secret
    temporary: str = "/tmp"  # noqa: S108  # for Java's temporary files: the enclave's memory
    program: tuple[str, ...] = ()  # what a Spark driver runs: the words of spark-submit from --class on


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Words that were checked, and what was changed about them on the way."""

    words: tuple[str, ...]
    notices: tuple[str, ...] = ()


def name_of(word: str) -> str:
    """Return a word as an error may show it: without what it is set to, which could be a secret."""
    return ascii(word.partition("=")[0][:80])[1:-1]
