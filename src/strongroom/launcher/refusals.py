"""Options that are refused by name, each with the reason that a person should read. Pure.

Whatever is not allowed is refused anyhow; these are the ones that attackers try first, and that people ask about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CODE: Final = "it lets the untrusted side choose code that would run with the enclave's measurement"
_COMMAND: Final = "it runs a command of the untrusted side's choice"
_FILE: Final = "it reads further options from a file that was not measured"
_LOOK: Final = "it lets somebody outside look into the JVM"
_OFF: Final = "it turns a protection off"
_TRUST: Final = "it chooses whom the program trusts"
_SECRET: Final = "secrets on a command line are visible to the whole machine; they come from the broker"  # noqa: S105

JVM: Final[Mapping[str, str]] = {
    "@": _FILE,
    "-javaagent": _CODE,
    "-agentlib": _CODE,
    "-agentpath": _CODE,
    "-Xbootclasspath": _CODE,
    "-Xdebug": _LOOK,
    "-Xrunjdwp": _LOOK,
    "-Xrun": _CODE,
    "-Xverify": _OFF,
    "-Xshare": _CODE,
    "-Xlog": "it writes where the untrusted side likes",
    "-jar": _CODE,
    "-m": _CODE,
    "--module": _CODE,
    "--module-path": _CODE,
    "-p": _CODE,
    "--upgrade-module-path": _CODE,
    "--patch-module": _CODE,
    "--source": _CODE,
    "--limit-modules": _OFF,
    "-XX:OnOutOfMemoryError": _COMMAND,
    "-XX:OnError": _COMMAND,
    "-XX:Flags": _FILE,
    "-XX:VMOptionsFile": _FILE,
    "-XX:+UnlockDiagnosticVMOptions": _OFF,
    "-XX:+UnlockExperimentalVMOptions": _OFF,
    "-XX:CompileCommand": _COMMAND,
    "-XX:CompileCommandFile": _FILE,
    "-XX:CompilerDirectivesFile": _FILE,
    "-XX:SharedArchiveFile": _CODE,
    "-XX:AOTCache": _CODE,
    "-XX:ArchiveClassesAtExit": "it writes code to a file",
    "-XX:+HeapDumpOnOutOfMemoryError": _LOOK,
    "-XX:HeapDumpPath": _LOOK,
    "-XX:ErrorFile": _LOOK,
    "-XX:ReplayDataFile": _LOOK,
    "-XX:+CreateCoredumpOnCrash": _LOOK,
    "-XX:+StartAttachListener": _LOOK,
    "-XX:-DisableAttachMechanism": _LOOK,
    "-XX:StartFlightRecording": _LOOK,
    "-XX:+UsePerfData": _LOOK,
    "-XX:-BytecodeVerification": _OFF,
}

PROPERTIES: Final[Mapping[str, str]] = {
    "java.security": _TRUST,  # also .policy, .manager, .properties
    "java.class.path": _CODE,
    "java.system.class.loader": _CODE,
    "java.library.path": _CODE,
    "java.home": _CODE,
    "java.ext.dirs": _CODE,
    "java.endorsed.dirs": _CODE,
    "java.rmi": _CODE,
    "java.naming": _CODE,
    "java.io.tmpdir": "files would go where the untrusted side likes",
    "java.util.logging": _CODE,
    "com.sun.management": _LOOK,
    "com.sun.jndi": _CODE,
    "javax.net.ssl": _TRUST,
    "jdk.tls": _OFF,
    "jdk.internal": _OFF,
    "jdk.serialFilter": _OFF,
    "https.protocols": _OFF,
    "http.proxy": _TRUST,
    "https.proxy": _TRUST,
    "socksProxy": _TRUST,
    "sun.boot": _CODE,
    "sun.net.spi": _TRUST,
    "log4j": _CODE,
    "log4j2": _CODE,
    "logback": _CODE,
    "org.slf4j": _CODE,
    "scala.": _CODE,
    "spark.authenticate.secret": _SECRET,
    "spark.authenticate": _OFF,
    "spark.network.crypto": _OFF,
    "spark.io.encryption": _OFF,
    "spark.io.crypto": _OFF,
    "spark.ssl": _TRUST,
    "spark.acls": _OFF,
    "spark.admin.acls": _TRUST,
    "spark.ui": _LOOK,
    "spark.jars": _CODE,
    "spark.files": _CODE,
    "spark.archives": _CODE,
    "spark.plugins": _CODE,
    "spark.extraListeners": _CODE,
    "spark.serializer": _CODE,
    "spark.closure": _CODE,
    "spark.driver.extra": _CODE,
    "spark.executor.extra": _CODE,
    "spark.driver.default": _CODE,
    "spark.executor.default": _CODE,
    "spark.driver.userClassPathFirst": _CODE,
    "spark.executor.userClassPathFirst": _CODE,
    "spark.executorEnv": _CODE,
    "spark.pyspark": _CODE,
    "spark.python": _CODE,
    "spark.r": _CODE,
    "spark.submit": _CODE,
    "spark.sql": _CODE,
    "spark.hadoop": _CODE,
    "spark.shuffle": _CODE,
    "spark.metrics": _CODE,
    "spark.eventLog": _LOOK,
    "spark.kubernetes": _CODE,
    "spark.local.dir": "shuffle files would go where the untrusted side likes",
    "env.": _CODE,
    "pipeline.": _CODE,
    "classloader.": _CODE,
    "plugin.": _CODE,
    "python.": _CODE,
    "security.": _OFF,
    "metrics.": _CODE,
    "web.": _LOOK,
    "high-availability": _TRUST,
    "state.": _CODE,
    "fs.": _CODE,
    "io.tmp": "files would go where the untrusted side likes",
}

# What Spark or Flink says by itself and the measured side says better: left out, and noted.
DROPPED: Final[Mapping[str, str]] = {
    "-Dio.netty.handler.ssl.defaultEndpointVerificationAlgorithm=NONE": "names in certificates are checked",
}


def reason(table: Mapping[str, str], name: str) -> str:
    """Return why something of this name is refused; empty where nothing more is known than that it is not allowed."""
    best = max((each for each in table if name.startswith(each)), key=len, default="")
    return table.get(best, "")
