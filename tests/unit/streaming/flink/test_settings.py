"""The configuration of a cluster: every endpoint with TLS, each role with its own keys, no option that opens it."""

import json

import pytest

from strongroom.streaming.flink import settings
from strongroom.streaming.flink.settings import BadFlinkOption, Layout, Store, Stores, WeakFlinkOption, read_options

LAYOUT = Layout(
    rpc_port=1, rest_port=2, logs="/c/log", scratch="/c/tmp", state="/c/state", python="/v/bin/python", slots=3,
    options={"taskmanager.memory.process.size": "2g"},
)  # fmt: skip
INTERNAL = Stores(keys=Store(path="/i", password="inner"), trust=Store(path="/it", password="inner"))
REST = Stores(keys=Store(path="/r", password="outer"), trust=Store(path="/rt", password="outer"))


def read(text):
    return {key: json.loads(value) for key, value in (line.split(": ", 1) for line in text.decode().splitlines())}


def test_dp_05_the_job_manager_wants_certificates_inside_and_on_its_rest_port():
    found = read(settings.job_manager(LAYOUT, internal=INTERNAL, rest=REST))
    for key in ("internal.enabled", "rest.enabled", "rest.authentication-enabled"):
        assert found[f"security.ssl.{key}"] == "true"
    assert found["security.ssl.protocol"] == "TLSv1.3"
    assert found["jobmanager.bind-host"] == found["rest.bind-address"] == "127.0.0.1"
    assert found["security.ssl.rest.keystore"] != found["security.ssl.rest.truststore"]


def test_a_task_manager_holds_no_key_of_the_rest_api_and_a_client_none_of_the_inside():
    manager = settings.task_manager(LAYOUT, internal=INTERNAL)
    client = settings.client("host", 9, rest=REST, python="/p", scratch="/s")
    assert b"outer" not in manager
    assert b"inner" not in client
    assert read(client)["rest.address"] == "host"
    assert read(manager)["taskmanager.numberOfTaskSlots"] == "3"


def test_the_size_of_a_task_manager_can_be_chosen():
    assert read(settings.task_manager(LAYOUT, internal=INTERNAL))["taskmanager.memory.process.size"] == "2g"


@pytest.mark.parametrize("text", ["x", "=1", "a b=1", "a=\n", "ä=1", "a=" + "x" * 5000])
def test_what_is_no_option_is_refused(text):
    with pytest.raises(BadFlinkOption) as refused:
        read_options([text])
    assert refused.value.code == "SR-FLINK-OPTION"


@pytest.mark.parametrize(
    "key",
    ["security.ssl.rest.enabled", "rest.bind-address", "web.submit.enable", "env.java.opts.all", "taskmanager.host",
     "jobmanager.bind-host", "python.executable", "jobmanager.rpc.address"],
)  # fmt: skip
def test_dp_05_an_option_that_could_open_the_cluster_is_refused(key):
    with pytest.raises(WeakFlinkOption) as refused:
        read_options([f"{key}=x"])
    assert refused.value.code == "SR-FLINK-WEAK"


def test_options_are_taken():
    assert read_options(["taskmanager.memory.managed.size=4gb", "a=b=c"]) == {
        "taskmanager.memory.managed.size": "4gb", "a": "b=c",
    }  # fmt: skip


def test_values_are_quoted_as_yaml_reads_them():
    assert settings.spelled({"b": 'x"y: #z', "a": "1"}) == b'a: "1"\nb: "x\\"y: #z"\n'
