"""From the words of the untrusted side to the command and the environment of the JVM. Pure.

The environment is made anew: nothing of the one the launcher was started with reaches Java.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.launcher.jvm import check_options
from strongroom.launcher.mains import PROPERTIES_FILE, check_main
from strongroom.launcher.roles import LaunchArgumentRefused, Settings

MAX_WORDS: Final = 1024
MAX_BYTES: Final = 256 * 1024  # of all words together


@dataclass(frozen=True, slots=True)
class Launch:
    """What is started: argv with Java's own name first, all of its environment, and what was changed."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    notices: tuple[str, ...]


def read_words(data: bytes) -> tuple[str, ...]:
    """Return the words of a command line, each ended by NUL. Raises LaunchArgumentRefused."""
    if len(data) > MAX_BYTES:
        raise LaunchArgumentRefused(f"the command line has more than {MAX_BYTES} bytes")
    if data and not data.endswith(b"\0"):
        raise LaunchArgumentRefused("the command line was cut short")
    if not data.isascii():
        raise LaunchArgumentRefused("the command line has characters outside of ASCII")
    return tuple(data.decode("ascii").split("\0")[:-1])


def check(words: Sequence[str], settings: Settings) -> Launch:
    """Return what to start for the words that Spark or Flink gave to `java`. Raises LaunchArgumentRefused."""
    if len(words) > MAX_WORDS or sum(map(len, words)) > MAX_BYTES:
        raise LaunchArgumentRefused(f"the command line has more than {MAX_WORDS} words or {MAX_BYTES} bytes")
    for word in words:
        if not (word.isascii() and word.isprintable()):
            raise LaunchArgumentRefused("a word has characters that cannot be printed, or that are not ASCII")
    options = check_options(words, settings)
    main = check_main(options.rest, settings)
    notices = options.notices
    if PROPERTIES_FILE in options.rest:
        notices += (f"{PROPERTIES_FILE} is left out: {settings.home}/conf/spark-defaults.conf is measured, and rules",)
    return Launch((settings.java, *options.words, *main), environment(settings), notices)


def environment(settings: Settings) -> dict[str, str]:
    """Return every variable that the JVM gets."""
    found = {
        "HOME": "/nonexistent",
        "JAVA_HOME": settings.java.removesuffix("/bin/java"),
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": settings.library_path,
        "TMPDIR": settings.temporary,
    }
    if settings.role.is_spark:
        found |= {"SPARK_HOME": settings.home, "SPARK_LOCAL_DIRS": settings.scratch, "SPARK_USER": "spark"}
    else:
        found |= {"FLINK_CONF_DIR": f"{settings.home}/conf", "FLINK_LIB_DIR": f"{settings.home}/lib"}
    return {name: value for name, value in found.items() if value}
