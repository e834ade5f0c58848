"""The queue's enclaves: what they read is measured, sealed or memory, and the image has what the chart starts."""

import dataclasses

import pytest

from strongroom.clusterserving.config import QueueConfig
from strongroom.deploy.clouds.profiles import profile
from strongroom.deploy.cluster_serving.parts import PartOf, app_files, command
from strongroom.deploy.description import Description, Model, Records, Role, Tee
from strongroom.deploy.gramine import manifests, programs
from strongroom.deploy.gramine.places import PYTHON
from strongroom.deploy.gramine.queue import OPENED, queue_programs, redis, redis_memory_mib, worker, worker_config
from strongroom.deploy.images.roles import CONTENTS
from strongroom.gramine.manifests import KEY_NAME

DESCRIPTION = Description(tee=Tee.SGX, models=(Model(name="resnet50", path="models/resnet50"),))
CONFIGS = {"queue-worker": "gramine/app/queue-worker.yaml", "queue-frontend": "gramine/app/frontend.yaml"}


@pytest.fixture(scope="module")
def files():
    return manifests(DESCRIPTION, profile("generic"))


@pytest.mark.parametrize("program", queue_programs(DESCRIPTION, PYTHON), ids=lambda each: each.name)
def test_keys_come_sealed_through_a_mount_of_the_part_alone(program, files):
    text = files[f"gramine/{program.name}.manifest.template"].decode()
    assert "sgx.allowed_files = []" in text
    for each in program.encrypted:
        assert f'uri = "file:{each.host}", key_name = "{KEY_NAME}"' in text
        assert each.path == f"/{each.host}"  # what a file is bound to, from the root that programs start in
    assert f'loader.env.STRONGROOM_GRAMINE_KEY = "{KEY_NAME}"' in text
    assert "--clear" not in text


@pytest.mark.parametrize(("name", "place"), CONFIGS.items())
def test_kd_24_what_a_configuration_names_is_measured_or_opened_in_memory(name, place, files):
    found, warnings = QueueConfig.parse(files[place])
    assert not warnings
    (program,) = [each for each in programs(DESCRIPTION) if each.name == name]
    named = [value for value in dataclasses.asdict(found).values() if isinstance(value, str) and value.startswith("/")]
    assert len(named) >= 4
    inside = (*program.trusted, f"{OPENED}/")
    for path in named:
        assert any(path == each or (each.endswith("/") and f"{path}/".startswith(each)) for each in inside), path


def test_the_worker_takes_sealed_models_alone(files):
    found, _ = QueueConfig.parse(files["gramine/app/queue-worker.yaml"])
    assert (found.model_encrypted, found.record_encrypted, found.require_sealed) == (True, False, False)


@pytest.mark.parametrize(
    ("records", "wanted"), [(Records.SEALED_TOO, (True, False)), (Records.SEALED_ONLY, (True, True))]
)
def test_which_records_it_takes_is_measured_on_every_platform(records, wanted):
    for tee in (Tee.SGX, Tee.SIMULATED):
        described = dataclasses.replace(DESCRIPTION, tee=tee, records=records)
        found, warnings = QueueConfig.parse(worker_config(described, sealed=tee is Tee.SGX).encode())
        assert not warnings
        assert (found.record_encrypted, found.require_sealed) == wanted
    clear, _ = QueueConfig.parse(worker_config(described, clear=True).encode())
    assert (clear.record_encrypted, clear.broker) == (False, None)


def test_redis_files_are_sealed_and_its_memory_is_a_part_of_its_enclaves():
    program = redis(DESCRIPTION, PYTHON)
    assert "/data" in {each.path for each in program.encrypted}
    assert program.children
    assert f"--maxmemory={redis_memory_mib(DESCRIPTION)}mb" in program.argv
    assert redis_memory_mib(DESCRIPTION) * 4 == 4096


def test_only_redis_starts_other_programs():
    assert not worker(DESCRIPTION, PYTHON).children


@pytest.mark.parametrize("part", list(PartOf))
def test_what_the_chart_starts_is_in_the_image(part, files):
    runner, path = command(part, DESCRIPTION, "sgx")
    name = path.rpartition("/")[2]
    role = {PartOf.WORKER: Role.STREAMING_WORKER, PartOf.FRONTEND: Role.QUEUE_FRONTEND, PartOf.REDIS: Role.REDIS}[part]
    assert runner == "gramine-sgx"
    assert name in CONTENTS[role].enclaves
    assert f"gramine/{name}.manifest.template" in files
    assert app_files(role, DESCRIPTION) == {}  # all of it comes with the manifests
