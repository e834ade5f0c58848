"""What the parts of a queue start: manifests for the simulated platform, configurations that our own reader takes."""

import pytest

from strongroom.clusterserving.config import QueueConfig
from strongroom.deploy.cluster_serving.parts import (
    PartOf,
    app_files,
    command,
    frontend_config,
    manifest_name,
    words,
    worker_config,
)
from strongroom.deploy.description import Role
from strongroom.gramine import manifest


def test_a_workers_configuration_is_read_without_a_warning(described):
    config, warnings = QueueConfig.parse(worker_config(described()).encode())
    assert not warnings
    assert config.redis_tls
    assert (config.redis_host, config.redis_user) == ("redis-service", "cs-worker")
    assert config.broker == "https://strongroom-broker:8080"
    assert config.redis_cert_file == config.redis_key_file == "/run/keys/worker/tls.pem"


def test_a_front_ends_configuration_is_read_without_a_warning():
    config, warnings = QueueConfig.parse(frontend_config().encode())
    assert not warnings
    assert config.redis_user == "cs-frontend"


@pytest.mark.parametrize("part", list(PartOf))
def test_a_parts_manifest_names_all_that_it_starts(described, part):
    roles = {PartOf.WORKER: Role.STREAMING_WORKER, PartOf.FRONTEND: Role.QUEUE_FRONTEND, PartOf.REDIS: Role.REDIS}
    found = app_files(roles[part], described())
    read = manifest.parse(found[manifest_name(part)].decode())
    assert read.argv[-len(words(part, described())) :] == words(part, described())
    trusted = {each.path for each in read.trusted_files}
    assert "/app/ca_cert.pem" in trusted
    if part is not PartOf.REDIS:
        assert {path for path in trusted if path.endswith(".yaml")}


def test_keys_come_sealed_wherever_there_is_a_tee(described):
    for part in PartOf:
        assert "--clear" not in words(part, described())
        assert "--clear" in command(part, described(), "nonsgx")
    assert app_files(Role.BROKER, described()) == {}
