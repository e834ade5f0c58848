"""The Compose file: confined services, loopback ports, no secret, fields that the Compose Specification has."""

import pytest
import yaml

from strongroom.deploy.description import Description, Engine, Model, Role, Tee
from strongroom.deploy.fronts.compose import compose, compose_files

SERVICE_FIELDS = {  # of the Compose Specification, "services"
    "image", "entrypoint", "user", "read_only", "cap_drop", "security_opt", "tmpfs", "init", "restart", "pids_limit",
    "volumes", "networks", "ports", "healthcheck", "mem_limit", "cpus", "deploy", "depends_on", "devices",
    "stop_grace_period", "stop_signal",
}  # fmt: skip
HEALTHCHECK_FIELDS = {"test", "interval", "timeout", "retries", "start_period"}
VOLUME_FIELDS = {"type", "source", "target", "read_only", "bind"}


def read(description):
    return yaml.safe_load(compose(description))


@pytest.fixture(params=list(Tee))
def project(request):
    return read(Description(tee=request.param))


def test_only_fields_of_the_specification_are_used(project):
    assert project.keys() == {"name", "services", "networks"}
    for service in project["services"].values():
        assert service.keys() <= SERVICE_FIELDS
        assert service["healthcheck"].keys() == HEALTHCHECK_FIELDS
        assert all(volume.keys() <= VOLUME_FIELDS for volume in service["volumes"])


def test_dp_01_every_service_is_confined(project):
    for service in project["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "${STRONGROOM_USER:-10001:10001}"
        assert all("noexec,nosuid,nodev" in each for each in service["tmpfs"])
        assert "privileged" not in service


def test_ports_are_open_on_this_machine_alone(project):
    opened = [port for service in project["services"].values() for port in service.get("ports", [])]
    assert opened
    assert all(port.startswith("127.0.0.1:") for port in opened)


def test_dp_02_a_folder_that_is_not_there_is_not_made_and_models_are_read_only(project):
    volumes = project["services"]["model-server"]["volumes"]
    for service in project["services"].values():
        assert all(volume["bind"] == {"create_host_path": False} for volume in service["volumes"])
    (models,) = (volume for volume in volumes if volume["target"] == "/models")
    assert models["read_only"] is True


def test_the_sealed_tls_identity_is_where_the_measured_words_look_for_it():
    server = read(Description(models=(Model(name="a", path="../models/a"),)))["services"]["model-server"]
    found = {volume["target"]: volume["source"] for volume in server["volumes"]}
    assert found["/models/ssl.cfg"].endswith("}/../models/ssl.cfg")


def test_health_is_asked_by_what_the_image_holds():
    described = Description(tee=Tee.SGX, engine=Engine.TENSORFLOW_SERVING, broker="owner.example:4433")
    for service in read(described)["services"].values():
        assert service["healthcheck"]["test"][1] == "bash"


def test_the_keys_stay_with_their_owner_unless_all_is_a_simulation():
    assert "broker" in read(Description())["services"]
    for description in (Description(tee=Tee.SGX), Description(tee=Tee.TDX), Description(broker="owner.example:4433")):
        project = read(description)
        assert "broker" not in project["services"]
        assert "depends_on" not in project["services"]["model-server"]
        assert project["networks"]["replicas"] == {"internal": False}


def test_replicas_models_and_images_are_those_of_the_description():
    pinned = "registry.example/strongroom-model-server@sha256:" + "a" * 64
    project = read(
        Description(
            replicas=3,
            models=(Model(name="a", path="models/a"), Model(name="b", path="elsewhere/b")),
            images={Role.MODEL_SERVER: pinned},
        )
    )
    server = project["services"]["model-server"]
    assert server["deploy"]["replicas"] == 3
    assert server["image"] == pinned
    found = {volume["target"]: volume["source"] for volume in server["volumes"]}
    assert found["/models/a"].endswith("/models/a")
    assert found["/models/b"].endswith("/elsewhere/b")


def test_only_the_tee_of_the_description_gets_its_devices():
    assert "devices" not in read(Description())["services"]["model-server"]
    sgx = read(Description(tee=Tee.SGX))["services"]["model-server"]
    assert [each.split(":")[0] for each in sgx["devices"]] == ["/dev/sgx_enclave", "/dev/sgx_provision"]
    assert "/var/run/aesmd" in [each["target"] for each in sgx["volumes"]]


def test_tensorflow_servings_rest_is_clear_text_and_stays_closed():
    files = compose_files(Description(tee=Tee.SGX, engine=Engine.TENSORFLOW_SERVING))
    assert yaml.safe_load(files["compose.yaml"])["services"]["front"]["ports"] == ["127.0.0.1:8500:8500"]
    assert b"8501" not in files["nginx.conf"]


def test_nginx_finds_each_container_of_the_service_by_composes_own_dns():
    text = compose_files(Description())["nginx.conf"].decode()
    assert "resolver 127.0.0.11 valid=2s" in text
    assert "model-server:8500;" in text
