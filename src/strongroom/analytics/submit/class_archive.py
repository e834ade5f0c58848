"""Spark's classes as the JVM keeps them in memory (class data sharing): with them, a driver starts a third sooner.

Spark loads some twenty thousand classes before its first row, and a JVM unpacks, reads and verifies each. A file that
`strongroom spark warm-up` makes has them done, for the very jars and the very Java it was made with: the JVM compares,
and takes the jars where they differ; we compare before it, so that warm-up knows when to make the file anew. Nobody
measures that file, so a measured job does not use it.

World: the cache beside our jars; Spark's own launcher, whose command is changed so that the class path begins the same
in every session: a session's own folder is its end.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.analytics.parquet.build import cache, kms_jar, spark_jars
from strongroom.analytics.session.folder import SessionFolder
from strongroom.errors import Unreachable
from strongroom.pki import disk

_LAUNCHER: Final = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_MAIN: Final = ("org.apache.spark.launcher.Main", "org.apache.spark.deploy.SparkSubmit")
SCALA: Final = "2.13"  # of Spark 4
_BEGIN: Final = b"\0\n"  # Spark's launcher says so to its script before the command, whose words end with NUL
_SILENT: Final = "-Xlog:cds*=off,class+path=off"  # of a file that does not suit: a job just starts as without it
_LOG4J: Final = "log4j2.properties"
_WRITES: Final = "-XX:ArchiveClassesAtExit="
_AGENT: Final = "-javaagent:"
_CLASS_PATH: Final = "-cp"
_TIMEOUT_S: Final = 120


class NoCommand(Unreachable):
    """Spark's launcher did not say how it starts a driver."""

    code = "SR-SPARK-LAUNCHER"
    fix = "Run strongroom spark preflight: Java 17 is needed, and all of PySpark."


def place(environ: Mapping[str, str]) -> Path:
    """Return where the file is, or is to be: one for each Spark. Raises NoSpark, LoosePermissions."""
    return cache(environ) / f"classes-{hashlib.sha256(os.fspath(spark_jars()).encode()).hexdigest()[:32]}.jsa"


def origin_of(environ: Mapping[str, str], own: Path) -> str:
    """Return a digest of what a JVM compares before it takes the classes: Java, Spark's jars, ours. Raises NoSpark."""
    java = shutil.which(_java(environ), path=environ.get("PATH"))
    digest = hashlib.sha256()
    for path in (Path(java).resolve() if java else own, own, *sorted(spark_jars().glob("*.jar"))):
        digest.update(f"{path}\0".encode())
        if path.is_file():
            digest.update(f"{path.stat().st_size}\0{path.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()


def found(environ: Mapping[str, str], own: Path) -> Path | None:
    """Return the file, if there is one that this process may use, and whole. Raises NoSpark, LoosePermissions."""
    if sys.flags.safe_path or sys.pycache_prefix is not None:  # measured, or started by what is
        return None
    wanted = place(environ)
    return wanted if is_whole(wanted, origin_of(environ, own)) else None


def is_whole(archive: Path, origin: str) -> bool:
    """Whether the file is there, of that origin, and as long as it was made.

    Raises LoosePermissions for a link, or another user's.
    """
    if not os.path.lexists(archive):
        return False
    disk.check_own(archive)
    try:
        label = label_of(archive).read_text(encoding="ascii")
    except (OSError, ValueError):
        return False
    return label == _label(archive, origin)


def label_of(archive: Path) -> Path:
    """Return the file that says how long the archive is, for a JVM dies of one that was cut, and its origin."""
    return archive.with_suffix(".label")


def keep(made: Path, wanted: Path, origin: str) -> None:
    """Put a whole archive where it is to be, on the disk before its label is. Raises OSError."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    label_of(wanted).unlink(missing_ok=True)
    made.rename(wanted)
    disk.replace_private(label_of(wanted), _label(wanted, origin).encode("ascii"))


def _label(archive: Path, origin: str) -> str:
    return f"{archive.stat().st_size} {origin}\n"


def using(archive: Path) -> tuple[str, ...]:
    """Return the options of a JVM that takes its classes from the file."""
    return (f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", _SILENT)


def making(archive: Path) -> tuple[str, ...]:
    """Return the options of a JVM that writes the file at its end."""
    return (f"{_WRITES}{archive}", _SILENT)


def command(
    words: Sequence[str], folder: SessionFolder, environ: Mapping[str, str], options: Sequence[str]
) -> list[str]:
    """Return what spark-submit would run for its words, with options, and with the session's folder behind all classes.

    A JVM that is to write its classes has no agent, which changes some: it runs nobody's program, and with no keys.
    Raises NoCommand, NoSpark.
    """
    asked = [_java(environ), *_LAUNCHER, _CLASS_PATH, f"{spark_jars()}{os.sep}*", *_MAIN, *words]
    told = {**environ, "SPARK_SCALA_VERSION": SCALA}
    try:
        done = subprocess.run(asked, env=told, capture_output=True, check=False, timeout=_TIMEOUT_S)
    except (FileNotFoundError, subprocess.TimeoutExpired) as problem:
        raise NoCommand(f"Spark's launcher did not run: {problem}") from None
    _, begun, line = done.stdout.partition(_BEGIN)
    said = [os.fsdecode(word) for word in line.split(b"\0")[:-1]]
    if done.returncode or not begun or _CLASS_PATH not in said:
        raise NoCommand(f"Spark's launcher ended with {done.returncode}: {done.stderr[-500:].decode(errors='replace')}")
    return _stable(said, folder, options)


def _java(environ: Mapping[str, str]) -> str:
    home = environ.get("JAVA_HOME")
    return os.fspath(Path(home) / "bin" / "java") if home else "java"


def _stable(said: list[str], folder: SessionFolder, options: Sequence[str]) -> list[str]:
    after = said.index(_CLASS_PATH) + 2
    writes = any(each.startswith(_WRITES) for each in options)
    classes = [each for each in said[after - 1].split(os.pathsep) if Path(each) != folder.conf]
    ours = os.fspath(kms_jar())  # a job with keys has it: a class path may go on where the file's ends
    if ours in classes:
        classes.remove(ours)
        classes.append(ours)
    rest = said[after:]
    if writes:
        rest = [f"-Dlog4j2.configurationFile={folder.conf / _LOG4J}"]
        rest += [each for each in said[after:] if not each.startswith(_AGENT)]
    else:
        classes.append(os.fspath(folder.conf))  # what says how to log: after a program's own, which comes first
    return [*said[: after - 1], os.pathsep.join(classes), *options, *rest]
