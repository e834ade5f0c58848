"""The streaming worker's enclave: what its measured configuration names is measured too, and nothing in it is open."""

import dataclasses

from strongroom.clusterserving.config import QueueConfig
from strongroom.deploy.clouds.profiles import profile
from strongroom.deploy.description import Description, Model, Tee
from strongroom.deploy.gramine import manifests
from strongroom.deploy.gramine.programs import streaming_worker

DESCRIPTION = Description(tee=Tee.SGX, models=(Model(name="resnet50", path="models/resnet50"),))


def config():
    files = manifests(DESCRIPTION, profile("generic"))
    found, warnings = QueueConfig.parse(files["gramine/app/config.yaml"])
    assert not warnings
    return files, found


def test_the_worker_takes_sealed_models_records_and_credentials_alone():
    _, found = config()
    assert (found.model_encrypted, found.require_sealed, found.credentials_sealed, found.redis_tls) == (True,) * 4
    assert (found.model_path, found.broker, found.wait_for_key) == (
        "/models/resnet50", "https://strongroom-broker:8080", True,
    )  # fmt: skip


def test_kd_24_every_file_that_the_configuration_names_is_measured():
    files, found = config()
    trusted = streaming_worker(DESCRIPTION).trusted
    named = [
        value for field, value in dataclasses.asdict(found).items()
        if isinstance(value, str) and value.startswith("/") and field != "redis_unix"
    ]  # fmt: skip
    assert len(named) >= 7
    for path in named:
        assert any(path == each or (each.endswith("/") and f"{path}/".startswith(each)) for each in trusted), path
    assert "gramine/app/credentials/README" in files  # so that the folder is there
    template = files["gramine/streaming-worker.manifest.template"].decode()
    assert "sgx.allowed_files = []" in template
    assert "file:/app/credentials/" in template
