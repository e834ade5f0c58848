"""The owner's first commands, as typed: init, certs, model publish."""

import json
import shutil
import stat
import subprocess
import sys

import onnx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from onnx import TensorProto, helper

from strongroom.broker.keyring.opening import open_keyring, secret_names
from strongroom.bundles import open_bundle, open_ssl_config
from strongroom.cli import main
from strongroom.pki import signing, ssl_cfg
from strongroom.workspace import Workspace


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Runs a command line; returns what it printed, after checking the exit status."""

    def command(line, status=0):
        assert main(line.split()) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return command


@pytest.fixture
def workspace(run, here):
    run("init")
    return here / "strongroom-workspace"


@pytest.fixture
def model(here):
    folder = here / "model"
    folder.mkdir()
    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["predict"])],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("predict", TensorProto.FLOAT, ["batch", 3])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.save(made, folder / "model.onnx")
    return folder


PUBLISH = "model publish model --name tiny --version 1"


def kept(workspace, name):
    """Return a secret of the workspace's store; no file of it is left."""
    owner = Workspace.open(workspace)
    assert owner.secrets.names() == ()
    keyring = open_keyring(owner)
    try:
        return keyring.get("default", name)
    finally:
        keyring.close()
        keyring.store.close()


def test_init_makes_a_workspace_and_names_the_next_commands(run, here):
    printed = run("init")
    assert "strongroom certs two-way" in printed
    assert "strongroom model publish" in printed
    assert "strongroom broker serve" in printed
    assert Workspace.open(here / "strongroom-workspace").secrets.names() == ()


def test_init_elsewhere_names_the_place_in_the_next_commands(run, here):
    assert run("init deep/ws").count("--workspace deep/ws") == 3
    assert stat.S_IMODE((here / "deep/ws").stat().st_mode) == 0o700


def test_init_for_a_machine(run):
    assert json.loads(run("init ws --json"))["workspace"] == "ws"


def test_init_never_touches_what_is_there(run, workspace):
    before = (workspace / "ca/ca_key.pem").read_bytes()
    assert "SR-ALREADY-THERE" in run("init", status=2)
    assert (workspace / "ca/ca_key.pem").read_bytes() == before


def test_commands_without_a_workspace_say_how_to_make_one(run, model):
    for line in ("certs one-way --server localhost", PUBLISH):
        printed = run(line, status=2)
        assert "SR-NOT-A-WORKSPACE" in printed
        assert "strongroom init" in printed


def test_certs_two_way_writes_a_set_that_works(run, workspace, here):
    printed = run("certs two-way --server localhost --server 127.0.0.1 --client client.example")
    assert "ssl.cfg" in printed
    assert ssl_cfg.parse((here / "ssl_configure/ssl.cfg").read_bytes()).client_verify
    command = "openssl verify -x509_strict -purpose sslserver -verify_ip 127.0.0.1 -CAfile ca_cert.pem server/cert.pem"
    subprocess.run(command.split(), cwd=here / "ssl_configure", check=True, capture_output=True)


def test_certs_one_way_for_a_machine(run, workspace):
    assert json.loads(run("certs one-way --server localhost --out tls --json")) == {
        "folder": "tls",
        "files": ["server/cert.pem", "server/key.pem", "ssl.cfg"],
    }


