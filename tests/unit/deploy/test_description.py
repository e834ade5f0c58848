"""The [deploy] table: what it may hold, and how it is refused."""

import pytest

from strongroom.deploy.description import DeployMalformed, Description, Engine, Front, Role, Size, Tee


def test_an_empty_table_is_one_simulated_replica():
    found = Description.parse({})
    assert (found.tee, found.engine, found.front, found.size, found.replicas) == (
        Tee.SIMULATED, Engine.STRONGROOM, Front.NGINX, Size.SMALL, 1
    )  # fmt: skip
    assert found.image(Role.BROKER) == "localhost:5000/strongroom-broker:default-latest-sealed"


def test_a_size_brings_its_numbers_and_each_may_be_said():
    found = Description.parse({"size": "seed", "resources": {"memory": "6Gi"}})
    assert (found.resources.cpu, found.resources.memory, found.resources.max_threads) == ("2", "6Gi", 400)


@pytest.mark.parametrize(
    "table",
    [
        {"tee": "sev"}, {"replicas": 0}, {"replicas": True}, {"replicas": "2"}, {"name": "Not_A_Label"}, {"unknown": 1},
        {"kubernetes": "1.19"}, {"gramine": "2.0"}, {"model": [{}]}, {"model": ["m"]}, {"model": [{"name": "a/b"}]},
        {"model": [{"name": "a"}, {"name": "a"}]}, {"autoscaling": {"min": 3, "max": 2}}, {"autoscaling": {"min": 3}},
        {"resources": {"cpu": "two"}}, {"images": {"browser": "a"}}, {"images": {"broker": "UPPER"}},
        {"engine": "tensorflow-serving", "tee": "sgx", "broker": "https://broker.example.com:8080"},
        {"broker": "no-port"}, {"engine": "tensorflow-serving"}, {"host": "-"},
        {"engine": "tensorflow-serving", "tee": "sgx", "autoscaling": {"max": 2}},
        {"name": "1st"}, {"host": "a..b"}, {"host": "a.-b"}, {"host": f"{'a' * 64}.com"}, {"resources": {"cpu": "1Mi"}},
        {"resources": {"memory": "512m"}}, {"resources": {"epc": "1m"}}, {"broker": "b.example.com:0"},
        {"broker": "b.example.com:65536"}, {"broker": "..:4433"}, {"broker": "127.0.0.1:4433"}, {"broker": "Up.er:1"},
        {"broker": "0.0.0.0:4433"}, {"model": [{"name": "a", "path": "a\nb"}]},
        {"model": [{"name": "a", "path": "$HOME"}]},
    ],
)  # fmt: skip
def test_what_is_no_setting_is_refused_with_sr_deploy_settings(table):
    with pytest.raises(DeployMalformed) as caught:
        Description.parse(table)
    assert caught.value.code == "SR-DEPLOY-SETTINGS"
