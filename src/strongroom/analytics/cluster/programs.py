"""The programs of a cluster as what is measured of them: Master, Worker, executor; and what stands where Java is looked
for. Pure: text.

Each is launched in a folder of its own two levels below the cluster's, and names what it shares by `../../`; a
Worker alone is told the cluster's folder, by JAVA_HOME. Words, variables and files are measured: broker, keys, job,
Spark's jars.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from strongroom.analytics.cluster.settings import Settings
from strongroom.gramine.manifests import array, text
from strongroom.sparkjobs.properties import FOLDER, LOGIN

MASTER: Final = "master"
WORKER: Final = "worker"
EXECUTOR: Final = "executor"
ROLES: Final = (MASTER, WORKER, EXECUTOR)
PROGRAM: Final = "program.toml"
WORDS: Final = "words"
CA: Final = "ca.pem"
JAR: Final = "spark.jar"
PAGES_JAR: Final = "pages.jar"  # who may see the daemons' pages
ROLL_CALL: Final = "roll_call.jsonl"
EVENTS: Final = "events.jsonl"
UI_CA: Final = "ui_ca.pem"
UI_TOKEN: Final = "page.token"  # noqa: S105  # a link to a file in memory
SCALA: Final = "2.13"  # of Spark 4; a Worker that is not told looks for a build folder
DAEMON_HEAP: Final = "256m"
_ABOVE: Final = "../../"
# The simulated platform does not measure compiled files, so Python must not read any.
_PYTHON: Final = ("-I", "-B", "-u", "-X", "pycache_prefix=/nonexistent", "-m")
_MAINS: Final = {MASTER: "org.apache.spark.deploy.master.Master", WORKER: "org.apache.spark.deploy.worker.Worker"}
# Spark's daemons take their secret from a file, and speak to those alone who have it too.
_SECURED: Final = (
    "-Dspark.authenticate=true",
    "-Dspark.network.crypto.enabled=true",
    "-Dspark.network.crypto.cipher=AES/GCM/NoPadding",
    "-Dspark.network.crypto.authEngineVersion=2",
    "-Dspark.network.crypto.saslFallback=false",
    "-Dspark.master.rest.enabled=false",
    "-Dspark.ui.killEnabled=false",
    f"-Dspark.ui.filters={LOGIN}",  # a Worker's page shows what programs print on its executors
    f"-D{FOLDER}={{MEMORY}}",  # where the pages' token is
    "-Djava.io.tmpdir={MEMORY}",
    "-XX:ErrorFile={MEMORY}/java_error.log",  # a crash writes bits of memory
    "-XX:ReplayDataFile={MEMORY}/java_replay.log",
    "-XX:-CreateCoredumpOnCrash",
    "-XX:+DisableAttachMechanism",
    "-XX:-UsePerfData",
    "-XX:-HeapDumpOnOutOfMemoryError",
)


def roles(settings: Settings) -> tuple[str, ...]:
    """Return the programs of one host: where it joins others, its Master is theirs."""
    return tuple(role for role in ROLES if role != MASTER or not settings.join)


def words(settings: Settings, role: str) -> tuple[str, ...]:
    """Return the whole command line of one program, as it is measured."""
    asked = (
        f"--broker={settings.broker}", f"--broker-ca={_ABOVE}{CA}", f"--job={settings.job}",
        f"--tenant={settings.tenant}",
        *([f"--deployment={settings.deployment}"] if settings.deployment else []),
        f"--events={_ABOVE}{EVENTS}",
    )  # fmt: skip
    if role == EXECUTOR:
        return (
            settings.python, *_PYTHON, "strongroom.analytics.agent.executor", *asked,
            *(f"--key={name}" for name in settings.keys),
            f"--java={settings.java}", f"--home={settings.home}", f"--jar={_ABOVE}{JAR}",
            f"--max-heap-mib={settings.memory_mib}", f"--roll-call={_ABOVE}{ROLL_CALL}", f"--words-from={WORDS}",
        )  # fmt: skip
    agent = ("strongroom", "spark", "agent", *asked, f"--ui-ca={UI_CA}", f"--ui-token={UI_TOKEN}",
             f"--ui-host={settings.host}", "--")  # fmt: skip
    return (settings.python, *_PYTHON, *agent, *_daemon(settings, role))


def manifest(settings: Settings, role: str, java_home: str) -> str:
    """Return a program's manifest. `java_home`: the folder where a Worker looks for Java: see `java_script`."""
    variables = environment(settings, role, java_home)
    trusted = [f"file:{settings.package}/", f"file:{settings.home}/jars/", f"file:{_ABOVE}{CA}"]
    if role == EXECUTOR:
        trusted += [f"file:{settings.home}/python/", f"file:{_ABOVE}{JAR}"]
    else:
        trusted.append(f"file:{_ABOVE}{PAGES_JAR}")
    lines = [
        f"# What is measured of each {role} of this cluster: every word, variable and file below.",
        f"libos.entrypoint = {text(settings.python)}",
        f"loader.argv = {array(words(settings, role))}",
        *(f"loader.env.{name} = {text(value)}" for name, value in sorted(variables.items())),
        'sgx.remote_attestation = "dcap"',
        f"sgx.trusted_files = {array(trusted)}",
    ]
    return "\n".join([*lines, ""])


