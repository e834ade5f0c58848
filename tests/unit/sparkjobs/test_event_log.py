"""Event logs lose what can hold data and stay event logs."""

import json

from hypothesis import given
from hypothesis import strategies as st

from strongroom.sparkjobs.event_log import MAX_LINE_BYTES, redacted

CANARY = "canary-5bd1"


def cleaned(event: dict[str, object]) -> dict[str, object]:
    line = redacted(json.dumps(event).encode())
    assert line is not None
    assert CANARY.encode() not in line
    found: dict[str, object] = json.loads(line)
    return found


def test_plans_and_their_literals_go() -> None:
    plan = {"nodeName": "Filter", "simpleString": f"name = {CANARY}", "children": [], "metadata": {"f": CANARY}}
    event = cleaned({
        "Event": "org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart", "description": CANARY,
        "details": CANARY, "physicalPlanDescription": CANARY, "sparkPlanInfo": plan, "time": 5,
    })  # fmt: skip
    assert event["time"] == 5
    assert event["sparkPlanInfo"] == {"nodeName": "Filter", "simpleString": "(removed)", "children": [], "metadata": {}}


def test_a_row_that_an_exception_quotes_goes() -> None:
    reason = {"Reason": "ExceptionFailure", "Class Name": "x.Y", "Description": CANARY, "Full Stack Trace": CANARY,
              "Stack Trace": [{"Line Number": 3}], "Accumulator Updates": [{"Value": CANARY}]}  # fmt: skip
    event = cleaned({"Event": "SparkListenerTaskEnd", "Task End Reason": reason})
    assert event["Task End Reason"] == {**reason, "Description": "(removed)", "Full Stack Trace": "(removed)",
                                        "Accumulator Updates": []}  # fmt: skip
    cleaned({"Event": "SparkListenerJobEnd", "Job Result": {"Result": "JobFailed", "Exception": {"Message": CANARY}}})


def test_accumulators_of_programs_go_and_counts_stay() -> None:
    amounts = [
        {"Name": "n", "Value": 5, "Update": "7", "Internal": True},
        {"Name": "rows", "Value": "9", "Internal": False, "Metadata": "sql"},
        {"Name": "mine", "Value": CANARY, "Update": [CANARY], "Internal": True},
        {"Name": f"sum of {CANARY}", "Value": "424242", "Update": 424242, "Internal": False},
    ]
    event = cleaned({"Event": "SparkListenerTaskEnd", "Task Info": {"Accumulables": amounts}})
    assert event["Task Info"] == {
        "Accumulables": [
            {"Name": "n", "Value": 5, "Update": "7", "Internal": True},
            {"Name": "rows", "Value": "9", "Internal": False, "Metadata": "sql"},
            {"Name": "mine", "Value": 0, "Update": 0, "Internal": True},
            {"Name": "(removed)", "Value": 0, "Update": 0, "Internal": False},
        ]
    }


def test_unknown_events_and_lines_that_are_none_are_left_out() -> None:
    assert redacted(json.dumps({"Event": "com.example.MyEvent", "x": CANARY}).encode()) is None
    assert redacted(b"[1]") is None
    assert redacted(b"[" * 100_000) is None
    assert redacted(b'{"Event": "SparkListenerTaskEnd", "x": NaN}') is None
    assert redacted(b" " * (MAX_LINE_BYTES + 1)) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_nothing(line: bytes) -> None:
    found = redacted(line)
    assert found is None or json.loads(found)["Event"]


def test_names_of_groups_and_tags_of_jobs_go() -> None:
    start = "org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart"
    event = cleaned({"Event": start, "jobGroupId": CANARY, "jobTags": [CANARY]})
    assert event == {"Event": start, "jobGroupId": "(removed)", "jobTags": []}
