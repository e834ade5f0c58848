"""A whole rendering: what is in it, that it is the same each time, and that nothing in it is a key."""

import base64
import contextlib
import json
import os
import random
import secrets
import subprocess
import sys
import tomllib
from datetime import UTC, datetime

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.clouds import names, profile
from strongroom.deploy.description import Autoscaling, Description, Flavour, Front, Model, Role, Tee
from strongroom.deploy.kubernetes import objects
from strongroom.deploy.opening import NothingPublished, open_deployment
from strongroom.deploy.readme import next_commands
from strongroom.deploy.rendering import render
from strongroom.deploy.secret_scan import SecretInTree, refuse_secrets
from strongroom.pki import Authority
from strongroom.secret import Secret
from strongroom.workspace import Workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PUBLISHED_KEY = "dda09c7c52359c9bc4e51982b97dd7fe"  # the reference solution's wrap key, in everybody's hands
MODELS = (Model(name="resnet50-v15-fp32", path="models/resnet50-v15-fp32"),)
RENDER = """
import hashlib, sys
from strongroom.deploy.clouds import profile
from strongroom.deploy.description import Autoscaling, Description, Model, Tee
from strongroom.deploy.rendering import render
tree = render(Description(tee=Tee(sys.argv[1]), models=(Model(name="m", path="m"),),
                          autoscaling=Autoscaling(least=1, most=3, requests_in_flight=8)), profile("generic"))
for path, content in tree.items():
    print(path, hashlib.sha256(content).hexdigest())
"""


@pytest.fixture(scope="module")
def public_files():
    authority = Authority.create("Strongroom owner CA", now=NOW)
    return {"ca_cert.pem": authority.certificate_pem.decode()}


@pytest.fixture(scope="module")
def tree(public_files):
    return render(Description(models=MODELS), profile("generic"), public_files)


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "workspace", now=NOW)


def test_every_part_has_its_place(tree):
    assert {path.split("/")[0] for path in tree} >= {
        "README.md", "kubernetes", "chart", "values.yaml", "gramine", "images", "compose", "systemd", "nginx",
        "haproxy", "monitoring",
    }  # fmt: skip
    assert {"monitoring/alerts.yaml", "monitoring/dashboard.json", "kubernetes/00-namespace.yaml"} <= tree.keys()
    assert {f"images/{role}/Containerfile" for role in Role} <= tree.keys()


def test_the_numbered_files_hold_all_objects_in_the_order_in_which_they_are_applied(tree, public_files):
    files = [content for path, content in tree.items() if path.startswith("kubernetes/")]
    found = [each for content in files for each in yaml.safe_load_all(content)]
    assert found == list(objects(Description(models=MODELS), profile("generic"), public_files))


def test_every_file_is_what_its_name_says(tree):
    for path, content in tree.items():
        if path.endswith(".json"):
            json.loads(content)
        if path.endswith(".manifest"):
            tomllib.loads(content.decode())
        if path.endswith((".yaml", ".yml")) and not path.startswith("chart/templates/"):
            list(yaml.safe_load_all(content))
        assert content.endswith(b"\n")
        assert b"\r" not in content


