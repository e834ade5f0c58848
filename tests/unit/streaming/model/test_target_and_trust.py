"""What a configuration says of the model's name and of brokers, as values."""

import pytest

from strongroom.bundles import BadModelName
from strongroom.streaming.model import trust
from strongroom.streaming.model.target import BadModelPath, Target

BROKER = {"broker": "https://broker.example:8080", "broker_ca_file": "/ca.pem", "owner_key_file": "/owner.pem"}


@pytest.mark.parametrize(
    "case",
    [
        ({"net.onnx": b""}, "half", {}, ("half", 1, "half")),
        ({"net.onnx": b""}, "half", {"model_name": "net", "model_version": 7}, ("net", 7, "half")),
        ({"3/model.onnx": b""}, "half/3", {}, ("half", 3, "half/3")),
        ({"3/model.onnx": b"", "12/model.onnx": b""}, "half", {}, ("half", 12, "half/12")),
        ({"3/model.onnx": b"", "12/model.onnx": b""}, "half", {"model_version": 3}, ("half", 3, "half/3")),
        ({"3/model.onnx": b"", "net.onnx": b""}, "half", {}, ("half", 1, "half")),
    ],
)
def test_the_path_or_the_configuration_names_model_and_version(folder, config, tmp_path, case):
    files, path, values, wanted = case
    folder(files)
    for scheme in ("", "file://"):
        target = Target.of(config(model_path=f"{scheme}{tmp_path}/{path}", **values))
        assert (target.name, target.version, str(target.folder)) == (*wanted[:2], f"{tmp_path}/{wanted[2]}")


@pytest.mark.parametrize("path", [None, "", "hdfs://host/model", "s3://bucket/model", "file://", "a\0b"])
def test_what_is_no_folder_of_this_machine_is_refused(config, path):
    with pytest.raises(BadModelPath) as bad:
        Target.of(config(model_path=path))
    assert bad.value.code == "SR-QUEUE-MODEL-PATH"


def test_a_name_that_no_model_can_have_is_refused(config, tmp_path):
    with pytest.raises(BadModelName):
        Target.of(config(model_path=str(tmp_path), model_name="a/b"))


def test_a_broker_is_named_whole_or_not_at_all(config):
    assert trust.broker_of(config()) is None
    for missing in ("broker_ca_file", "owner_key_file"):
        with pytest.raises(trust.NoBroker) as none:
            trust.broker_of(config(**{**BROKER, missing: None}))
        assert none.value.code == "SR-QUEUE-BROKER"
    found = trust.broker_of(config(**BROKER, tenant="acme", deployment="eu", broker_wait_s=7, wait_for_key=True))
    assert found is not None
    assert (found.url, found.address.port, found.tenant, found.deployment) == (
        "https://broker.example:8080", 8080, "acme", "eu",
    )  # fmt: skip
    assert (found.wait_s, found.patient) == (7, True)


def test_gramines_protocol_gives_one_key_so_it_cannot_give_a_queues(config):
    gramine = trust.broker_of(config(**{**BROKER, "broker": "broker.example:4433"}))
    assert gramine is not None
    assert gramine.url == ""
    for broker in (gramine, None):
        with pytest.raises(trust.NoBroker):
            trust.by_name(broker, "sealed records")


def test_the_secrets_have_names_of_their_own_for_each_job(config):
    assert str(trust.queue_secret(config(job_name="a"))) == "secret/queue-a"
    assert str(trust.queue_secret(config(queue_key="secret/mine"))) == "secret/mine"
    assert str(trust.credentials_secret(config(job_name="a"))) == "secret/queue-credentials-a"
    assert [trust.wants_queue_key(config(**{name: True})) for name in ("record_encrypted", "require_sealed")] == [
        True, True,
    ]  # fmt: skip
    assert not trust.wants_queue_key(config())


def test_children_of_a_supervisor_prove_nothing_so_they_are_given_no_keys(config):
    trust.check_workers(config(), 4)
    trust.check_workers(config(**BROKER), None)
    with pytest.raises(trust.OneWorkerEach) as refused:
        trust.check_workers(config(**BROKER), 4)
    assert refused.value.code == "SR-QUEUE-WORKERS"
