"""The words of `spark submit`: those of BigDL's ppml-spark-submit.sh, of spark-submit, and ours. Pure.

Words that spark-submit knows become settings, so that no JVM gets them as arguments. The first word that is no option
is the program; what follows is the program's own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import BadInput
from strongroom.sparkjobs.masters import MasterKind
from strongroom.sparkjobs.properties import Rpc

# spark-submit's options that take a value, and the setting that each stands for.
_SETTINGS: Final[Mapping[str, str]] = {
    "--name": "spark.app.name",
    "--jars": "spark.jars",
    "--py-files": "spark.submit.pyFiles",
    "--files": "spark.files",
    "--archives": "spark.archives",
    "--driver-memory": "spark.driver.memory",
    "--driver-cores": "spark.driver.cores",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--executor-memory": "spark.executor.memory",
    "--executor-cores": "spark.executor.cores",
    "--total-executor-cores": "spark.cores.max",
    "--num-executors": "spark.executor.instances",
    "--queue": "spark.yarn.queue",
    "--driver-template": "spark.kubernetes.driver.podTemplateFile",
    "--executor-template": "spark.kubernetes.executor.podTemplateFile",
}
_OURS: Final = frozenset({
    "--master", "--deploy-mode", "--class", "--driver-class-path", "--conf", "--properties-file", "--sgx-enabled",
    "--sgx-driver-jvm-memory", "--sgx-executor-jvm-memory", "--log-file", "--key-store", "--key", "--keys", "--job",
    "--secret-file", "--rpc", "--local-dir", "--event-log", "--report", "--broker", "--broker-ca",
    "--roll-call", "--cluster-file",
})  # fmt: skip
_SWITCHES: Final = frozenset({"--verbose", "--insecure", "--no-ui", "--no-progress", "--supervise", "--version"})
_SHORT: Final[Mapping[str, str]] = {"-c": "--conf", "-v": "--verbose"}
_REFUSED: Final[Mapping[str, str]] = {
    "--packages": "it downloads code that nobody has measured; give JAR files with --jars",
    "--repositories": "it downloads code that nobody has measured; give JAR files with --jars",
    "--exclude-packages": "it belongs to --packages; give JAR files with --jars",
    "--remote": "Spark Connect has no attested driver; use --master",
    "--proxy-user": "a trusted job runs as the user who submits it",
    "--keytab": "Kerberos is not part of a trusted session; keys come from the broker",
    "--principal": "Kerberos is not part of a trusted session; keys come from the broker",
    "--kill": "end the job where it was submitted",
    "--status": "see strongroom spark report",
}
NEEDS_DEPLOY_MODE: Final = "--deploy-mode should be specified for k8s"
NEEDS_MEMORY: Final = "--driver-memory and --executor-memory should be specified for k8s"
NEEDS_SGX_MEMORY: Final = "--sgx-driver-jvm-memory and --sgx-executor-jvm-memory must be specified when sgx is enabled"
_MEMORY: Final = re.compile(r"[1-9][0-9]{0,8}[bkmgt]?b?", re.IGNORECASE)
MAX_WORDS: Final = 4096
MAX_WORD_CHARS: Final = 128 * 1024  # Linux's MAX_ARG_STRLEN


class BadSubmission(BadInput):
    """The words of spark submit do not fit each other: an option is unknown, lacks its value or is missing."""

    code = "SR-SPARK-SUBMIT"
    fix = "See strongroom spark submit --help."
    exit_status = 1


class NotInTrustedMode(BadInput):
    """An option of spark-submit cannot be had in a trusted session."""

    code = "SR-SPARK-OPTION"
    fix = "Leave the option out; docs/analytics-jobs.md says what to use instead."
    exit_status = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One job as its words describe it."""

    program: str
    arguments: tuple[str, ...] = ()
    master: str = "local[*]"
    main_class: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)  # the user's own, not yet held against the locked ones
    properties_file: str | None = None
    keys: tuple[str, ...] = ()  # names of primary keys that the job may use
    key_source: str | None = None  # agent:SOCKET or file:FOLDER
    job: str | None = None
    secret_file: str | None = None
    rpc: Rpc = Rpc.AES
    local_dirs: tuple[str, ...] = ()
    event_log: str | None = None
    report: str | None = None
    log_file: str | None = None
    broker: str | None = None
    broker_ca: str | None = None
    roll_call: str | None = None  # of the cluster: who came, who was refused
    cluster_file: str | None = None  # what the cluster's side says: see sparkjobs.cluster_file
    sgx_memory: tuple[str, str] | None = None  # of the driver's and the executors' JVM
    insecure: bool = False
    ui: bool = True
    progress: bool = True
    verbose: bool = False

    @property
    def kind(self) -> MasterKind:
        """What starts the executors."""
        return MasterKind.of(self.master)


def parse(words: Sequence[str]) -> Submission:
    """Read the words behind `spark submit`. Raises BadSubmission, NotInTrustedMode, BadMaster."""
    if len(words) > MAX_WORDS or any(len(word) > MAX_WORD_CHARS for word in words):
        raise BadSubmission("there are more or longer words than a command line has")
    options, switches, rest = _split(list(words))
    if not rest:
        raise BadSubmission("no program is named: app.py, or --class C app.jar")
    return _submission(options, switches, rest)


