"""Spark's event log without what can hold data: plans, messages of errors, descriptions, accumulators. Pure.

Spark hides settings with secret names (spark.redaction.regex) and nothing else: a literal of a filter and the row that
an exception quotes stand in its log in clear. What is left still opens in Spark's history server.
"""

from __future__ import annotations

import json
from typing import Any, Final

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_SQL: Final = "org.apache.spark.sql.execution.ui.SparkListener"
_KNOWN: Final = frozenset({
    *(f"SparkListener{name}" for name in (
        "LogStart", "ApplicationStart", "ApplicationEnd", "EnvironmentUpdate", "BlockManagerAdded",
        "BlockManagerRemoved", "ExecutorAdded", "ExecutorRemoved", "JobStart", "JobEnd", "StageSubmitted",
        "StageCompleted", "TaskStart", "TaskEnd", "TaskGettingResult", "ResourceProfileAdded", "StageExecutorMetrics",
    )),
    f"{_SQL}SQLExecutionStart", f"{_SQL}SQLExecutionEnd",
})  # fmt: skip
_TEXTS: Final = frozenset({
    "physicalPlanDescription", "simpleString", "Description", "Message", "Full Stack Trace", "description", "details",
    "errorMessage", "Loss Reason", "Removed Reason", "Failure Reason", "spark.job.description", "spark.jobGroup.id",
    "Kill Reason", "Kill Reason String", "jobGroupId",
})  # fmt: skip
# Names of cached RDDs are their plans, with the constants in them; local properties are what a program sets.
_OBJECTS: Final = frozenset({"metadata", "Accumulator Updates", "RDD Info", "Properties", "modifiedConfigs", "jobTags"})
_AMOUNTS: Final = frozenset({"Value", "Update"})
REMOVED: Final = "(removed)"


def redacted(line: bytes) -> bytes | None:
    """Return one line (with its end) without what can hold data; None for what is no event that we know."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        event = json.loads(line)
        if not isinstance(event, dict) or event.get("Event") not in _KNOWN:
            return None
        # Without spaces: the history server looks for lines that begin '{"Event":"SparkListenerApplicationStart"'.
        return (json.dumps(_clean(event), allow_nan=False, separators=(",", ":")) + "\n").encode()
    except (ValueError, RecursionError):  # no JSON, no UTF-8, numbers that are none, or deeper than any event
        return None


def _clean(value: Any) -> Any:  # noqa: ANN401  # a JSON tree
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {name: _field(name, each) for name, each in value.items()}
    return value


def _field(name: str, value: Any) -> Any:  # noqa: ANN401  # a JSON tree
    if name in _TEXTS:
        return REMOVED if value else value
    if name in _OBJECTS:
        return type(value)() if isinstance(value, dict | list) else None
    if name == "Accumulables" and isinstance(value, list):
        return [_clean(each if _is_sparks(each) else _emptied(each)) for each in value]
    if name in _AMOUNTS and not _is_amount(value):
        return 0
    return _clean(value)


def _is_sparks(each: object) -> bool:
    """Whether an accumulator counts what Spark does, and is none of the program's."""
    return isinstance(each, dict) and (each.get("Internal") is True or each.get("Metadata") == "sql")


def _emptied(each: object) -> object:
    return {**each, "Name": REMOVED, "Value": 0, "Update": 0} if isinstance(each, dict) else None


def _is_amount(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) <= 20
    return isinstance(value, int | float)
