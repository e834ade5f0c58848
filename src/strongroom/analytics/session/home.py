"""Spark's folder as a session's JVM sees it: Spark's own but for PySpark's archive, which lies there unpacked.

Spark puts python/lib/pyspark.zip of SPARK_HOME before all else on the path of each Python worker, and Python keeps no
bytecode of what it takes out of an archive: every worker compiled PySpark anew, two thirds of the time to its first
row. A folder of the archive's name leads to the package that the driver has, whose bytecode is kept.

World: links in the session's folder.
"""

from __future__ import annotations

import errno
import importlib.util
from pathlib import Path
from typing import Final

from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.session.surroundings import spark_home

_HOME: Final = "home"
_PYTHON: Final = "python"
_WORK: Final = "work"  # where executors of local-cluster print into files: the session's folder, which is in memory
_NO_LINKS: Final = (errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP)  # Gramine's file systems make none


def home_of(folder: SessionFolder) -> Path:
    """Return what the JVM's SPARK_HOME is to name: Spark's own folder where no links can be made. Raises NoSpark."""
    real, home = spark_home(), folder.path / _HOME
    try:
        _link(real, home)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return real
    return home


def _link(real: Path, home: Path) -> None:
    home.mkdir(exist_ok=True)
    for each in real.iterdir():
        if each.name not in (_PYTHON, _WORK):
            _to(each, home / each.name)
    for archive in (real / _PYTHON / "lib").glob("*.zip"):
        package = archive.name.partition(".")[0].partition("-")[0]  # pyspark.zip, py4j-0.10.9.9-src.zip
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            unpacked = home / _PYTHON / "lib" / archive.name
            unpacked.mkdir(parents=True, exist_ok=True)
            _to(Path(place), unpacked / package)


def _to(target: Path, link: Path) -> None:
    if not link.is_symlink():  # a program's second session has the first one's
        link.symlink_to(target)
