"""An executor's container hands the words on, and nothing else of its environment."""

import json
import os
import subprocess
import sys

import pytest

from strongroom.analytics.agent import executor, pod_executor
from strongroom.analytics.agent.agent import Held
from strongroom.launcher.launch import Launch, read_words
from strongroom.sparkjobs import executor_pod
from strongroom.sparkjobs.registration import VARIABLE, Registration

ENVIRONMENT = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078", "SPARK_EXECUTOR_CORES": "1",
    "SPARK_EXECUTOR_MEMORY": "512m", "SPARK_APPLICATION_ID": "spark-2f", "SPARK_EXECUTOR_ID": "1",
    "SPARK_RESOURCE_PROFILE_ID": "0", "SPARK_EXECUTOR_POD_IP": "10.244.0.7", "SPARK_EXECUTOR_POD_NAME": "job-exec-1",
}  # fmt: skip
# Stands for what launches the measured program: says what it was given.
LAUNCHER = """
import json, os, sys
json.dump({"argv": sys.argv[1:], "stdin": sys.stdin.read(), "environ": dict(os.environ)}, sys.stdout)
sys.exit(3)
"""


@pytest.fixture
def started(tmp_path):
    def start(*words, environ=ENVIRONMENT):
        ours = [sys.executable, "-m", "strongroom.analytics.agent.pod_executor", "--home=/opt/spark",
                f"--words={tmp_path / 'words'}", *words]  # fmt: skip
        kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return subprocess.run(ours, env={**kept, **environ}, capture_output=True, text=True, check=False, timeout=60)

    return start


def test_the_launcher_is_given_the_words_and_its_status_is_the_containers(started, tmp_path):
    secrets = {"_SPARK_AUTH_SECRET": "canary", "LD_PRELOAD": "", "PYTHONPATH": "", "SGX_AESM_ADDR": "1",
               VARIABLE: "what a pod says of itself before anybody has admitted it"}  # fmt: skip
    done = started("--", sys.executable, "-c", LAUNCHER, "executor", environ={**ENVIRONMENT, **secrets})
    assert done.returncode == 3, done.stderr
    said = json.loads(done.stdout)
    assert said["argv"] == []
    assert VARIABLE.startswith("SPARK")
    assert not {name for name in said["environ"] if name.startswith(("SPARK", "_SPARK", "LD_", "PYTHONPATH"))}
    assert said["environ"]["SGX_AESM_ADDR"] == "1"
    words = read_words((tmp_path / "words").read_bytes())
    assert words == read_words(said["stdin"].encode()) == executor_pod.command(ENVIRONMENT, "/opt/spark")
    assert (tmp_path / "words").stat().st_mode & 0o777 == 0o600


def test_a_pod_s_executor_registers_with_what_it_was_admitted_as(tmp_path):
    """From the words that its container hands on: the driver hears which executor of which application it is."""
    words = executor_pod.command(ENVIRONMENT, "/opt/spark")
    args = executor._parser().parse_args([
        "--broker=https://b:1", "--broker-ca=x", "--job=j", "--java=/opt/java", "--home=/opt/spark",
        "--max-heap-mib=512", "--words-from=-", f"--events={tmp_path / 'events'}",
    ])  # fmt: skip
    events = executor._events(args, words)
    events.admission = Registration(time="2026-11-22T06:00:00.000+00:00", platform="tdx", broker="https://b:1",
                                    measurement=f"MRTD {'ab' * 48}", keys=("people",), seconds=0.1)  # fmt: skip
    launch = Launch(("java",), {"LANG": "C.UTF-8"}, ())
    held = Held(folder=tmp_path, socket=tmp_path / "agent.sock")
    found = executor._environment(launch, held, args, events.admission)
    assert Registration.parse(found[VARIABLE]) == events.admission
    assert executor._named(words) == ("1", "spark-2f")


@pytest.mark.parametrize("words", [(), ("--", "true"), ("--", "true", "driver")], ids=["nothing", "no role", "driver"])
def test_a_container_that_spark_did_not_ask_to_be_an_executor_starts_nothing(started, words):
    done = started(*words)
    assert done.returncode == 2
    assert "[SR-SPARK-POD]" in done.stderr


def test_a_launcher_that_is_not_there_is_said(started):
    done = started("--", "/nonexistent/launcher", "executor")
    assert done.returncode == 2
    assert "executor: " in done.stderr


def test_of_the_environment_a_launcher_sees_places_alone():
    environ = {**ENVIRONMENT, "PATH": "/bin", "AZDCAP_X": "1", "JAVA_TOOL_OPTIONS": "-javaagent:x"}
    assert pod_executor.kept(environ) == {"PATH": "/bin", "AZDCAP_X": "1"}
