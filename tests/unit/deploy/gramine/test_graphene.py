"""Manifests for Graphene: 1.2-rc1 in TOML, 1.1 in its own lines, both from the same program."""

from __future__ import annotations

import tomllib

import pytest

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import Description, Engine, Model, Tee
from strongroom.deploy.gramine import manifests, programs
from strongroom.gramine.lint import lint
from strongroom.gramine.manifests import Program, graphene
from strongroom.gramine.versions import GramineVersion

DESCRIPTION = Description(
    tee=Tee.SGX, models=(Model(name="resnet50", path="models/resnet50"),), gramine="graphene",
    engine=Engine.TENSORFLOW_SERVING,
)  # fmt: skip


def settings_of(text):
    """Return the settings of a Graphene 1.1 manifest, read by its own rules: one `key = value` a line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.split(" = ", 1) for line in lines]
    assert all(len(pair) == 2 for pair in pairs)
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def flattened(table, above=""):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("program", programs(DESCRIPTION), ids=lambda program: program.name)
def test_1_2_rc1_is_toml_without_errors_of_the_linter(program):
    text = graphene.render_toml(program)
    document = tomllib.loads(text)
    assert document["sgx"]["debug"] is False
    assert "{{" not in text
    assert [found for found in lint(text, version=GramineVersion.V1_0) if found.is_error] == []


@pytest.mark.parametrize("program", programs(DESCRIPTION), ids=lambda program: program.name)
def test_both_forms_say_the_same(program):
    old = settings_of(graphene.render_text(program))
    new = dict(flattened(tomllib.loads(graphene.render_toml(program))))
    renamed = {"loader.exec", "loader.debug_type", "libos.entrypoint", "loader.log_level"}
    truth = {"1": "true", "0": "false"}
    switches = {"sgx.remote_attestation", "sgx.debug", "sys.enable_sigterm_injection"}
    same = {key: truth[value] if key in switches else value for key, value in old.items() if key not in renamed}
    assert same == {key: value for key, value in new.items() if key not in renamed}
    assert old["loader.exec"] == f"file:{new['libos.entrypoint']}"


def test_the_model_is_protected_and_the_key_comes_in_hex():
    settings = settings_of(
        manifests(DESCRIPTION, GENERIC)["gramine/graphene-1.1/tensorflow_model_server.manifest.template"].decode()
    )
    assert settings["sgx.protected_files.p00"] == "file:models/resnet50/"
    assert settings["loader.env.SECRET_PROVISION_SET_PF_KEY"] == "1"
    assert settings["sgx.remote_attestation"] == "1"
    assert not [key for key in settings if "allowed_files" in key or "insecure" in key]


def test_a_value_that_1_1_cannot_write_is_refused():
    program = Program(name="x", title="X", argv=("/x",), env={"A": 'b"c'}, trusted=("/x",))
    with pytest.raises(graphene.GrapheneUnable) as caught:
        graphene.render_text(program)
    assert caught.value.code == "SR-GRAPHENE-VALUE"
    assert 'loader.env.A = "b\\"c"' in graphene.render_toml(program)
