"""Check the main class and the words after it: which program of Spark or Flink, and what is said of this run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from strongroom.launcher.properties import check_flink_property, check_spark_conf
from strongroom.launcher.roles import LaunchArgumentRefused, Role, Settings, name_of
from strongroom.launcher.values import Form, exactly, host, identifier, number, path_below, spark_url

MAINS: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.SPARK_DRIVER: ("org.apache.spark.deploy.SparkSubmit",),
    Role.SPARK_EXECUTOR: (
        "org.apache.spark.executor.CoarseGrainedExecutorBackend",
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
    ),
    Role.FLINK_JOBMANAGER: (
        "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
        "org.apache.flink.kubernetes.entrypoint.KubernetesSessionClusterEntrypoint",
    ),
    Role.FLINK_TASKMANAGER: (
        "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
        "org.apache.flink.kubernetes.taskmanager.KubernetesTaskExecutorRunner",
    ),
}
_EXECUTOR: Final[Mapping[str, Form]] = {
    "--app-id": identifier,
    "--bind-address": host,
    "--cores": number,
    "--driver-url": spark_url,
    "--executor-id": identifier,
    "--hostname": host,
    "--podName": identifier,
    "--resourceProfileId": number,
    "--worker-url": spark_url,
}
_REFUSED_BY_NAME: Final[Mapping[str, str]] = {
    "--resourcesFile": "the file is the untrusted side's",
    "--user-class-path": "it lets the untrusted side choose code",
    "--jars": "it lets the untrusted side choose code",
    "--py-files": "it lets the untrusted side choose code",
    "--packages": "it downloads code",
    "--files": "it brings in files that were not measured",
    "--archives": "it brings in files that were not measured",
    "--driver-class-path": "it lets the untrusted side choose code",
    "--driver-java-options": "it would go around the checks of the JVM's options",
    "--driver-library-path": "it lets the untrusted side choose code",
    "--class": "it is not the class that the manifest names",
    "--keytab": "secrets come from the broker",
}
# Another file than conf/spark-defaults.conf would be read in its place, so that what it protects would be off: any
# other measured file without those words would do, a template or one for logging.
PROPERTIES_FILE: Final = "--properties-file"
# After the host's words, so that these win: a job manager runs whatever job it is sent, and both deserialise what
# arrives, so nobody may connect without a certificate. Where conf/ names no stores, Flink does not start.
_FLINK_FIXED: Final = tuple(
    f"-Dsecurity.ssl.{each}=true" for each in ("internal.enabled", "rest.enabled", "rest.authentication-enabled")
)


def check_main(words: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """Return the main class and its words, checked; `words` is not empty. Raises LaunchArgumentRefused."""
    main, *rest = words
    if main not in MAINS[settings.role]:
        raise LaunchArgumentRefused(f"the main class {name_of(main)} is none that a {settings.role} starts")
    checks: Mapping[Role, Callable[[list[str], Settings], tuple[str, ...]]] = {
        Role.SPARK_DRIVER: _driver,
        Role.SPARK_EXECUTOR: _executor,
        Role.FLINK_JOBMANAGER: _flink,
        Role.FLINK_TASKMANAGER: _flink,
    }
    return (main, *checks[settings.role](rest, settings))


def _executor(words: list[str], _settings: Settings) -> tuple[str, ...]:
    _pairs(words, _EXECUTOR)
    missing = [name for name in ("--driver-url", "--executor-id", "--app-id") if name not in words[::2]]
    if missing:
        raise LaunchArgumentRefused(f"an executor needs {', '.join(missing)}")
    return tuple(words)


def _driver(words: list[str], settings: Settings) -> tuple[str, ...]:
    """Check the options of spark-submit; what it runs is the manifest's, whether the host repeats it or not.

    A properties file goes: Spark reads the measured conf/spark-defaults.conf where none is named.
    """
    program = list(settings.program)
    if not program:
        raise LaunchArgumentRefused("the manifest names no program for this driver")
    if words[-len(program) :] == program:
        words = words[: -len(program)]
    forms: dict[str, Form] = {
        "--master": _master,
        "--deploy-mode": exactly("client"),
        "--name": identifier,
        PROPERTIES_FILE: lambda value: path_below(value, f"{settings.home}/conf"),
        "--num-executors": number,
        "--executor-cores": number,
        "--total-executor-cores": number,
    }
    kept: list[str] = []
    for name, value in _pairs(words, forms, also=("--conf",)):
        if name == "--conf":
            check_spark_conf(value)
        if name != PROPERTIES_FILE:
            kept += [name, value]
    return (*kept, *program)


def _master(value: str) -> bool:
    if value == "local" or (value.startswith("local[") and value.endswith("]")):
        return value == "local" or value[6:-1] == "*" or number(value[6:-1])
    where, colon, digits = value.removeprefix("k8s://https://").removeprefix("spark://").rpartition(":")
    return value.startswith(("k8s://https://", "spark://")) and bool(colon) and host(where) and number(digits)


def _flink(words: list[str], settings: Settings) -> tuple[str, ...]:
    """Check --configDir, --executionMode and Flink's own settings, as `-D name=value` or `-Dname=value`."""
    forms: dict[str, Form] = {
        "--configDir": exactly(f"{settings.home}/conf"),
        "-c": exactly(f"{settings.home}/conf"),
        "--executionMode": exactly("cluster"),
        "--host": host,
    }
    plain: list[str] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "-D":
            if not waiting:
                raise LaunchArgumentRefused("-D has no value")
            check_flink_property(waiting.pop(), settings)
        elif word.startswith("-D"):
            check_flink_property(word[2:], settings)
        else:
            plain.append(word)
    _pairs(plain, forms)
    return (*words, *_FLINK_FIXED)


def _pairs(words: Sequence[str], forms: Mapping[str, Form], also: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Return option and value of each pair, each option known and each value of its form."""
    for name in words[::2]:
        if name not in forms and name not in also:
            why = _REFUSED_BY_NAME.get(name.partition("=")[0], "it is not among those allowed")
            raise LaunchArgumentRefused(f"{name_of(name)} is refused: {why}")
    if len(words) % 2:
        raise LaunchArgumentRefused(f"{name_of(words[-1])} has no value")
    found = list(zip(words[::2], words[1::2], strict=True))
    for name, value in found:
        if name in forms and not forms[name](value):
            raise LaunchArgumentRefused(f"{name} has a value that is not allowed")
    return found
