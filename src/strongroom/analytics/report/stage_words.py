"""What a stage did, for people: Spark calls it by the function that was called, and the line of code. Pure."""

from __future__ import annotations

import re
from typing import Final

from strongroom.sparkjobs.event_log import REMOVED

_CALL: Final = re.compile(r"([A-Za-z$_][\w$]*) at (?:[^\0]*/)?([^/\0]+):([0-9]+)", re.ASCII)
_WORDS: Final = {
    "collect": "bring rows to the driver", "collectToPython": "bring rows to the driver",
    "collectAsArrowToPython": "bring rows to the driver", "toPandas": "bring rows to the driver",
    "collectAsMap": "bring rows to the driver", "toLocalIterator": "bring rows to the driver one after another",
    "count": "count rows", "countByKey": "count rows by key", "countByValue": "count equal rows",
    "isEmpty": "look whether there are rows", "show": "show rows", "showString": "show rows", "take": "take some rows",
    "head": "take some rows", "first": "take the first row", "top": "take the largest rows",
    "getRowsToPython": "show rows", "javaToPython": "hand rows to Python", "foreach": "do something with each row",
    "foreachPartition": "do something with each part of the rows", "reduce": "bring rows together",
    "fold": "bring rows together", "aggregate": "bring rows together", "treeReduce": "bring rows together",
    "treeAggregate": "bring rows together", "reduceByKey": "bring rows together by key",
    "groupByKey": "group rows by key", "groupBy": "group rows", "aggregateByKey": "bring rows together by key",
    "combineByKey": "bring rows together by key", "partitionBy": "share rows out by key", "join": "join rows by key",
    "repartition": "share rows out anew", "coalesce": "share rows out anew", "sortBy": "sort rows",
    "sortByKey": "sort rows by key", "distinct": "leave out equal rows", "cache": "keep rows in memory",
    "persist": "keep rows in memory", "checkpoint": "keep rows", "zipWithIndex": "number rows",
    "load": "read data", "save": "write data", "saveAsTable": "write a table", "insertInto": "write a table",
    "csv": "read or write CSV", "json": "read or write JSON", "parquet": "read or write Parquet",
    "orc": "read or write ORC", "text": "read or write text", "saveAsTextFile": "write text",
    "sql": "run a query", "runJob": "work for Spark", "fit": "learn a model", "train": "learn a model",
}  # fmt: skip
# Of a call from Python, Spark knows the bridge alone; of what it runs in threads of its own, the thread's class.
_BRIDGES: Final = frozenset({"NativeMethodAccessorImpl.java", "DirectMethodHandleAccessor.java", "Method.java"})
_THREADS: Final = frozenset({"CompletableFuture.java", "FutureTask.java", "ThreadPoolExecutor.java", "Thread.java"})
_CODE: Final = (".py", ".ipynb")
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OWN: Final = "part of a query"
_UNNAMED: Final = "work under a name of the program's own, which is left out"


def described(name: str) -> str:
    """Return words for a stage's name, and the line of the program where Spark knows it."""
    found = _CALL.fullmatch(name)
    if found is None:
        return _UNNAMED if name == REMOVED else name
    method, file, line = found.groups()
    if method.startswith("$") or file in _THREADS:
        return _OWN
    words = _WORDS.get(method) or _CAPITAL.sub(" ", method.partition("$")[0]).lower()
    if file in _BRIDGES:
        return words
    return f"{words} ({file} line {line})" if file.endswith(_CODE) else f"{words} ({file}:{line})"
