"""Find the Java that runs Spark. World: the PATH, JAVA_HOME."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from strongroom.errors import BadInput


class JavaNotFound(BadInput):
    """There is no Java on this machine, or not where JAVA_HOME says."""

    code = "SR-SPARK-JAVA"
    fix = "Install a Java runtime of version 17 or 21 (openjdk-17-jre-headless), or set JAVA_HOME to one."


def find_java(which: Callable[[str], str | None]) -> str:
    """Return the path of `java`, links followed: a JVM finds its libraries beside it. Raises JavaNotFound."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else which("java")
    if not found or not Path(found).is_file():
        raise JavaNotFound(f"{found or 'java'} is not there")
    return str(Path(found).resolve())
