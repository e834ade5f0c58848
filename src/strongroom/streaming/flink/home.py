"""Find the environment that Apache Flink lives in, its folder of programs, and a Java for them.

World: the file system and two environment variables. Flink's Python pins old numpy, pyarrow and protobuf, so it has a
virtual environment of its own: `tools/setup.sh all` makes it in a checkout, `strongroom flink install` elsewhere.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from strongroom.errors import Unreachable

VERSION: Final = "2.3.0"
VARIABLE: Final = "STRONGROOM_FLINK"  # names the environment's folder
CHECKOUT_NAME: Final = ".venv-flink"


class FlinkMissing(Unreachable):
    """Apache Flink's environment is not installed here."""

    code = "SR-FLINK-MISSING"
    fix = "Run strongroom flink install (about 1 GB), or name the folder of an environment that has apache-flink."


class JavaMissing(Unreachable):
    """Apache Flink runs on Java, and there is none here."""

    code = "SR-FLINK-JAVA"
    fix = "Install Java 17 (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME."


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkHome:
    """Where Flink is: its Python, its distribution (`bin`, `lib`, `opt`) and its Java."""

    environment: Path
    distribution: Path
    java_home: Path

    @property
    def python(self) -> Path:
        """The interpreter that jobs run in."""
        return self.environment / "bin" / "python"

    def program(self, name: str) -> str:
        """Return the path of one of Flink's programs."""
        return str(self.distribution / "bin" / name)

    @classmethod
    def find(cls, environment: Path | None = None) -> Self:
        """Return the environment given, or the one that is installed. Raises FlinkMissing, JavaMissing."""
        places = [environment] if environment is not None else candidates()
        for place in places:
            for distribution in sorted(place.glob("lib/python3.*/site-packages/pyflink")):
                if (distribution / "bin" / "flink").is_file():
                    return cls(environment=place, distribution=distribution, java_home=find_java())
        raise FlinkMissing("Apache Flink is not in " + ", nor in ".join(str(place) for place in places))


def candidates() -> list[Path]:
    """Return where the environment may be, in the order of search."""
    named = os.environ.get(VARIABLE)
    return [Path(named)] if named else [Path(sys.prefix).parent / CHECKOUT_NAME, default_environment()]


def default_environment() -> Path:
    """Return where `strongroom flink install` puts the environment."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "strongroom" / "flink"


def find_java() -> Path:
    """Return the folder that JAVA_HOME names, or that of the `java` on the PATH. Raises JavaMissing."""
    named = os.environ.get("JAVA_HOME")
    if named and os.access(Path(named) / "bin" / "java", os.X_OK):
        return Path(named)
    found = shutil.which("java")
    if found is None:
        raise JavaMissing("there is no java on the PATH, and JAVA_HOME names none")
    return Path(found).resolve().parents[1]