def test_certs_take_their_days_from_the_settings_or_the_command_line(run, workspace, here):
    path = workspace / "strongroom.toml"
    path.write_text(path.read_text().replace("days = 90", "days = 7"))

    def days(folder):
        certificate = x509.load_pem_x509_certificate((here / folder / "server/cert.pem").read_bytes())
        return (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days

    run("certs one-way --server localhost --out a")
    run("certs one-way --server localhost --out b --days 30")
    assert (days("a"), days("b")) == (7, 30)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("certs one-way --server localhost --days 0", "SR-MISUSE"),
        ("certs one-way --server localhost --days many", "SR-MISUSE"),
        ("certs one-way", "SR-MISUSE"),
        ("certs two-way --server localhost", "SR-MISUSE"),
        ("certs one-way --server no_such_name!", "SR-NAME"),
        ("certs one-way --server localhost --days 4000", "SR-CA-ENDS-FIRST"),
        ("certs one-way --server localhost --server-csr absent.csr", "SR-FILE"),
        ("certs one-way --server localhost --server-csr strongroom-workspace/strongroom.toml", "SR-CSR"),
    ],
)
def test_certs_refuse_what_cannot_be(line, code, run, workspace, here):
    status = {"SR-MISUSE": 1, "SR-CA-ENDS-FIRST": 3}.get(code, 2)
    assert f"[{code}]" in run(line, status=status)
    assert not (here / "ssl_configure").exists()


def test_certs_sign_a_request_so_that_the_key_stays_where_it_is(run, workspace, here):
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    (here / "s.csr").write_bytes(request.public_bytes(Encoding.PEM))
    printed = run("certs two-way --server localhost --client c.example --server-csr s.csr --client-csr s.csr --json")
    assert json.loads(printed)["files"] == ["ca_cert.pem", "client/cert.csr", "client/cert.pem", "server/cert.csr",
                                            "server/cert.pem"]  # fmt: skip


def old_tree(folder):
    folder.mkdir()
    (folder / "server").mkdir()
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "365", "-newkey", "rsa:2048", "-out",
                    "server/cert.pem", "-keyout", "server/key.pem", "-subj", "/CN=x"], cwd=folder, check=True,
                   capture_output=True)  # fmt: skip

    def one_line(path):
        begin, *body, end = (folder / path).read_text().strip().split("\n")
        return f"{begin}\\n{''.join(body)}\\n{end}"

    text = f"server_key: '{one_line('server/key.pem')}'\nserver_cert: '{one_line('server/cert.pem')}'\n"
    (folder / "ssl.cfg").write_text(text + "custom_ca: ''\nclient_verify: false\n")


def test_certs_import_prints_what_is_wrong_and_what_to_do(run, here):
    old_tree(here / "old")
    printed = run("certs import old")
    assert "no-san  server/cert.pem" in printed
    assert "strongroom certs two-way" in printed
    findings = json.loads(run("certs import old --json"))["findings"]
    assert {"no-san", "no-eku", "clients-not-verified"} <= {finding["name"] for finding in findings}
    assert not any("PRIVATE" in json.dumps(finding) for finding in findings)


def test_certs_import_takes_over_what_is_usable(run, here):
    old_tree(here / "old")
    assert "wrote new" in run("certs import old --into new")
    assert ssl_cfg.parse((here / "new/ssl.cfg").read_bytes()).custom_ca == b""
    assert "[SR-ALREADY-THERE]" in run("certs import old --into new", status=2)


def test_certs_import_has_nothing_to_say_about_our_own(run, workspace):
    run("certs two-way --server localhost --client c.example")
    assert "nothing to complain about" in run("certs import ssl_configure")


def test_certs_import_refuses_a_key_of_another_certificate(run, workspace, here):
    run("certs two-way --server localhost --client c.example")
    shutil.copy(here / "ssl_configure/client/key.pem", here / "ssl_configure/server/key.pem")
    assert "[SR-KEY-MISMATCH]" in run("certs import ssl_configure", status=2)


def test_publish_seals_the_model_and_keeps_the_key_in_the_workspace(run, workspace, model, here):
    run("certs two-way --server localhost --client c.example")
    printed = run(f"{PUBLISH} --ssl-config ssl_configure/ssl.cfg")
    assert "published tiny version 1: onnx, 1 file" in printed
    owner = Workspace.open(workspace)
    key = kept(workspace, "model/tiny/1")
    bundle = open_bundle(here / "models/tiny/1", key=key, owner=signing.load_owner_public(owner.owner_public_pem),
                         name="tiny", version=1)  # fmt: skip
    assert bundle.read("model.onnx") == (model / "model.onnx").read_bytes()
    assert sorted(bundle.manifest.signatures["serving_default"].outputs) == ["predict"]
    config = open_ssl_config(here / "models/ssl.cfg", name="tiny", version=1, key=key)
    assert config == ssl_cfg.parse((here / "ssl_configure/ssl.cfg").read_bytes())
    with key.reveal() as raw:
        published = [path for path in (here / "models").rglob("*") if path.is_file()]
        assert len(published) == 4
        assert not any(raw in path.read_bytes() or raw.hex() in printed for path in published)