@pytest.mark.parametrize("tee", [Tee.SIMULATED, Tee.SGX])
def test_two_processes_render_the_same_bytes(tee, tmp_path):
    outputs = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": str(number), "TZ": f"Etc/GMT{number}", "HOME": str(folder)}
        argv = [sys.executable, "-c", RENDER, tee.value]
        outputs.append(subprocess.run(argv, cwd=folder, env=environment, capture_output=True, check=True).stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") > 30


@pytest.mark.parametrize("cloud", names())
def test_every_cloud_and_tee_renders_and_holds_no_key(cloud, public_files):
    fronts, flavours = list(Front), list(Flavour)
    for number, tee in enumerate(Tee):
        described = Description(
            tee=tee, cloud=cloud, front=fronts[number], flavour=flavours[number], models=MODELS,
            broker=None if number else "https://broker.example.com:8080",
            autoscaling=Autoscaling(least=1, most=4, requests_in_flight=8) if number else None,
        )  # fmt: skip
        assert len(render(described, profile(cloud), public_files)) > 30


SPELLINGS = {
    "prefixed": lambda key: f"0x{key.hex()}",
    "with colons": lambda key: key.hex(":"),
    "with spaces, in capitals": lambda key: key.hex(" ").upper(),
    "broken up": lambda key: f"{key.hex()[:14]}-{key.hex()[14:]}",
    "of C": lambda key: "".join(f"\\x{each:02x}" for each in key),
    "numbers": lambda key: ", ".join(map(str, key)),
    "base32": lambda key: base64.b32encode(key).decode(),
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_sa_01_a_key_is_found_however_its_bytes_are_spelled(spelled):
    for length in (16, 32):
        key = spelled(bytes((each * 37 + 11) % 256 for each in range(length)))
        with pytest.raises(SecretInTree, match="line 2") as caught:
            refuse_secrets({"a.yaml": f"x: y\nkey: {key}\n".encode()})
        assert key not in str(caught.value)


def test_numbers_and_words_that_are_no_bytes_pass():
    refuse_secrets({"a.yaml": b"ports: 8500, 8501, 8502, 4433, 8080, 8443, 443, 80, 81, 82, 83, 84, 85, 86, 87, 88\n"
                              b"same: 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\n"
                              b"word: INTERNALUNAVAILABLEUNKNOWNDATALOSS\n"})  # fmt: skip


def test_a_private_key_is_refused_with_file_and_line():
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(SecretInTree) as caught:
        refuse_secrets({"a.yaml": b"x: y\nkey: |\n" + key})
    assert caught.value.code == "SR-RENDER-SECRET"
    assert caught.value.sentence == "a.yaml, line 3: a private key"


@pytest.mark.parametrize("spelled", [PUBLISHED_KEY, PUBLISHED_KEY.upper(), f"--wrap-key={PUBLISHED_KEY}", "ab" * 16])
def test_sa_01_a_key_that_everybody_knows_is_refused(spelled):
    with pytest.raises(SecretInTree) as caught:
        refuse_secrets({"deep/a.toml": f"# one\n\nkey = '{spelled}'\n".encode()})
    assert caught.value.sentence.startswith("deep/a.toml, line 3: ")
    assert spelled not in caught.value.sentence


@pytest.mark.parametrize("size", [16, 32, 48])
def test_dp_03_random_bytes_are_refused_however_they_are_spelled(size):
    chance = random.Random(size)  # the same bytes each time: one word in 50,000 has not a single digit
    for _ in range(200):
        raw = chance.randbytes(size)
        for spelled in (raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode()):
            with pytest.raises(SecretInTree) as caught:
                refuse_secrets({"values.yaml": f"password: {spelled}\n".encode()})
            assert spelled not in str(caught.value)


@pytest.mark.parametrize(
    "spelled",
    [
        "/V2T23UbU5qnp/AFCT7pBiuyM7JRR9ADBs66b/bp/HcFzQuF9rEmDAZKTW+yPNr7",
        "/ZYXPofzZ3Ouxd/TeQzgX1+urQ2OE3y0scUi/claSlxWRD4TQIF9/U6fVmZij5xk",
        "/gDAui69mzHgDa1qn//e4xwZ7jB3icHAad/YuCSnjVfbj/oNYDANLN0iQl6KoXxA",
    ],
)
def test_dp_03_random_bytes_that_begin_as_a_path_does_are_refused(spelled):
    with pytest.raises(SecretInTree):
        refuse_secrets({"values.yaml": f"password: {spelled}\n".encode()})


@pytest.mark.parametrize(
    "around", ["wrap: [%s, b]", "{key: %s}", "user:%s@h", "--key=%s,--x", "(%s)", "x=%s&y=1", "<k>%s</k>", "%s."]
)
@pytest.mark.parametrize("size", [16, 32])
def test_dp_03_padded_base64_is_refused_whatever_stands_around_it(around, size):
    chance = random.Random(size)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for _ in range(50):
            line = around % encode(chance.randbytes(size)).decode()
            with pytest.raises(SecretInTree):
                refuse_secrets({"values.yaml": line.encode()})


@pytest.mark.parametrize(
    "path",
    [
        "/opt/strongroom/lib/python3.11/site-packages/strongroom/deploy",
        "/Users/JohnDoe/Models/ResNet50V1/EfficientNetV2B0/7/Variables01",
        "/srv/TensorFlow/Serving/InceptionResNetV2/2026/Quarter4/Build17/",
        "/models/EfficientNetV2B0/EfficientNetV2B1/EfficientNetV2B2/12345",
    ],
)
def test_a_path_is_no_key_however_its_folders_are_called(path):
    refuse_secrets({"values.yaml": f"model: {path}\n".encode()})


def test_a_file_that_is_no_text_or_hides_in_a_long_line_is_refused():
    with pytest.raises(SecretInTree, match="not text"):
        refuse_secrets({"a": b"\xff\xfe\x00" + bytes(16)})
    with pytest.raises(SecretInTree, match="too long"):
        refuse_secrets({"a": b"a " * 40_000})


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_whatever_is_rendered_is_let_through_or_refused_in_words(content):
    with contextlib.suppress(SecretInTree):
        refuse_secrets({"a": content})


def test_what_is_public_is_let_through(public_files):
    digest = "0123456789abcdef" * 4
    text = f"""\
image: localhost:5000/strongroom-broker@sha256:{digest}
mrenclave = "{digest}"
ExecStart=/opt/strongroom/bin/python3 -I -m strongroom serve --model_base_path=/models/EfficientNetV2B0/7
{public_files["ca_cert.pem"]}"""
    refuse_secrets({"a": text.encode()})


def test_a_readme_says_what_this_rendering_needs(tree, public_files):
    simulated = tree["README.md"].decode()
    assert "keeps nothing secret" in simulated
    assert "coredns/" not in simulated
    described = Description(tee=Tee.SGX, cloud="aks", broker="b.example.com:4433", models=MODELS, front=Front.INGRESS)
    found = render(described, profile("aks"), public_files)
    text = found["README.md"].decode()
    assert "`privileged`" in text
    assert "b.example.com:4433" in text
    assert "--enable-ssl-passthrough" in text
    assert all(f"`{path.split('/')[0]}" in text or "/" not in path for path in found)


def test_an_old_name_of_the_broker_leads_to_its_service(public_files):
    described = Description(broker="https://broker.example.com:8080", models=MODELS)
    block = render(described, profile("generic"), public_files)["coredns/attestation.server"].decode()
    assert "rewrite name exact attestation.service.com strongroom-broker.strongroom.svc.cluster.local" in block
    itself = Description(broker="attestation.service.com:4433", models=MODELS)
    assert "coredns/attestation.server" not in render(itself, profile("generic"), public_files)


def test_images_come_before_the_cluster_unless_they_are_pinned():
    assert next_commands(Description(models=MODELS[:1]))[0] == (
        f"strongroom deploy build --push --trust model/{MODELS[0].name}/1-"
    )
    assert "--sign" in next_commands(Description(tee=Tee.SGX))[0]
    assert (
        next_commands(Description(images={Role.MODEL_SERVER: "a@sha256:" + "0" * 64}))[0] == "strongroom deploy apply"
    )


def test_a_workspace_without_a_model_has_nothing_to_deploy(workspace):
    with pytest.raises(NothingPublished) as caught:
        open_deployment(workspace)
    assert caught.value.code == "SR-DEPLOY-NO-MODEL"


def test_every_published_model_is_deployed_unless_some_are_named(workspace):
    workspace.secrets.put("model/b/1", Secret(secrets.token_bytes(16)))
    workspace.secrets.put("model/a/1", Secret(secrets.token_bytes(16)))
    workspace.secrets.put("model/a/2", Secret(secrets.token_bytes(16)))
    (workspace.folder.parent / "models/a").mkdir(parents=True)
    (workspace.folder / "models/b").mkdir(parents=True)
    found = open_deployment(workspace, kubernetes=(1, 20))
    assert [(each.name, each.path) for each in found.description.models] == [("a", "../models/a"), ("b", "models/b")]
    assert found.description.kubernetes == (1, 20)
    assert set(found.public_files) == {"ca_cert.pem", "owner_public.pem"}
