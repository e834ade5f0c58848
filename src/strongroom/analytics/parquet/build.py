"""Compile our few Java classes with the compiler inside PySpark's jars, so that no JDK and no foreign jar is needed.

World: a JVM, and a cache in the user's own folder. A jar is named by the digest of all that went into it, sources and
compiler, and has the same bytes wherever it is made. The compiler (janino) knows the Java of 2004 and a little more.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput
from strongroom.pki import disk

SOURCES: Final = Path(__file__).parent / "java"
MANIFEST: Final = "MANIFEST.MF"  # beside the sources of a jar that needs one
PREBUILT: Final = "share/strongroom/java"  # in the folder that Python is installed in: see `prebuild`
TIMEOUT_S: Final = 300.0
_COMPILER: Final = "org.codehaus.commons.compiler.samples.CompilerDemo"
_COMPILER_JARS: Final = ("janino-", "commons-compiler-")
_LEAN: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
_DATE: Final = (1980, 1, 1, 0, 0, 0)


class NoSpark(BadInput):
    """PySpark, which has Spark and the compiler for our classes, is not installed."""

    code = "SR-SPARK-MISSING"
    fix = "In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[analytics]'."


class JavaNotBuilt(BadInput):
    """Java classes could not be compiled: there is no Java, or the source is none that the compiler knows."""

    code = "SR-JAVA-BUILD"
    fix = "Install a Java 17 runtime (JAVA_HOME or PATH), and see strongroom spark preflight."


def spark_jars() -> Path:
    """Return the folder of Spark's jars. Raises NoSpark."""
    spec = importlib.util.find_spec("pyspark")
    folder = Path(spec.origin).parent / "jars" if spec is not None and spec.origin is not None else None
    if folder is None or not folder.is_dir():
        raise NoSpark("PySpark is not installed")
    return folder


def kms_jar(environ: Mapping[str, str] | None = None) -> Path:
    """Return the jar with Parquet's KmsClient and what the driver's folders need. Raises NoSpark, JavaNotBuilt."""
    return build(SOURCES, environ)


def build(sources: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Return the jar of all Java files below a folder: the one that came with the installation, of an image's, or one
    that is compiled now or was before.

    Raises NoSpark, JavaNotBuilt, LoosePermissions for a cache that others can write.
    """
    prebuilt = Path(sys.prefix) / PREBUILT / f"{sources.parent.name}.jar"
    if prebuilt.is_file():
        return prebuilt
    environ = os.environ if environ is None else environ
    jars, files, manifest = spark_jars(), sorted(sources.rglob("*.java")), sorted(sources.glob(MANIFEST))
    cached = cache(environ) / f"{sources.parent.name}-{_digest(sources, [*files, *manifest], jars)[:32]}.jar"
    if not cached.is_file():
        disk.replace_private(cached, _jar(files, manifest, jars, environ))
    return cached


def cache(environ: Mapping[str, str]) -> Path:
    """Return the folder where what is made for a JVM is kept. Raises LoosePermissions."""
    beneath = environ.get("XDG_CACHE_HOME") or os.fspath(Path.home() / ".cache")
    folder = Path(beneath) / "strongroom" / "java"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    disk.check_private(folder)  # what lies here is run with keys
    disk.check_own(folder)
    return folder


def _digest(sources: Path, files: list[Path], jars: Path) -> str:
    digest = hashlib.sha256()
    for path in files:
        _feed(digest, path.relative_to(sources).as_posix().encode(), path.read_bytes())
    for path in sorted(jars.glob("*.jar")):
        compiler = path.name.startswith(_COMPILER_JARS)
        _feed(digest, path.name.encode(), path.read_bytes() if compiler else b"")
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, *parts: bytes) -> None:
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)


def _jar(files: list[Path], manifest: list[Path], jars: Path, environ: Mapping[str, str]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="strongroom-java-") as folder:
        _compile(files, Path(folder), jars, environ)
        out = BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as jar:
            entries = [(f"META-INF/{path.name}", path) for path in manifest]
            entries += [(path.relative_to(folder).as_posix(), path) for path in sorted(Path(folder).rglob("*.class"))]
            for name, path in entries:
                entry = zipfile.ZipInfo(name, _DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                jar.writestr(entry, path.read_bytes())
        return out.getvalue()


def _compile(files: list[Path], into: Path, jars: Path, environ: Mapping[str, str]) -> None:
    if not files:
        raise JavaNotBuilt("there is nothing to compile")
    home = environ.get("JAVA_HOME")
    java = os.fspath(Path(home) / "bin" / "java") if home else "java"
    # The compiler looks for classes in its -classpath alone, and takes no wildcard there.
    seen = os.pathsep.join(os.fspath(each) for each in sorted(jars.glob("*.jar")))
    words = [java, *_LEAN, "-cp", f"{jars}{os.sep}*", _COMPILER, "-g", "-encoding", "UTF-8", "-classpath", seen]
    words += ["-d", os.fspath(into), *map(os.fspath, files)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise JavaNotBuilt("there is no Java on this machine") from None
    except subprocess.TimeoutExpired:
        raise JavaNotBuilt(f"the compiler was not done after {TIMEOUT_S:.0f} seconds") from None
    # The compiler ends with 0 whatever happens; what it wrote tells.
    missing = [path.stem for path in files if not list(into.rglob(f"{path.stem}.class"))]
    if missing or done.returncode:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise JavaNotBuilt(f"Java classes were not compiled ({', '.join(missing)[:200]}): {said}")
