"""An executor's measured program: what of the host's words goes on, and that a refusal comes before anything else."""

from __future__ import annotations

import json

import pytest

from strongroom.analytics.agent import executor
from strongroom.analytics.agent.admission import Asked
from strongroom.analytics.agent.agent import Held
from strongroom.analytics.agent.executor import application_of, own_words
from strongroom.launcher.launch import check
from strongroom.launcher.roles import Role, Settings
from strongroom.platforms import PlatformAbsent
from strongroom.sparkjobs.registration import VARIABLE, Registration

HOME = "/opt/spark"
SECRET = "canary-of-a-secret"
WORDS = (
    "-cp", "/somewhere/gateway.jar:/opt/spark/conf/:/opt/spark/jars/*", "-Xmx512M",
    "-Dspark.authenticate=true", "-Dspark.authenticate.application=app-7", "-Dspark.driver.port=39201",
    "-Dspark.network.crypto.enabled=true", "-Dspark.network.crypto.cipher=AES/GCM/NoPadding",
    "-Dspark.network.crypto.authEngineVersion=2", "-Dspark.network.crypto.saslFallback=false",
    "-Dspark.ssl.enabled=true", "-Dspark.ssl.keyStore=/dev/shm/driver/keystore.pkcs12",
    "-Dspark.ssl.keyStoreType=PKCS12", "-Dspark.authenticate.secret.file=/host/chose/it",
    "org.apache.spark.executor.CoarseGrainedExecutorBackend", "--driver-url",
    "spark://CoarseGrainedScheduler@127.0.0.1:39201", "--executor-id", "0", "--hostname", "127.0.0.1", "--cores", "1",
    "--app-id", "app-20261122011411-0000", "--resourceProfileId", "0",
)  # fmt: skip


def settings():
    return Settings(
        role=Role.SPARK_EXECUTOR, java="/opt/java/bin/java", home=HOME, scratch="/m/local", temporary="/m/tmp",
        secret="/m/spark", max_heap_mib=1024,
    )  # fmt: skip


def test_a_workers_words_pass_with_places_of_this_program_in_the_drivers_stead():
    launch = check(own_words(WORDS, HOME), settings())
    assert "-Dspark.authenticate.secret.file=/m/spark" in launch.argv
    assert "-Djava.io.tmpdir=/m/tmp" in launch.argv
    assert launch.argv[launch.argv.index("-cp") + 1] == "/opt/spark/conf/:/opt/spark/jars/*"
    assert not [word for word in launch.argv if "/host/chose/it" in word or "keystore" in word]
    assert launch.environment["SPARK_LOCAL_DIRS"] == "/m/local"
    assert "_SPARK_AUTH_SECRET" not in launch.environment


def test_the_application_is_what_the_driver_says_or_the_job():
    assert application_of(WORDS, "demo") == "app-7"
    assert application_of((), "demo") == "demo"


def arguments(tmp_path, words):
    path = tmp_path / "words"
    path.write_bytes(b"".join(word.encode() + b"\0" for word in words))
    return [
        "--broker=https://localhost:1", f"--broker-ca={tmp_path}/none.pem", "--job=demo", "--java=/opt/java/bin/java",
        f"--home={HOME}", "--max-heap-mib=1024", f"--roll-call={tmp_path}/roll", f"--events={tmp_path}/events",
        f"--words-from={path}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "code"),
    [("-javaagent:/tmp/evil.jar", "SR-LAUNCH-ARGUMENT"), ("-Dspark.authenticate=false", "SR-LAUNCH-ARGUMENT"),
     ("-Dspark.network.crypto.cipher=AES/CTR/NoPadding", "SR-LAUNCH-ARGUMENT")],
    ids=["agent", "authentication off", "cipher"],
)  # fmt: skip
def test_a_word_that_is_refused_ends_it_before_the_broker_is_asked(word, code, tmp_path, capsys):
    status = executor.main(arguments(tmp_path, (word, *WORDS)))
    assert status == 3
    assert code in capsys.readouterr().err
    noted = json.loads((tmp_path / "roll").read_text())
    assert (noted["name"], noted["admitted"], noted["code"]) == ("0", False, code)
    event = json.loads((tmp_path / "events").read_text())
    assert (event["event"], event["role"], event["application"]) == ("refused", "executor 0", noted["application"])


class Simulated:
    """A platform that has a name, and no quote for the report."""

    name = "simulated"

    def quote(self, report_data):
        raise PlatformAbsent("none here")


def test_an_executor_registers_with_what_it_was_admitted_as_and_with_no_secret(tmp_path):
    args = executor._parser().parse_args(arguments(tmp_path, WORDS))
    events = executor._events(args, WORDS)
    launch = check(own_words(WORDS, HOME), settings())
    assert VARIABLE not in executor._environment(launch, held(tmp_path), args, None)
    asked = Asked(broker="https://localhost:1", ca=tmp_path, keys=("people",), job="demo")
    events.admitted(asked, Simulated(), 0.25, lease_s=600.0)
    found = executor._environment(launch, held(tmp_path), args, events.admission)
    told = Registration.parse(found[VARIABLE])
    assert (told.platform, told.measurement, told.keys, told.lease_s) == ("simulated", "", ("people",), 600.0)
    event = json.loads((tmp_path / "events").read_text())
    assert (event["role"], event["keys"], event["measurement"]) == ("executor 0", ["people"], "")
    assert SECRET not in json.dumps(found)


def held(tmp_path):
    (tmp_path / "spark").write_text(SECRET)
    return Held(folder=tmp_path, socket=tmp_path / "agent.sock", secret_file=tmp_path / "spark")


def test_an_08_without_a_platform_nothing_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("STRONGROOM_QUOTE_FD", raising=False)
    status = executor.main(arguments(tmp_path, WORDS))
    assert status == 4
    assert "SR-PLATFORM" in capsys.readouterr().err
    assert json.loads((tmp_path / "roll").read_text())["admitted"] is False


def test_an_08_no_option_turns_attestation_off():
    options = {word for action in executor._parser()._actions for word in action.option_strings}  # all
    assert not {word for word in options if any(part in word for part in ("insecure", "skip", "no-", "unattested"))}
