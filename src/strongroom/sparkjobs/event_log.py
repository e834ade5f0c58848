"""Spark's event log without what can hold data: numbers stay, and of texts those that have a form of Spark's. Pure.

Spark hides settings with secret names (spark.redaction.regex) and nothing else: a literal of a filter, the row that an
exception quotes, a program's name for a table, a column, a job or a place of its code stand in its log in clear. Here a
text is taken out unless its field is known and its form can be no row. What is left still opens in Spark's history
server. The application's name and the names of its hosts stay: whoever runs the job sees those anyway.
Source: JsonProtocol and SparkPlanInfo of Spark 4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from strongroom.sparkjobs.log_settings import settings
from strongroom.sparkjobs.registration import ATTRIBUTE, Registration

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
REMOVED: Final = "(removed)"
_SQL: Final = "org.apache.spark.sql.execution.ui.SparkListener"
_KNOWN: Final = frozenset({
    *(f"SparkListener{name}" for name in (
        "LogStart", "ApplicationStart", "ApplicationEnd", "EnvironmentUpdate", "BlockManagerAdded",
        "BlockManagerRemoved", "ExecutorAdded", "ExecutorRemoved", "JobStart", "JobEnd", "StageSubmitted",
        "StageCompleted", "TaskStart", "TaskEnd", "TaskGettingResult", "ResourceProfileAdded", "StageExecutorMetrics",
    )),
    *(f"{_SQL}{name}" for name in (
        "SQLExecutionStart", "SQLExecutionEnd", "SQLAdaptiveExecutionUpdate", "SQLAdaptiveSQLMetricUpdates",
        "DriverAccumUpdates",
    )),
})  # fmt: skip
_WORD: Final = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)
_CLASS: Final = re.compile(r"[A-Za-z0-9_$.]{1,200}", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,253}", re.ASCII)
_AMOUNT: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "Event": _CLASS, "Spark Version": _HOST, "App ID": _HOST, "App Attempt ID": _HOST, "User": _HOST,
    "Executor ID": _HOST, "Host": _HOST, "Reason": _WORD, "Class Name": _CLASS, "Result": _WORD, "Task Type": _WORD,
    "Locality": _WORD, "metricType": _WORD, "queryId": _HOST, "Value": _AMOUNT, "Update": _AMOUNT,
    "Java Version": re.compile(r"[ -~]{1,80}"), "Scala Version": re.compile(r"[ -~]{1,80}"),
    "Resource Name": re.compile(r"cores|memory|memoryOverhead|offHeap|pyspark\.memory|cpus"),
}  # fmt: skip
# What a program, a source of data or an exception fills as it likes, or an amount under a name of the program's.
_EMPTIED: Final = frozenset({
    "metadata", "Accumulator Updates", "RDD Info", "modifiedConfigs", "jobTags", "Stack Trace",
    "Hadoop Properties", "System Properties", "Metrics Properties", "Classpath Entries", "Log Urls", "Resources",
    "Driver Attributes", "Driver Logs", "Updated Blocks",
})  # fmt: skip
# "collect at /home/ada/app.py:12" says where in the code, unless the program has set another text in its place.
_CALL: Final = re.compile(
    r"([A-Za-z$_][\w$]{0,99}) at (?:[^\0]*/)?([\w.-]{1,100}\.(?:py|scala|java|ipynb)):([0-9]{1,7})", re.ASCII
)
# "Scan In-memory table NAME", "BatchScan NAME" and "Scan JDBCRelation(SELECT …)" are what their first words say.
_NODE: Final = re.compile(
    r"WholeStageCodegen \([0-9]{1,9}\)|Execute [A-Za-z]{1,80}Command|Scan In-memory table"
    r"|Scan (?:csv|json|orc|parquet|text|ExistingRDD|OneRowRelation)(?![^ ])|[A-Za-z]{1,80}",
    re.ASCII,
)
_METRIC: Final = frozenset({"sum", "size", "timing", "nsTiming", "average"})  # of Spark's; others describe themselves
_QUERY: Final = ("spark.sql.execution.id", "spark.sql.execution.root.id")
_MAX_NAME: Final = 300


def redacted(line: bytes) -> bytes | None:
    """Return one line (with its end) without what can hold data; None for what is no event that we know."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        event = json.loads(line)
        if not isinstance(event, dict) or event.get("Event") not in _KNOWN:
            return None
        # Without spaces: the history server looks for lines that begin '{"Event":"SparkListenerApplicationStart"'.
        return (json.dumps(_object(event), allow_nan=False, separators=(",", ":")) + "\n").encode()
    except (ValueError, RecursionError):  # no JSON, no UTF-8, numbers that are none, or deeper than any event
        return None


