"""Names of settings that are not shown, not given on a command line, and not changed by a program. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from strongroom.errors import Refused
from strongroom.sparkjobs.foreign_code import why_foreign

# Spark hides a setting in its pages and event logs where this fits its name (or its value).
REDACTION: Final = (
    "(?i)secret|password|passphrase|passwd|token|credential|access[._-]?key|api[._-]?key|private[._-]?key"
    "|primary[._-]?key|data[._-]?key"
)
_SECRET_NAME: Final = re.compile(
    r"secret|password|passphrase|passwd|token|credential|access[._-]?key|api[._-]?key|primarykey\..*(plaintext|material)",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(
    r"(file|path|name|class|provider|location|enabled|interval|renewal|ratio)s?$", re.IGNORECASE
)


# TLS of one part of Spark (spark.ssl.ui.enabled) stands above TLS of all; ports are anybody's.
_TLS: Final = re.compile(r"spark\.ssl\.(?!([A-Za-z]+\.)?port$)")
_JAVA_OPTIONS: Final = frozenset({"spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"})
# Debuggers, agents, JMX and dumps read a JVM's memory; others put classes in place of the JDK's and of ours; the rest
# brings such words from files, or prints what TLS hides.
_NOT_FOR_JAVA: Final = re.compile(
    r"-Xbootclasspath|--(patch-module|upgrade-module-path|module-path)|-Xshare|-XX:(Shared|ArchiveClasses|DumpLoadedClass)"
    r"|-Djava\.system\.class\.loader"
    r"|-agent(lib|path):|-javaagent:|-Xrun|-X?debug|-Dcom\.sun\.management|-Djavax\.net\.debug|@"
    r"|-XX:(\+|)(HeapDump|CreateCoredump|ShowMessageBox|StartAttachListener|FlightRecorder|StartFlightRecording|UsePerfData)"
    r"|-XX:(-DisableAttachMechanism|Flags=|VMOptionsFile=|OnError=|OnOutOfMemoryError=|HeapDump|ErrorFile|ReplayDataFile)|-Dspark\.|-Djava\.io\.tmpdir",
    re.IGNORECASE,
)
_SERVER: Final = "sparkconnect"  # Spark Connect's plugin lets whoever reaches its port run what they like, in clear


class SecretInSettings(Refused):
    """A setting holds a secret, where processes lists, pages and logs would show it."""

    code = "SR-SPARK-SECRET-SETTING"
    fix = "Take the setting out: name a file that only its owner may read (--secret-file), or a key by --key."


class SettingLocked(Refused):
    """A setting would take away a part of a trusted session's protection."""

    code = "SR-SPARK-SETTING"
    fix = "Take the setting out: what a session protects, and how, is told in docs/analytics-jobs.md."


def is_secret_name(name: str) -> bool:
    """Return whether a setting of this name holds a secret itself, not the name of a file."""
    return bool(_SECRET_NAME.search(name)) and not _REFERENCE.search(name)


def check_settings(settings: Mapping[str, str], locked: Mapping[str, str]) -> None:
    """Hold what a user or program asks for against what a session keeps. Raises SecretInSettings, SettingLocked.

    No message repeats a value: it may be the secret.
    """
    for name, value in settings.items():
        if is_secret_name(name) and name not in locked:
            raise SecretInSettings(f"the setting {name[:100]} would show a secret to every user of this machine")
        if name in locked and not _same(value, locked[name]):
            raise SettingLocked(f"{name[:100]} is {locked[name]} in a trusted session and stays so")
        if name not in locked:
            _check_others(name, value)


def _check_others(name: str, value: str) -> None:
    """Hold settings that no session makes against what they would undo. Raises SettingLocked."""
    if _TLS.match(name):
        raise SettingLocked(f"{name[:100]} would change TLS, which a trusted session sets up for all of Spark")
    if name in _JAVA_OPTIONS and any(_NOT_FOR_JAVA.match(word) for word in re.split(r"[\s\"']+", value)):
        raise SettingLocked(f"{name[:100]} has an option that shows a JVM's memory, or changes its classes or settings")
    foreign = why_foreign(name, value)
    if foreign:
        raise SettingLocked(f"{name[:100]} is refused: {foreign}")
    if name == "spark.plugins" and _SERVER in value.lower():
        raise SettingLocked("spark.plugins would open a server of Spark Connect, in clear and for everybody")


def _same(value: str, kept: str) -> bool:
    return value.strip().lower() == kept.lower()
