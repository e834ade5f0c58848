"""Which JVM is started: the measured manifest says it, never the host. Pure."""

from __future__ import annotations

from enum import StrEnum


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