def call_site(text: str) -> str:
    """Return where in the code a stage comes from, without folders; what has another form is not shown."""
    found = _CALL.fullmatch(text)
    return f"{found[1]} at {found[2]}:{found[3]}" if found is not None else REMOVED


def _object(value: dict[str, Any]) -> dict[str, Any]:
    return {name: _field(name, each) for name, each in value.items()}


def _field(name: str, value: Any) -> Any:  # noqa: ANN401  # a JSON tree
    if name in _EMPTIED:
        return type(value)() if isinstance(value, dict | list) else None
    special = _SPECIAL.get(name)
    if special is not None:
        return special(value)
    if isinstance(value, str):
        form = _FORMS.get(name)
        return value if not value or (form is not None and form.fullmatch(value)) else REMOVED
    if isinstance(value, dict):
        return _object(value)
    return _list(value) if isinstance(value, list) else value


def _list(value: list[Any]) -> list[Any]:
    """Return a list without the texts in it: those of Spark's own lists are all a program's."""
    kept = [each for each in value if not isinstance(each, str)]
    return [_object(each) if isinstance(each, dict) else _list(each) if isinstance(each, list) else each
            for each in kept]  # fmt: skip


def _accumulables(value: object) -> list[dict[str, Any]]:
    """Keep the amounts that the plan of a query names; all other accumulators can be the program's."""
    return [
        {name: _field(name, each.get(name)) for name in ("ID", "Update", "Value", "Internal", "Count Failed Values")
         if name in each} | {"Metadata": "sql"}
        for each in (value if isinstance(value, list) else [])
        if isinstance(each, dict) and each.get("Metadata") == "sql"
    ]  # fmt: skip


def _metrics(value: object) -> list[dict[str, Any]]:
    """Keep the names of metrics that Spark's own plans have."""
    rows = [each for each in (value if isinstance(value, list) else []) if isinstance(each, dict)]
    return [{**_object(each), "name": each.get("name") if each.get("metricType") in _METRIC else REMOVED}
            for each in rows]  # fmt: skip


def _properties(value: object) -> dict[str, str]:
    """Keep which query a job is of: without it the history server finds no amounts for a plan."""
    found = value if isinstance(value, dict) else {}
    return {name: found[name] for name in _QUERY if isinstance(found.get(name), str) and _AMOUNT.fullmatch(found[name])}


def _attributes(value: object) -> dict[str, str]:
    """Keep what an executor of ours says of itself."""
    told = Registration.parse(value.get(ATTRIBUTE)) if isinstance(value, dict) else None
    return {} if told is None else {ATTRIBUTE: told.to_attribute()}


def _resources(value: object) -> dict[str, Any]:
    """Keep what is asked of Spark's own resources; a program gives others their names."""
    known = _FORMS["Resource Name"]
    return {name: _field("", each) for name, each in value.items() if known.fullmatch(name)} if isinstance(
        value, dict) else {}  # fmt: skip


def _texts(text: Callable[[str], str]) -> Callable[[object], Any]:
    return lambda value: text(value[:MAX_LINE_BYTES]) if isinstance(value, str) and value else ""


def _node(text: str) -> str:
    found = _NODE.match(text)
    return found[0] if found is not None else REMOVED


_SPECIAL: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Accumulables": _accumulables,
    "metrics": _metrics,
    "sqlPlanMetrics": _metrics,
    "Properties": _properties,
    "Attributes": _attributes,
    "Executor Resource Requests": _resources,
    "Task Resource Requests": _resources,
    "Spark Properties": settings,
    "Stage Name": _texts(call_site),
    "nodeName": _texts(_node),
    "App Name": _texts(lambda text: text[:_MAX_NAME]),
}
