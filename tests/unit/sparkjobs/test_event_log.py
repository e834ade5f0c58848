"""Event logs lose what can hold data and stay event logs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.sparkjobs.event_log import MAX_LINE_BYTES, redacted
from strongroom.sparkjobs.registration import Registration

CANARY = "canary-5bd1"
SQL_START = "org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart"


def cleaned(event: dict[str, object]) -> dict[str, object]:
    line = redacted(json.dumps(event).encode())
    assert line is not None
    assert CANARY.encode() not in line
    found: dict[str, object] = json.loads(line)
    return found


def test_plans_and_their_literals_go() -> None:
    plan = {"nodeName": "Filter", "simpleString": f"name = {CANARY}", "children": [], "metadata": {"f": CANARY}}
    event = cleaned({
        "Event": SQL_START, "description": CANARY, "details": CANARY, "physicalPlanDescription": CANARY,
        "sparkPlanInfo": plan, "time": 5, "queryId": "01a201ed-33a6-7a93-b216-aa99eb6e24ba",
    })  # fmt: skip
    assert (event["time"], event["queryId"]) == (5, "01a201ed-33a6-7a93-b216-aa99eb6e24ba")
    assert event["sparkPlanInfo"] == {"nodeName": "Filter", "simpleString": "(removed)", "children": [], "metadata": {}}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("WholeStageCodegen (3)", "WholeStageCodegen (3)"),
        (f"Scan In-memory table {CANARY}", "Scan In-memory table"),
        (f"Scan JDBCRelation((select '{CANARY}'))", "Scan"),
        (f"BatchScan {CANARY}", "BatchScan"),
        ("Scan parquet ", "Scan parquet"),
        (f"Scan csv {CANARY}.t", "Scan csv"),
        (f"Scan csv{CANARY}", "Scan"),
        ("Execute InsertIntoHadoopFsRelationCommand", "Execute InsertIntoHadoopFsRelationCommand"),
        (f"Execute {CANARY}", "Execute"),
        (f"'{CANARY}'", "(removed)"),
    ],
)
def test_a_step_of_a_plan_keeps_its_kind_and_loses_the_program_s_name_for_it(said: str, kept: str) -> None:
    event = cleaned({"Event": SQL_START, "sparkPlanInfo": {"nodeName": "Exchange", "children": [{"nodeName": said}]}})
    assert event["sparkPlanInfo"] == {"nodeName": "Exchange", "children": [{"nodeName": kept}]}


def test_metrics_of_spark_s_keep_their_names_and_those_of_sources_lose_them() -> None:
    metrics = [{"name": "number of output rows", "accumulatorId": 3, "metricType": "sum"},
               {"name": f"rows of {CANARY}", "accumulatorId": 4, "metricType": f"v2Custom_{CANARY}"}]  # fmt: skip
    event = cleaned({"Event": SQL_START, "sparkPlanInfo": {"nodeName": "Filter", "metrics": metrics}})
    assert event["sparkPlanInfo"] == {
        "nodeName": "Filter",
        "metrics": [metrics[0], {"name": "(removed)", "accumulatorId": 4, "metricType": "(removed)"}],
    }


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("collect at /home/ada/app.py:12", "collect at app.py:12"),
        ("$anonfun$withThreadLocalCaptured$1 at CompletableFuture.java:1768",
         "$anonfun$withThreadLocalCaptured$1 at CompletableFuture.java:1768"),
        (CANARY, "(removed)"),
        (f"rows of {CANARY} at app.py:12", "(removed)"),
        (f"collect at {CANARY}", "(removed)"),
        (f"collect at /{CANARY}/app.py:12", "collect at app.py:12"),
        (f"collect at /a/app.py:12\n{CANARY}", "(removed)"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_stage_is_named_by_its_place_in_the_code_and_by_nothing_that_a_program_says(said: str, kept: str) -> None:
    stage = {"Stage ID": 3, "Stage Name": said, "Details": CANARY, "RDD Info": [{"Name": CANARY}]}
    for event in ("SparkListenerStageSubmitted", "SparkListenerStageCompleted"):
        found = cleaned({"Event": event, "Stage Info": stage, "Properties": {"callSite.long": CANARY}})
        assert found["Stage Info"] == {"Stage ID": 3, "Stage Name": kept, "Details": "(removed)", "RDD Info": []}
    found = cleaned({"Event": "SparkListenerJobStart", "Stage Infos": [stage], "Stage IDs": [3, 4]})
    assert found["Stage Infos"] == [{"Stage ID": 3, "Stage Name": kept, "Details": "(removed)", "RDD Info": []}]
    assert found["Stage IDs"] == [3, 4]


def test_of_a_job_s_properties_which_query_it_is_of_stays() -> None:
    said = {"spark.sql.execution.id": "7", "spark.sql.execution.root.id": CANARY, "spark.job.description": CANARY,
            CANARY: "1"}  # fmt: skip
    for event in ("SparkListenerJobStart", "SparkListenerStageSubmitted"):
        assert cleaned({"Event": event, "Properties": said})["Properties"] == {"spark.sql.execution.id": "7"}


def test_a_plan_that_changed_while_it_ran_loses_the_same() -> None:
    prefix = "org.apache.spark.sql.execution.ui.SparkListener"
    plan = {"nodeName": f"BatchScan {CANARY}", "simpleString": CANARY, "children": [], "metadata": {}, "metrics": []}
    event = cleaned({"Event": f"{prefix}SQLAdaptiveExecutionUpdate", "executionId": 3, "sparkPlanInfo": plan,
                     "physicalPlanDescription": CANARY})  # fmt: skip
    assert event["sparkPlanInfo"] == {**plan, "nodeName": "BatchScan", "simpleString": "(removed)"}
    event = cleaned({"Event": f"{prefix}DriverAccumUpdates", "executionId": 3, "accumUpdates": [[7, 100], [8, CANARY]]})
    assert event["accumUpdates"] == [[7, 100], [8]]
    metric = {"name": CANARY, "accumulatorId": 4, "metricType": "v2Custom_a"}
    event = cleaned({"Event": f"{prefix}SQLAdaptiveSQLMetricUpdates", "executionId": 3, "sqlPlanMetrics": [metric]})
    assert event["sqlPlanMetrics"] == [{**metric, "name": "(removed)", "metricType": "(removed)"}]


def test_a_row_that_an_exception_quotes_goes() -> None:
    reason = {"Reason": "ExceptionFailure", "Class Name": "x.Y", "Description": CANARY, "Full Stack Trace": CANARY,
              "Stack Trace": [{"Line Number": 3, "Method Name": CANARY}],
              "Accumulator Updates": [{"Value": CANARY}]}  # fmt: skip
    event = cleaned({"Event": "SparkListenerTaskEnd", "Task End Reason": reason})
    assert event["Task End Reason"] == {**reason, "Description": "(removed)", "Full Stack Trace": "(removed)",
                                        "Stack Trace": [], "Accumulator Updates": []}  # fmt: skip
    failure = {"Message": CANARY, "Stack Trace": [{"Declaring Class": CANARY}]}
    event = cleaned({"Event": "SparkListenerJobEnd", "Job Result": {"Result": "JobFailed", "Exception": failure}})
    assert event["Job Result"] == {"Result": "JobFailed", "Exception": {"Message": "(removed)", "Stack Trace": []}}


def test_accumulators_of_programs_go_and_amounts_of_plans_stay() -> None:
    amounts = [
        {"ID": 1, "Name": "internal.metrics.peak", "Value": 5, "Update": "7", "Internal": True},
        {"ID": 2, "Name": "rows", "Value": "9", "Update": 4, "Internal": True, "Metadata": "sql"},
        {"ID": 3, "Name": CANARY, "Value": CANARY, "Update": [CANARY], "Internal": True, "Metadata": "sql"},
        {"ID": 4, "Name": f"internal.metrics.{CANARY}", "Value": 424242, "Internal": True},
        {"ID": 5, "Name": f"sum of {CANARY}", "Value": "424242", "Update": 424242, "Internal": False},
    ]
    event = cleaned({"Event": "SparkListenerTaskEnd", "Task Info": {"Accumulables": amounts}})
    assert event["Task Info"] == {
        "Accumulables": [
            {"ID": 2, "Update": 4, "Value": "9", "Internal": True, "Metadata": "sql"},
            {"ID": 3, "Update": [], "Value": "(removed)", "Internal": True, "Metadata": "sql"},
        ]
    }


def test_settings_that_a_program_makes_go_with_their_names() -> None:
    event = cleaned({
        "Event": "SparkListenerEnvironmentUpdate",
        "JVM Information": {"Java Version": "17.0.15 (Debian)", "Java Home": f"/{CANARY}"},
        "Spark Properties": {"spark.master": "local[2]", "spark.authenticate": "true", "spark.app.name": "sums",
                             f"spark.{CANARY}": "1", "spark.my": CANARY, "spark.executorEnv.A": CANARY,
                             "spark.driver.extraJavaOptions": f"-Da={CANARY}", "spark.driver.host": f"{CANARY} a"},
        "Hadoop Properties": {"a": CANARY}, "System Properties": {"sun.java.command": CANARY},
        "Metrics Properties": {CANARY: "1"}, "Classpath Entries": {f"/{CANARY}.jar": "System Classpath"},
    })  # fmt: skip
    assert event["Spark Properties"] == {
        "spark.master": "local[2]", "spark.authenticate": "true", "spark.app.name": "sums",
    }  # fmt: skip
    assert event["JVM Information"] == {"Java Version": "17.0.15 (Debian)", "Java Home": "(removed)"}


def test_an_executor_keeps_what_it_says_of_itself_and_nothing_that_a_program_adds() -> None:
    measurement = f"MRENCLAVE {'ab' * 32}"
    told = Registration(time="2026-11-22T06:00:00.000+00:00", platform="simulated", measurement=measurement,
                        broker="https://localhost:9443", keys=("people",), seconds=0.2, lease_s=600.0)  # fmt: skip
    info = {"Host": "127.0.0.2", "Total Cores": 1, "Log Urls": {"stdout": f"http://{CANARY}"},
            "Attributes": {"STRONGROOM": told.to_attribute(), "OTHER": CANARY}, "Resources": {CANARY: {}}}  # fmt: skip
    event = cleaned({"Event": "SparkListenerExecutorAdded", "Executor ID": "0", "Executor Info": info})
    assert event["Executor Info"] == {"Host": "127.0.0.2", "Total Cores": 1, "Log Urls": {}, "Resources": {},
                                      "Attributes": {"STRONGROOM": told.to_attribute()}}  # fmt: skip
    info["Attributes"] = {"STRONGROOM": CANARY}
    event = cleaned({"Event": "SparkListenerExecutorAdded", "Executor Info": info})
    assert event["Executor Info"]["Attributes"] == {}  # type: ignore[index]  # an object, as above


def test_resources_keep_spark_s_own_names() -> None:
    asked = {"Resource Name": "cores", "Amount": 1, "Discovery Script": CANARY, "Vendor": CANARY}
    event = cleaned({"Event": "SparkListenerResourceProfileAdded", "Resource Profile Id": 0,
                     "Executor Resource Requests": {"cores": asked, CANARY: {**asked, "Resource Name": CANARY}},
                     "Task Resource Requests": {CANARY: {"Resource Name": CANARY, "Amount": 1.0}}})  # fmt: skip
    assert event["Executor Resource Requests"] == {"cores": {**asked, "Discovery Script": "(removed)",
                                                             "Vendor": "(removed)"}}  # fmt: skip
    assert event["Task Resource Requests"] == {}


def test_a_text_under_a_field_that_nobody_knows_goes() -> None:
    event = cleaned({"Event": "SparkListenerApplicationStart", "App Name": "sums", "New in Spark 5": CANARY,
                     "More": [CANARY, {"a": CANARY}, [CANARY, 3]], "User": f"{CANARY} x"})  # fmt: skip
    assert event == {"Event": "SparkListenerApplicationStart", "App Name": "sums", "New in Spark 5": "(removed)",
                     "More": [{"a": "(removed)"}, [3]], "User": "(removed)"}  # fmt: skip


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
    event = cleaned({"Event": SQL_START, "jobGroupId": CANARY, "jobTags": [CANARY]})
    assert event == {"Event": SQL_START, "jobGroupId": "(removed)", "jobTags": []}
