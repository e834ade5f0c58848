"""Settings by which code reaches executors that neither the driver brings nor the owner has measured. Pure.

What a job gives along (--jars, --py-files, --files, --archives) are files of the driver's machine: they travel from the
driver, under Spark's secret. What executors would fetch from elsewhere, find on their own disks, or take from variables
is code of whoever runs the network, the disk or the machine, beside the keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_BROUGHT: Final = frozenset(
    {"spark.jars", "spark.submit.pyFiles", "spark.files", "spark.archives", "spark.repl.local.jars"}
)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_VARIABLE: Final = "spark.executorEnv."
# Loaders, interpreters and shells take code from these; Spark's and ours say where secrets and spilled data are.
_BRINGS_CODE: Final = re.compile(
    r"LD_|PYTHON|PYSPARK|JAVA|JDK_|_JAVA|CLASSPATH|BASH|ENV$|SHELLOPTS|PS4$|PATH$|GCONV_PATH|HADOOP|YARN|LOCAL_DIRS$"
    r"|CONTAINER_ID|_?SPARK|STRONGROOM|TMPDIR$|HOME$",
    re.IGNORECASE,
)
_NAMED: Final[Mapping[str, str]] = {
    "spark.pyspark.python": "workers run the interpreter that the driver was measured with",
    "spark.pyspark.driver.python": "workers run the interpreter that the driver was measured with",
    "spark.resources.discoveryPlugin": "it runs what lies on an executor's machine",
    "spark.sql.maven.additionalRemoteRepositories": "it downloads code that nobody has measured",
}
_HIVE: Final = "spark.sql.hive.metastore.jars"


def why_foreign(name: str, value: str) -> str:
    """Return why a setting would bring such code; empty where it does not."""
    if name in _BROUGHT:
        return _brought(value)
    if name.startswith("spark.jars."):
        return "it downloads code that nobody has measured; give JAR files with --jars"
    if name.startswith(_HIVE) and (name != _HIVE or value.strip().lower() != "builtin"):
        return "it downloads code or takes it from elsewhere; Hive's own classes come with Spark"
    if name.startswith(_VARIABLE) and _BRINGS_CODE.match(name.removeprefix(_VARIABLE)):
        return "programs take code, or where secrets and spilled data are, from a variable of this name"
    if name.endswith(".discoveryScript"):
        return "it runs what lies on an executor's machine"
    return _NAMED.get(name, "")


def _brought(value: str) -> str:
    for each in value.split(","):
        scheme = _SCHEME.match(each.strip())
        if scheme is None or scheme[1].lower() == "file":
            continue
        if scheme[1].lower() == "local":
            return "executors would take local: files from their own disks, which nobody has measured; give a path here"
        return "executors would fetch what nobody has measured; give files of this machine"
    return ""
