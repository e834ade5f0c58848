"""An executor's command from what Spark tells its pod: variables of the environment in, words for Java out. Pure.

Spark's own image does this in a shell script. Nobody has to trust what comes out: the measured program behind it checks
each word. Source: Spark 4, "Running Spark on Kubernetes", and what its executors' pods are made with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from strongroom.errors import BadInput

MAIN: Final = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
ROLE: Final = "executor"  # the last word that Spark gives such a container
MAX_OPTIONS: Final = 512
MAX_VALUE_CHARS: Final = 4096
_OPTION: Final = re.compile(r"SPARK_JAVA_OPT_([0-9]{1,4})", re.ASCII)
_MEMORY: Final = re.compile(r"[1-9][0-9]{0,8}[kmg]", re.ASCII)
_MEMORY_VARIABLE: Final = "SPARK_EXECUTOR_MEMORY"
_WORDS: Final[Mapping[str, str]] = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}


class NotAnExecutorPod(BadInput):
    """The environment of a pod is not what Spark gives its executors."""

    code = "SR-SPARK-POD"
    fix = "Let Spark start this pod: strongroom spark submit --master k8s://… with the template of the chart."


def command(environ: Mapping[str, str], home: str) -> tuple[str, ...]:
    """Return Java's words for the executor that the environment describes. Raises NotAnExecutorPod.

    `home`: Spark's folder. The class path that the driver asks for is none of this: the executor's own is measured.
    """
    memory = _value(environ, _MEMORY_VARIABLE)
    if not _MEMORY.fullmatch(memory):
        raise NotAnExecutorPod(f"{_MEMORY_VARIABLE} is no size such as 1024m")
    named = [word for option, variable in _WORDS.items() for word in (option, _value(environ, variable))]
    return (*_options(environ), f"-Xms{memory}", f"-Xmx{memory}", "-cp", f"{home}/jars/*", MAIN, *named)


def _options(environ: Mapping[str, str]) -> list[str]:
    numbers = sorted(int(found[1]) for name in environ if (found := _OPTION.fullmatch(name)))
    if len(numbers) > MAX_OPTIONS:
        raise NotAnExecutorPod(f"there are more than {MAX_OPTIONS} options for Java")
    return [_value(environ, f"SPARK_JAVA_OPT_{number}") for number in numbers]


def _value(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise NotAnExecutorPod(f"{name} is not there, or empty")
    if len(value) > MAX_VALUE_CHARS or not (value.isascii() and value.isprintable()):
        raise NotAnExecutorPod(f"{name} is longer than {MAX_VALUE_CHARS} characters, or has some that no word has")
    return value
