"""Container files: for every role, flavour and TEE; clean by an outside linter, without secrets, the same each time."""

import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import Description, Engine, Flavour, Model, Role, Tee
from strongroom.deploy.images import containerfiles
from strongroom.deploy.images.containerfile import keys, labels
from strongroom.deploy.images.recipe import recipe

HADOLINT = Path(sys.executable).with_name("hadolint")
MODELS = (Model(name="resnet50", path="models/resnet50"),)
EVERY = [Description(flavour=flavour, tee=tee, models=MODELS) for flavour, tee in product(Flavour, Tee)]
TENSORFLOW = Description(tee=Tee.SGX, engine=Engine.TENSORFLOW_SERVING, models=MODELS)


def lines_of(description, role):
    return containerfiles(description, GENERIC)[f"images/{role}/Containerfile"].decode().splitlines()


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed beside this Python")
def test_an_outside_linter_finds_nothing():
    texts = {
        content
        for description in [*EVERY, TENSORFLOW]
        for path, content in containerfiles(description, GENERIC).items()
        if path.endswith("Containerfile")
    }
    for text in sorted(texts):
        done = subprocess.run([HADOLINT, "--no-color", "-"], input=text, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout.decode() + text.decode()


@pytest.mark.parametrize("description", EVERY, ids=lambda each: f"{each.flavour}-{each.tee}")
def test_every_image_runs_as_a_user_of_its_own_from_the_root(description):
    for role in Role:
        lines = lines_of(description, role)
        assert "USER 10001:10001" in lines
        assert "WORKDIR /" in lines


def test_the_same_description_gives_the_same_bytes():
    for description in EVERY:
        assert containerfiles(description, GENERIC) == containerfiles(description, GENERIC)


@pytest.mark.parametrize("description", [*EVERY, TENSORFLOW], ids=str)
def test_sa_04_no_base_is_named_by_a_tag_that_somebody_else_may_move(description):
    for role in Role:
        lines = lines_of(description, role)
        [base] = [line.removeprefix("ARG BASE").removeprefix("=") for line in lines if line.startswith("ARG")]
        assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BASE}"]
        own = description.image(Role.MODEL_SERVER) if role is Role.MODELS else None
        made_here = re.fullmatch(r"localhost/strongroom-base:bookworm-[0-9a-f]{16}", base)
        assert base in {"", own} or made_here, base
        assert not [line for line in lines if line.startswith("ADD") or "curl" in line or "wget" in line]


def test_sa_01_nothing_that_could_carry_a_key_enters():
    for description in [*EVERY, TENSORFLOW]:
        for path, content in containerfiles(description, GENERIC).items():
            assert not re.search(rb"(?i)secret|password|passwd|token|private", content), path
            if path.endswith("Containerfile"):
                assert re.findall(rb"(?m)^ARG (\w+)", content) == [b"BASE"]


def test_an_ignore_file_admits_the_folders_that_are_copied_and_nothing_else():
    for description in [*EVERY, TENSORFLOW]:
        files = containerfiles(description, GENERIC)
        for role in Role:
            ignored = files[f"images/{role}/.containerignore"].decode().splitlines()
            assert ignored[1] == "*"
            copied = {line.split()[-2].split("/")[0] for line in lines_of(description, role) if line.startswith("COPY")}
            assert {line.removeprefix("!") for line in ignored[2:]} == copied


def test_gramine_is_installed_for_sgx_alone_and_from_its_distributors_repository_under_a_key():
    simulated, real = Description(models=MODELS), Description(tee=Tee.SGX, models=MODELS)
    assert not any("gramine" in line for line in lines_of(simulated, Role.MODEL_SERVER))
    assert any("apt-get install" in line and " gramine " in line for line in lines_of(real, Role.MODEL_SERVER))
    sources = containerfiles(real, GENERIC)["images/model-server/repositories/strongroom.list"].decode().splitlines()
    assert sources
    assert all("signed-by=/etc/apt/keyrings/" in line and "https://" in line for line in sources)
    assert [line.split("signed-by=/etc/apt/keyrings/")[1].split("]")[0] for line in sources] == list(
        keys(Role.MODEL_SERVER, real)
    )


def test_a_broker_outside_of_the_cluster_needs_no_enclave():
    outside = Description(tee=Tee.SGX, broker="attestation.service.com:4433", models=MODELS)
    assert not any("gramine" in line for line in lines_of(outside, Role.BROKER))
    assert 'ENTRYPOINT ["gramine-sgx"]' in lines_of(Description(tee=Tee.SGX, models=MODELS), Role.BROKER)


def test_azure_brings_its_own_quote_provider():
    azure = Description(tee=Tee.SGX, flavour=Flavour.AZURE, models=MODELS)
    text = "\n".join(lines_of(azure, Role.MODEL_SERVER))
    assert "az-dcap-client" in text
    assert "libsgx-dcap-default-qpl" not in text


def test_tensorflow_serving_stands_on_a_base_that_has_it_and_brings_no_python():
    lines = lines_of(TENSORFLOW, Role.MODEL_SERVER)
    assert recipe(Role.MODEL_SERVER, TENSORFLOW) is None
    assert 'CMD ["/app/tensorflow_model_server"]' in lines
    assert not any("/opt/strongroom" in line for line in lines)


def test_tensorflow_serving_finds_its_sealed_ssl_cfg_at_the_path_that_it_is_bound_to():
    lines = lines_of(TENSORFLOW, Role.MODEL_SERVER)
    link = f"/ssl/{TENSORFLOW.models[0].name}/1/ssl.cfg"
    assert f"RUN mkdir -p {link.removesuffix('/ssl.cfg')} && ln -s /models/ssl.cfg {link}" in lines


def test_a_root_is_named_by_what_it_is_made_of():
    names = {recipe(role, Description()).reference for role in (Role.CLIENT, Role.BROKER, Role.MODEL_SERVER)}
    assert len(names) == 1
    assert recipe(Role.FRONT, Description()).reference not in names


def test_an_image_says_what_it_is():
    found = labels(Role.BROKER, Description(flavour=Flavour.AZURE))
    assert found["org.opencontainers.image.title"] == "Strongroom: key broker"
    assert (found["org.strongroom.role"], found["org.strongroom.flavour"]) == ("broker", "azure")
