"""The manifest of a simulated replica says what runs, and nothing that the host could choose."""

from __future__ import annotations

import pytest

from strongroom.deploy.description import Description, Model
from strongroom.deploy.gramine import PythonPlaces, app_files, replica_manifest
from strongroom.gramine import manifest
from strongroom.tfserving.config import parse_server_config

ONE = (Model(name="resnet", path="models/resnet"),)
TWO = (*ONE, Model(name="bert", path="models/bert"))


def words_of(description):
    argv = manifest.parse(replica_manifest(description)).argv
    return argv[argv.index("serve") + 1 :]


def test_a_replica_is_what_sim_run_reads():
    found = manifest.parse(replica_manifest(Description(models=ONE)))
    assert found.entrypoint == found.argv[0] == "/opt/strongroom/bin/python3"
    assert found.remote_attestation == "dcap"
    assert not found.debug
    paths = {each.path for each in found.trusted_files}
    assert paths >= {"/app/ca_cert.pem", "/app/owner_public.pem", "/app/monitoring.config", "/opt/strongroom/"}
    assert not any(path.startswith("/models") for path in paths)  # sealed models come with the pod
    assert not any(each.passthrough for each in found.env.values())


@pytest.mark.parametrize("models", [ONE, TWO], ids=["one", "two"])
def test_its_words_are_those_of_strongroom_serve(models):
    import argparse

    from strongroom.cli import serve

    parser = argparse.ArgumentParser()
    serve.arguments(parser)
    args = parser.parse_args(list(words_of(Description(models=models))))
    assert args.broker == "https://strongroom-broker:8080"


def test_several_models_are_listed_in_a_measured_file():
    description = Description(models=TWO)
    assert "--model_config_file=/app/models.config" in words_of(description)
    listed = parse_server_config(app_files(description)["models.config"].encode(), file="models.config")
    assert [(each.name, each.base_path) for each in listed.models] == [
        ("resnet", "/models/resnet"),
        ("bert", "/models/bert"),
    ]
    trusted = {each.path for each in manifest.parse(replica_manifest(description)).trusted_files}
    assert "/app/models.config" in trusted


def test_other_places_of_python_are_other_words():
    python = PythonPlaces(interpreter="/usr/bin/python3.12", folders=("/usr/lib/python3.12",))
    found = manifest.parse(replica_manifest(Description(models=ONE), python=python, isvsvn=7))
    assert found.entrypoint == "/usr/bin/python3.12"
    assert found.isvsvn == 7