def test_publish_for_a_machine(run, workspace, model):
    facts = json.loads(run(f"{PUBLISH} --json --out out"))
    assert facts["bundle"] == "out/tiny/1"
    assert facts["secret"] == "model/tiny/1"
    assert facts["files"][0]["stored_path"] == "models/tiny/1/model.onnx"
    assert facts["ssl_config"] is None


def test_t11_the_same_version_is_never_published_twice(run, workspace, model, here):
    run(PUBLISH)
    assert "[SR-ALREADY-THERE]" in run(PUBLISH, status=2)
    shutil.rmtree(here / "models")
    assert "next version" in run(PUBLISH, status=2)
    run("model publish model --name tiny --version 2")


def test_kd_12_every_version_has_its_own_key(run, workspace, model):
    run(PUBLISH)
    run("model publish model --name tiny --version 2")
    assert kept(workspace, "model/tiny/1") != kept(workspace, "model/tiny/2")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("model publish model --name ../x --version 1", "SR-MODEL-NAME"),
        ("model publish model --name tiny --version 0", "SR-MODEL-NAME"),
        ("model publish model --name tiny --version one", "SR-MISUSE"),
        ("model publish absent --name tiny --version 1", "SR-NOT-A-MODEL"),
        (f"{PUBLISH} --ssl-config absent", "SR-FILE"),
        (f"{PUBLISH} --ssl-config model/model.onnx", "SR-SSL-CFG"),
        (f"{PUBLISH} --ssl-config model/model.onnx --ssl-out strongroom-workspace/policy.toml", "SR-ALREADY-THERE"),
    ],
)
def test_publish_refuses_what_cannot_be_and_leaves_nothing(line, code, run, workspace, model):
    assert f"[{code}]" in run(line, status=1 if code == "SR-MISUSE" else 2)
    assert not (model.parent / "models").exists()
    assert secret_names(Workspace.open(workspace)) == frozenset()


def test_kd_01_a_key_in_the_model_directory_stops_the_publication(run, workspace, model, here):
    shutil.copy(workspace / "ca/ca_key.pem", model / "notes.txt")
    assert "[SR-UNPUBLISHABLE]" in run(PUBLISH, status=3)
    assert not (here / "models").exists()


def test_a_publication_whose_config_cannot_be_written_is_withdrawn(run, workspace, model, here):
    run("certs two-way --server localhost --client c.example")
    (here / "in-the-way").write_text("")
    run(f"{PUBLISH} --ssl-config ssl_configure/ssl.cfg --ssl-out in-the-way/ssl.cfg", status=2)
    assert not (here / "models/tiny/1").exists()
    assert secret_names(Workspace.open(workspace)) == frozenset()
    run(PUBLISH)


def test_kd_21_no_secret_is_printed_or_passed_by_any_of_it(workspace, model, here):
    run = [sys.executable, "-m", "strongroom"]
    lines = [
        "certs two-way --server localhost --client c.example",
        f"{PUBLISH} --ssl-config ssl_configure/ssl.cfg --json",
    ]
    printed = b""
    for line in lines:
        done = subprocess.run([*run, *line.split()], cwd=here, capture_output=True, check=True)
        printed += done.stdout + done.stderr
    with kept(workspace, "model/tiny/1").reveal() as raw:
        assert raw not in printed
        assert raw.hex().encode() not in printed
    assert b"PRIVATE KEY" not in printed
