"""The log of a small job of Spark's."""

import json

import pytest

CANARY = "CANARY-7f3a"
APPLICATION = "local-1700000000000"


@pytest.fixture(scope="session")
def canary():
    return CANARY


@pytest.fixture(scope="session")
def spark_log():
    """Return the event log of a job of two stages, the second of which fails, with a canary where Spark writes data."""
    stage = {
        "Stage ID": 0, "Stage Attempt ID": 0, "Stage Name": "count at app.py:3", "Number of Tasks": 2, "RDD Info": [],
        "Parent IDs": [], "Details": "", "Submission Time": 1700000001000, "Accumulables": [],
        "Resource Profile Id": 0, "Shuffle Push Enabled": False, "Shuffle Push Mergers Count": 0,
    }  # fmt: skip
    cached = {"RDD ID": 1, "Name": f"Filter (name = {CANARY})", "Callsite": "", "Parent IDs": [],
              "Storage Level": {"Use Disk": False, "Use Memory": True, "Use Off Heap": False, "Deserialized": True,
                                "Replication": 1},
              "Barrier": False, "DeterministicLevel": "DETERMINATE", "Number of Partitions": 2,
              "Number of Cached Partitions": 0, "Memory Size": 0, "Disk Size": 0}  # fmt: skip
    broken = {**stage, "Stage ID": 1, "RDD Info": [cached], "Completion Time": 1700000004000,
              "Failure Reason": f"ValueError: {CANARY}"}  # fmt: skip
    task = {
        "Task ID": 0, "Index": 0, "Attempt": 0, "Partition ID": 0, "Launch Time": 1700000001100,
        "Executor ID": "driver", "Host": "localhost", "Locality": "PROCESS_LOCAL", "Speculative": False,
        "Getting Result Time": 0, "Finish Time": 1700000001900, "Failed": False, "Killed": False, "Accumulables": [],
    }  # fmt: skip
    metrics = {"Executor CPU Time": 500_000_000, "Disk Bytes Spilled": 4096, "Input Metrics": {"Bytes Read": 2000},
               "Shuffle Write Metrics": {"Shuffle Bytes Written": 300}}  # fmt: skip
    failed = {"Reason": "ExceptionFailure", "Class Name": "x", "Description": CANARY, "Stack Trace": [],
              "Full Stack Trace": CANARY, "Accumulator Updates": []}  # fmt: skip
    info = {"Host": "localhost", "Total Cores": 2, "Log Urls": {}, "Attributes": {}, "Resources": {},
            "Resource Profile Id": 0}  # fmt: skip
    spoken = {"spark.job.description": CANARY}
    events = [
        {"Event": "SparkListenerLogStart", "Spark Version": "4.3.0"},
        {"Event": "SparkListenerExecutorAdded", "Timestamp": 1700000000500, "Executor ID": "driver",
         "Executor Info": info},
        {"Event": "SparkListenerApplicationStart", "App Name": "sums", "App ID": APPLICATION,
         "Timestamp": 1700000000000, "User": "ada"},
        {"Event": "org.apache.spark.sql.execution.ui.SparkListenerSQLAdaptiveExecutionUpdate",
         "physicalPlanDescription": CANARY},
        {"Event": "SparkListenerJobStart", "Job ID": 0, "Submission Time": 1700000001000,
         "Stage Infos": [stage, broken], "Stage IDs": [0, 1], "Properties": spoken},
        {"Event": "SparkListenerStageSubmitted", "Stage Info": stage, "Properties": spoken},
        *({"Event": "SparkListenerTaskEnd", "Stage ID": 0, "Stage Attempt ID": 0, "Task Type": "ShuffleMapTask",
           "Task End Reason": {"Reason": "Success"}, "Task Info": {**task, "Task ID": each, "Index": each},
           "Task Metrics": metrics} for each in range(2)),
        {"Event": "SparkListenerStageCompleted", "Stage Info": {**stage, "Completion Time": 1700000003500}},
        {"Event": "SparkListenerTaskEnd", "Stage ID": 1, "Stage Attempt ID": 0, "Task Type": "ResultTask",
         "Task End Reason": failed, "Task Info": {**task, "Task ID": 2, "Failed": True}},
        {"Event": "SparkListenerStageCompleted", "Stage Info": broken},
        {"Event": "SparkListenerJobEnd", "Job ID": 0, "Completion Time": 1700000004000,
         "Job Result": {"Result": "JobFailed", "Exception": {"Message": CANARY, "Stack Trace": []}}},
        {"Event": "SparkListenerApplicationEnd", "Timestamp": 1700000005000},
    ]  # fmt: skip
    return "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in events).encode()


@pytest.fixture
def job_folder(tmp_path, spark_log):
    """Return a folder as a job leaves it, with Spark's log in full."""
    folder = tmp_path / "job"
    (folder / "spark").mkdir(parents=True)
    (folder / "spark" / APPLICATION).write_bytes(spark_log)
    return folder