def environment(settings: Settings, role: str, java_home: str) -> Mapping[str, str]:
    """Return the variables that a program is started with."""
    found = {"LANG": "C.UTF-8"}
    if role != EXECUTOR:
        found |= {"SPARK_LOCAL_IP": settings.host, "SPARK_HOME": settings.home}
    if role == WORKER:
        found |= {"JAVA_HOME": java_home, "SPARK_SCALA_VERSION": SCALA}
    return found


def launch(settings: Settings, role: str, folder: str) -> tuple[str, ...]:
    """Return the command that launches a program whose folder is `folder`; without a world it is the program itself."""
    if not settings.world:
        return words(settings, role)
    beside = ["--beside-real-tee"] if settings.beside_real_tee else []
    run = ("-m", "strongroom", "sim", "run", f"{folder}/{PROGRAM}")
    return (settings.python, *run, "--world", settings.world, *beside)


def java_script(settings: Settings, cluster: str) -> str:
    """Return what a Worker finds as `java`: it hands an executor's words to the measured program, and is trusted by
    nobody. What is in its environment, the Worker's secret of Spark's among it, goes no further.
    """
    command = " ".join(
        '"$folder"/' + PROGRAM if word == f"@/{PROGRAM}" else shlex.quote(word)
        for word in launch(settings, EXECUTOR, "@")
    )
    kept = f"PATH=/usr/bin:/bin HOME={shlex.quote(cluster)} LANG=C.UTF-8"
    return f"""\
#!/bin/sh
# In the place of `java` for executors: hands their words to the measured program, which checks each of them.
unset _SPARK_AUTH_SECRET
set -eu
umask 077
PATH=/usr/bin:/bin
folder=$(mktemp -d {shlex.quote(cluster)}/launches/executor-XXXXXXXX)
cat {shlex.quote(cluster)}/programs/{EXECUTOR}/{PROGRAM} > "$folder"/{PROGRAM}
for word in "$@"; do printf '%s\\0' "$word"; done > "$folder"/{WORDS}
cd "$folder"
exec env -i {kept} {command}
"""


def _daemon(settings: Settings, role: str) -> tuple[str, ...]:
    java = (
        settings.java, "-cp", f"{settings.home}/jars/*:{_ABOVE}{PAGES_JAR}", f"-Xmx{DAEMON_HEAP}", "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1", *_SECURED,
        _MAINS[role], "--host", settings.host, "--properties-file", "{SPARK_CONF_FILE}",
    )  # fmt: skip
    if role == MASTER:
        return (*java, "--port", str(settings.port), "--webui-port", str(settings.ui_port))
    return (
        *java, "--port", "0", "--webui-port", "0", "--cores", str(settings.cores),
        "--memory", f"{settings.memory_mib}M", "--work-dir", "{MEMORY}/work", settings.master,
    )  # fmt: skip