def _split(words: list[str]) -> tuple[dict[str, list[str]], set[str], list[str]]:
    options: dict[str, list[str]] = {}
    switches: set[str] = set()
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        name, equals, value = words[at].partition("=") if words[at].startswith("--") else (words[at], "", "")
        name = _SHORT.get(name, name)
        at += 1
        if name in _SWITCHES and not equals:
            switches.add(name)
            continue
        if name in _REFUSED:
            raise NotInTrustedMode(f"{name}: {_REFUSED[name]}")
        if name not in _SETTINGS and name not in _OURS:
            near = difflib.get_close_matches(name[:60], (*_SETTINGS, *_OURS, *_SWITCHES), n=1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise BadSubmission(f"{name[:60]} is no option of spark submit", fix=f"{meant}{BadSubmission.fix}")
        if not equals:
            if at == len(words):
                raise BadSubmission(f"{name} needs a value")
            value, at = words[at], at + 1
        options.setdefault(name, []).append(value)
    return options, switches, words[at:]


def _submission(options: dict[str, list[str]], switches: set[str], rest: list[str]) -> Submission:
    def last(name: str) -> str | None:
        return options[name][-1] if name in options else None

    master = last("--master") or "local[*]"
    kind = MasterKind.of(master)
    _check_deploy_mode(kind, last("--deploy-mode"), "--supervise" in switches)
    if kind is MasterKind.KUBERNETES and not ("--driver-memory" in options and "--executor-memory" in options):
        raise BadSubmission(NEEDS_MEMORY)
    if kind is MasterKind.KUBERNETES and _rpc(last("--rpc")) is Rpc.TLS:
        raise NotInTrustedMode("--rpc tls: Spark would put the key stores' password into the pods of the executors")
    main_class = last("--class")
    _check_program(rest[0], main_class)
    return Submission(
        program=rest[0], arguments=tuple(rest[1:]), master=master, main_class=main_class,
        settings=_settings(options), properties_file=last("--properties-file"),
        keys=tuple(dict.fromkeys(options.get("--key", ()))), key_source=last("--keys"), job=last("--job"),
        secret_file=last("--secret-file"), rpc=_rpc(last("--rpc")),
        local_dirs=tuple(each for value in options.get("--local-dir", ()) for each in value.split(",") if each),
        event_log=last("--event-log"), report=last("--report"), log_file=last("--log-file"),
        broker=last("--broker"), broker_ca=last("--broker-ca"), roll_call=last("--roll-call"),
        cluster_file=last("--cluster-file"),
        sgx_memory=_sgx_memory(last("--sgx-enabled"), last("--sgx-driver-jvm-memory"),
                               last("--sgx-executor-jvm-memory")),
        insecure="--insecure" in switches, ui="--no-ui" not in switches,
        progress="--no-progress" not in switches, verbose="--verbose" in switches,
    )  # fmt: skip


def _check_deploy_mode(kind: MasterKind, mode: str | None, supervise: bool) -> None:
    if mode is None and kind is MasterKind.KUBERNETES:
        raise BadSubmission(NEEDS_DEPLOY_MODE)
    if mode not in {None, "client", "cluster"}:
        raise BadSubmission("--deploy-mode is client or cluster")
    if mode == "cluster" or supervise:
        raise NotInTrustedMode(
            "--deploy-mode cluster: who starts such a driver is not attested; run spark submit with --deploy-mode "
            "client where the driver is to be (on Kubernetes: in the pod of strongroom spark chart)"
        )


def _check_program(program: str, main_class: str | None) -> None:
    name = program.lower()
    if main_class is None and not name.endswith(".py"):
        raise BadSubmission(f"{program[:100]!r} is no Python file; a .jar needs --class")
    if main_class is not None and not name.endswith(".jar"):
        raise BadSubmission(f"--class needs a .jar, not {program[:100]!r}")


def _settings(options: dict[str, list[str]]) -> dict[str, str]:
    settings = {setting: options[name][-1] for name, setting in _SETTINGS.items() if name in options}
    for name in ("--driver-memory", "--executor-memory"):
        if name in options and not _MEMORY.fullmatch(options[name][-1]):
            raise BadSubmission(f"{name} is a size such as 2g")
    if "--driver-class-path" in options:
        settings["spark.driver.extraClassPath"] = options["--driver-class-path"][-1]
    for each in options.get("--conf", ()):
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise BadSubmission("--conf needs NAME=VALUE")
        settings[name.strip()] = value
    for name, value in settings.items():
        if "\n" in name + value or "\r" in name + value or "\0" in name + value:
            raise BadSubmission("a setting of more than one line is none")
    return settings


def _rpc(word: str | None) -> Rpc:
    try:
        return Rpc(word or "aes")
    except ValueError:
        raise BadSubmission("--rpc is aes or tls") from None


def _sgx_memory(enabled: str | None, driver: str | None, executors: str | None) -> tuple[str, str] | None:
    if enabled not in {None, "true", "false"}:
        raise BadSubmission("--sgx-enabled is true or false")
    if enabled != "true":
        return None
    if not driver or not executors:
        raise BadSubmission(NEEDS_SGX_MEMORY)
    if not (_MEMORY.fullmatch(driver) and _MEMORY.fullmatch(executors)):
        raise BadSubmission("--sgx-driver-jvm-memory and --sgx-executor-jvm-memory are sizes such as 2g")
    return driver, executors
