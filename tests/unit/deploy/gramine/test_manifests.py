"""Every manifest of every program, for every release, is one that the linter has nothing against."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import (
    GRAMINE_VERSIONS,
    SIZES,
    DeployMalformed,
    Description,
    Engine,
    Flavour,
    Model,
    Size,
    Tee,
)
from strongroom.deploy.gramine import manifests, programs
from strongroom.gramine import versions
from strongroom.gramine.lint import lint
from strongroom.gramine.manifests import argv_file
from strongroom.gramine.versions import GramineVersion

MODELS = (Model(name="resnet50", path="models/resnet50"),)
RELEASES = [each for each in GRAMINE_VERSIONS if each != "graphene"]
NAMES = ("model-server", "tensorflow_model_server", "broker", "streaming-worker", "queue-worker", "queue-frontend",
         "redis", "spark-driver", "spark-executor", "flink-jobmanager", "flink-taskmanager")  # fmt: skip


def described(**words):
    return Description(**{"tee": Tee.SGX, "models": MODELS, **words})


def every_template(gramine, size=Size.SMALL):
    for engine in Engine:
        tree = manifests(described(gramine=gramine, engine=engine, resources=SIZES[size]), GENERIC)
        for path, content in tree.items():
            if path.endswith(".manifest.template"):
                yield path.removeprefix("gramine/").removesuffix(".manifest.template"), content.decode()


@pytest.mark.parametrize("size", Size)
@pytest.mark.parametrize("release", RELEASES)
def test_no_rendered_manifest_has_a_finding(release, size):
    found = dict(every_template(release, size))
    assert set(found) == set(NAMES)
    for name, text in found.items():
        findings = lint(text, version=versions.parse(release))
        assert not findings, (name, findings)


@pytest.mark.parametrize("release", RELEASES)
def test_manifests_are_toml_once_gramine_has_filled_in_its_folders(release):
    for name, text in every_template(release):
        filled = re.sub(r"\{\{ gramine\.(\w+)(\(\))? \}\}", r"/usr/lib/gramine/\1", text)
        document = tomllib.loads(filled)
        assert "{{" not in filled
        assert document["sgx"]["allowed_files"] == []
        assert document["sgx"]["debug"] is False
        assert document["sys"]["enable_sigterm_injection"] is True
        assert document["libos"]["entrypoint"].startswith("/"), name


def test_the_same_description_gives_the_same_bytes():
    one, other = (manifests(described(gramine="1.9"), GENERIC) for _ in range(2))
    assert one == other
    assert list(one) == sorted(one)


@pytest.mark.parametrize("release", ["graphene", "1.0", "1.1", "1.2"])
def test_before_1_3_arguments_are_a_trusted_file(release):
    tree = manifests(described(gramine=release), GENERIC)
    text = tree["gramine/model-server.manifest.template"].decode()
    assert 'loader.argv_src_file = "file:/app/model-server.argv"' in text
    assert '"file:/app/model-server.argv"' in text.partition("trusted_files")[2]
    words = argv_file.parse(tree["gramine/app/model-server.argv"])
    assert words == programs(described())[0].argv
    assert "loader.argv =" not in text


def test_since_1_3_arguments_stand_in_the_manifest():
    tree = manifests(described(gramine="1.3.1"), GENERIC)
    assert not [path for path in tree if path.endswith("server.argv")]
    document = tree["gramine/model-server.manifest.template"].decode()
    assert '"--broker=https://strongroom-broker:8080",' in document


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        ("1.0", 'loader.env.SECRET_PROVISION_SET_PF_KEY = "1"'),
        ("1.2", 'loader.env.SECRET_PROVISION_SET_PF_KEY = "1"'),
        ("1.3.1", 'loader.env.SECRET_PROVISION_SET_KEY = "default"'),
        ("1.9", 'loader.env.SECRET_PROVISION_SET_KEY = "default"'),
        ("graphene", 'loader.env.SECRET_PROVISION_SET_PF_KEY = "1"'),
    ],
)
def test_the_key_is_asked_for_as_the_release_does(release, wanted):
    tree = manifests(described(gramine=release, engine=Engine.TENSORFLOW_SERVING), GENERIC)
    text = tree["gramine/tensorflow_model_server.manifest.template"].decode()
    assert wanted in text
    assert text.count("SECRET_PROVISION_SET_") == 1


@pytest.mark.parametrize("release", RELEASES)
def test_the_whole_model_directory_is_encrypted_at_the_path_its_files_are_bound_to(release):
    tree = manifests(described(gramine=release, engine=Engine.TENSORFLOW_SERVING), GENERIC, ssl_version=3)
    text = tree["gramine/tensorflow_model_server.manifest.template"].decode()
    if versions.parse(release) >= GramineVersion.V1_2:
        assert '{ type = "encrypted", path = "/models/resnet50", uri = "file:models/resnet50", key_name' in text
        assert 'uri = "file:ssl/resnet50/3/ssl.cfg"' in text
    else:
        assert 'sgx.protected_files = [\n  "file:models/resnet50/",\n  "file:ssl/resnet50/3/ssl.cfg",\n]' in text


def test_nothing_sealed_is_an_allowed_file_and_no_key_is_written():
    for release in RELEASES:
        for _, text in every_template(release):
            assert "sgx.allowed_files = []" in text
            assert "insecure__" not in text
            assert "passthrough" not in text


MUTATIONS = [
    ("M01", "loader.log_level", "loader.insecure__use_cmdline_argv = true\nloader.log_level"),
    ("M02", "sgx.debug = false", "sgx.debug = true"),
    ("M03", "sgx.allowed_files = []", 'sgx.allowed_files = ["file:/models/ssl.cfg"]'),
    ("M04", '"strict"', '"allow_all_but_log"'),
    ("M05", "sgx.debug = false", 'sgx.debug = false\nfs.insecure__keys.default = "00112233445566778899aabbccddeeff"'),
    ("M06", 'SET_KEY = "default"', 'SET_KEY = "other"'),
    ("M07", 'sgx.remote_attestation = "dcap"', 'sgx.remote_attestation = "none"'),
    ("M08", '  "file:/app/ca_cert.pem",\n', ""),
    ("M09", 'sgx.trusted_files = [\n', 'sgx.trusted_files = [\n  "file:models/resnet50/1/saved_model.pb",\n'),
    ("M10", "sgx.max_threads", "sgx.thread_num"),
    ("M12", 'sgx.enclave_size = "4G"', 'sgx.enclave_size = "3G"'),
    ("M15", '  "file:/usr/bin/tensorflow_model_server",\n', ""),
    ("M16", '"file:models/resnet50"', '"file:./models/resnet50"'),
    ("M18", "strongroom-broker:4433", "10.0.0.1:4433"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "old", "new"), MUTATIONS, ids=[rule for rule, _, _ in MUTATIONS])
def test_each_weakening_of_a_rendered_manifest_is_found(rule, old, new):
    tree = manifests(described(engine=Engine.TENSORFLOW_SERVING), GENERIC)
    text = tree["gramine/tensorflow_model_server.manifest.template"].decode()
    assert old in text
    assert rule in {finding.rule.id for finding in lint(text.replace(old, new)) if finding.is_error}


def test_sizes_come_from_the_description():
    seed = manifests(described(resources=SIZES[Size.SEED]), GENERIC)["gramine/model-server.manifest.template"].decode()
    assert "sgx.max_threads = 400" in seed
    assert 'sgx.enclave_size = "4G"' in seed


def test_tensorflow_serving_has_one_model_since_it_gets_one_key():
    two = (*MODELS, Model(name="bert", path="models/bert"))
    with pytest.raises(DeployMalformed, match="one key"):
        manifests(described(models=two, engine=Engine.TENSORFLOW_SERVING), GENERIC)


def test_only_sgx_has_gramine_manifests():
    simulated = manifests(Description(models=MODELS), GENERIC)
    assert list(simulated) == ["gramine/app/monitoring.config", "gramine/app/replica.manifest"]
    assert list(manifests(Description(models=MODELS, tee=Tee.TDX), GENERIC)) == ["gramine/app/monitoring.config"]


def test_jvms_start_through_the_launcher_and_nothing_else():
    for name in ("spark-executor", "flink-taskmanager"):
        text = manifests(described(), GENERIC)[f"gramine/{name}.manifest.template"].decode()
        document = tomllib.loads(re.sub(r"\{\{[^}]*\}\}", "/x", text))
        argv = document["loader"]["argv"]
        assert argv[argv.index("-m") + 1] == "strongroom.launcher"
        assert f"--role={name}" in argv
        assert document["sys"]["disallow_subprocesses"] is True


def test_a_broker_outside_is_named_in_both_protocols():
    words = manifests(described(broker="keys.example.com:5000", engine=Engine.TENSORFLOW_SERVING), GENERIC)
    text = words["gramine/tensorflow_model_server.manifest.template"].decode()
    assert 'SECRET_PROVISION_SERVERS = "keys.example.com:5000"' in text
    words = manifests(described(broker="https://keys.example.com:8080", engine=Engine.TENSORFLOW_SERVING), GENERIC)
    text = words["gramine/tensorflow_model_server.manifest.template"].decode()
    assert 'SECRET_PROVISION_SERVERS = "keys.example.com:4433"' in text


def test_numbers_for_policies_can_be_set():
    tree = manifests(described(), GENERIC, isvprodid=7, isvsvn=3)
    for path, content in tree.items():
        if path.endswith(".template"):
            assert "sgx.isvprodid = 7\nsgx.isvsvn = 3\n" in content.decode()
    simulated = manifests(Description(models=MODELS), GENERIC, isvsvn=3)["gramine/app/replica.manifest"].decode()
    assert "sgx.isvsvn = 3" in simulated


@pytest.mark.parametrize("release", ["graphene", "1.0", "1.1", "1.2"])
def test_releases_that_resolve_no_names_read_a_measured_list_of_them(release):
    tree = manifests(described(gramine=release), GENERIC)
    assert "ADDRESS strongroom-broker" in tree["gramine/app/hosts"].decode()
    text = tree["gramine/model-server.manifest.template"].decode()
    assert '"/etc/hosts"' in text
    assert '"file:/app/hosts"' in text.partition("trusted_files")[2]


def test_an_enclave_of_a_size_that_sgx_does_not_have_is_refused():
    odd = replace(SIZES[Size.SMALL], enclave_size="3G")
    with pytest.raises(DeployMalformed, match="power of two"):
        manifests(described(resources=odd), GENERIC)


def test_gramine_cannot_check_a_broker_that_is_an_address():
    with pytest.raises(DeployMalformed, match="names"):
        manifests(described(broker="10.0.0.1:4433"), GENERIC)


NAME = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True)
MODEL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
BROKER = st.none() | st.from_regex(r"(https://)?[a-z][a-z0-9-]{0,10}\.example\.com:[1-9][0-9]{0,3}", fullmatch=True)


DESCRIPTION = st.fixed_dictionaries(
    {
        "name": NAME,
        "models": MODEL.map(lambda name: (Model(name=name, path="x"),)),
        "broker": BROKER,
        "gramine": st.sampled_from(RELEASES),
        "engine": st.sampled_from(Engine),
        "flavour": st.sampled_from(Flavour),
        "resources": st.builds(
            lambda size, threads: replace(SIZES[Size.SMALL], enclave_size=size, max_threads=threads),
            st.sampled_from(["512M", "4G", "64G"]),
            st.integers(4, 4096),
        ),
    }
)


@settings(max_examples=40)
@given(DESCRIPTION)
def test_no_description_makes_a_manifest_with_an_error(words):
    for path, content in manifests(described(**words), GENERIC).items():
        if path.endswith(".template"):
            found = lint(content.decode(), version=versions.parse(words["gramine"]))
            assert not [each for each in found if each.is_error], path


@pytest.mark.parametrize("release", RELEASES)
def test_no_place_in_the_enclave_is_mounted_twice_where_packages_put_gramine(release):
    for name, text in every_template(release):
        filled = text.replace("{{ gramine.libdir }}", "/usr/lib/x86_64-linux-gnu")
        filled = re.sub(r"\{\{[^}]*\}\}", "/usr/lib/x86_64-linux-gnu/gramine/runtime/glibc", filled)
        mounts = tomllib.loads(filled)["fs"]
        listed = mounts["mounts"] if "mounts" in mounts else mounts["mount"].values()
        paths = [each["path"] for each in listed]
        assert len(set(paths)) == len(paths), name


def test_what_a_manifest_trusts_of_app_is_rendered_or_the_owners():
    tree = manifests(described(gramine="1.2"), GENERIC)
    for path, content in tree.items():
        if path.endswith(".template"):
            trusted = re.findall(r'"file:/app/([^"]+)"', content.decode().partition("trusted_files")[2])
            rendered = {each[12:] for each in tree if "/app/" in each}
            folders = {each.rpartition("/")[0] + "/" for each in rendered if "/" in each}
            assert set(trusted) <= {"ca_cert.pem", "owner_public.pem", *rendered, *folders}
