"""The owner's folder: it works as it is made, keeps secrets to its owner, and lets no name become a path."""

import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from strongroom.errors import StrongroomError
from strongroom.pki import keys, names, signing
from strongroom.pki.disk import AlreadyThere
from strongroom.secret import Secret
from strongroom.workspace import BrokerSettings, SecretStore, Settings, Workspace
from strongroom.workspace.secret_store import check_name, model_key_name
from strongroom.workspace.settings import SettingsMalformed

KEY = Secret(bytes(range(16)))


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "ws", now=datetime.now(UTC))


@pytest.fixture
def store(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o700)
    return SecretStore(tmp_path / "keys")


def refused(action, code):
    with pytest.raises(StrongroomError) as caught:
        action()
    assert caught.value.code == code
    return caught.value


def test_a_fresh_workspace_has_everything_and_opens_again(workspace):
    again = Workspace.open(workspace.folder)
    files = sorted(path.relative_to(again.folder).as_posix() for path in again.folder.rglob("*") if path.is_file())
    assert files == ["broker/cert.pem", "broker/key.pem", "ca/ca_cert.pem", "ca/ca_key.pem", "policy.toml",
                     "signing/owner_key.pem", "signing/owner_public.pem", "strongroom.toml"]  # fmt: skip
    assert again.settings == Settings()
    assert again.anchors_folder.is_dir()
    assert again.collateral_folder.is_dir()
    assert again.authority().issue_client("c.example", now=datetime.now(UTC)).certificate_pem
    assert again.secrets.names() == ()


def test_kd_21_only_the_owner_can_read_what_is_secret(workspace):
    for path in [workspace.folder, *workspace.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700
        else:
            assert mode == (0o600 if "key" in path.name else 0o644)


def test_the_signing_key_and_its_public_half_belong_together(workspace):
    signature = workspace.signer().sign(b"words")
    signing.load_owner_public(workspace.owner_public_pem).verify(signature, b"words")


def test_no_two_workspaces_share_a_key(workspace, tmp_path):
    other = Workspace.create(tmp_path / "other", now=datetime.now(UTC))
    assert other.owner_public_pem != workspace.owner_public_pem
    assert other.ca_certificate_pem != workspace.ca_certificate_pem


def test_a_workspace_is_never_made_over_another_or_a_users_files(workspace, tmp_path):
    before = (workspace.folder / "ca/ca_key.pem").read_bytes()
    refused(lambda: Workspace.create(workspace.folder, now=datetime.now(UTC)), "SR-ALREADY-THERE")
    assert (workspace.folder / "ca/ca_key.pem").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


@pytest.mark.parametrize("kind", ["absent", "empty", "a file", "no keys folder"])
def test_what_is_no_workspace_is_said_to_be_none(kind, tmp_path):
    folder = tmp_path / "ws"
    if kind == "empty":
        folder.mkdir()
    if kind == "a file":
        folder.write_text("")
    if kind == "no keys folder":
        folder.mkdir()
        (folder / "strongroom.toml").write_text("version = 1")
    error = refused(lambda: Workspace.open(folder), "SR-NOT-A-WORKSPACE")
    assert "strongroom init" in error.fix


@pytest.mark.parametrize("place", [".", "keys", "ca", "signing", "broker"])
def test_kd_21_a_folder_that_others_can_enter_is_refused(place, workspace):
    (workspace.folder / place).chmod(0o750)
    error = refused(lambda: Workspace.open(workspace.folder), "SR-LOOSE-PERMISSIONS")
    assert error.fix.startswith("Run: chmod 0700 ")


@pytest.mark.parametrize("place", ["ca/ca_key.pem", "signing/owner_key.pem", "broker/key.pem"])
def test_kd_21_a_key_that_others_can_read_is_refused(place, workspace):
    (workspace.folder / place).chmod(0o644)
    use = {"ca/ca_key.pem": workspace.authority, "signing/owner_key.pem": workspace.signer,
           "broker/key.pem": workspace.broker_identity}[place]  # fmt: skip
    refused(use, "SR-LOOSE-PERMISSIONS")


def test_the_empty_policy_is_a_policy_and_holds_no_rule(workspace):
    text = workspace.policy_path.read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == ["version = 1"]


def test_the_brokers_certificate_is_from_the_ca_and_names_the_seeds_host(workspace):
    leaf = workspace.broker_identity()
    certificate = keys.load_certificates(leaf.certificate_pem)[0]
    certificate.verify_directly_issued_by(keys.load_certificates(workspace.ca_certificate_pem)[0])
    assert [entry.value for entry in names.names_of(certificate)] == ["attestation.service.com", "localhost"]
    assert workspace.broker_identity() == leaf


def test_the_brokers_certificate_is_renewed_in_time_under_its_key(workspace):
    first = workspace.broker_identity()
    later = datetime.now(UTC) + timedelta(days=61)
    second = workspace.broker_identity(now=later)
    assert second.key_pem == first.key_pem
    assert keys.load_certificates(second.certificate_pem)[0].not_valid_after_utc > later + timedelta(days=80)
    assert (workspace.folder / "broker/cert.pem").read_bytes() == second.certificate_pem


def test_a_changed_name_renews_the_brokers_certificate(workspace):
    path = workspace.folder / "strongroom.toml"
    path.write_bytes(Settings(broker=BrokerSettings(names=("keys.example",))).render())
    leaf = Workspace.open(workspace.folder).broker_identity()
    assert [entry.value for entry in names.names_of(keys.load_certificates(leaf.certificate_pem)[0])] == [
        "keys.example"
    ]


def test_a_broker_key_of_another_certificate_is_refused(workspace):
    path = workspace.folder / "broker/key.pem"
    with keys.private_pem(ec.generate_private_key(ec.SECP256R1())).reveal() as other:
        path.write_bytes(other)
    refused(workspace.broker_identity, "SR-KEY-MISMATCH")


def test_a_secret_is_kept_as_raw_bytes_that_gramine_can_use(workspace):
    workspace.secrets.put("model/resnet50-v15-fp32/1", KEY)
    path = workspace.folder / "keys/model/resnet50-v15-fp32/1"
    assert path.read_bytes() == bytes(range(16))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert workspace.secrets.get("model/resnet50-v15-fp32/1") == KEY


def test_names_come_in_the_order_of_versions(store):
    for name in ("model/b/10", "model/b/9", "model/a/1", "secret/z"):
        store.put(name, KEY)
    assert store.names() == ("model/a/1", "model/b/9", "model/b/10", "secret/z")


def test_names_pass_over_what_is_no_secret(store, tmp_path):
    store.put("model/a/1", KEY)
    (tmp_path / "keys/model/a/.2.partial").write_bytes(b"half")
    (tmp_path / "keys/README").write_text("mine")
    assert store.names() == ("model/a/1",)


def test_t11_a_versions_key_never_changes(store):
    store.put("model/a/1", KEY)
    refused(lambda: store.put("model/a/1", Secret(b"another key here")), "SR-ALREADY-THERE")
    assert store.get("model/a/1") == KEY


@pytest.mark.parametrize("name", ["model/a/2", "model/b/1", "secret/a"])
def test_an_unknown_secret_is_said_to_be_unknown(name, store):
    store.put("model/a/1", KEY)
    refused(lambda: store.get(name), "SR-UNKNOWN-SECRET")


BAD_NAMES = [
    "", "model", "model/a", "model/a/", "model/a/0", "model/a/01", "model/a/-1", "model/a/1.0",
    "model/a/9223372036854775808", "model/a/99999999999999999999", "model/a/1/", "model/a/1/2", "model//1",
    "model/../1", "model/./1", "model/.a/1", "model/a b/1", "model/a\0/1", "model/a/1\n", "model/ä/1", "model/a/١",
    "model/" + "a" * 129 + "/1", "secret/", "secret/../model/a/1", "secret/a/b", "/secret/a", "../secret/a",
    "secret\\a", "MODEL/a/1", "secret/-a", "other/a",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_kd_18_names_that_could_be_paths_are_refused(name, store):
    refused(lambda: store.get(name), "SR-SECRET-NAME")
    refused(lambda: store.put(name, KEY), "SR-SECRET-NAME")


@pytest.mark.parametrize("name", ["model/a/1", "model/A.b-c_9/9223372036854775807", "secret/ssl.cfg", "model/a..b/1"])
def test_names_of_the_grammar_are_taken(name):
    check_name(name)


def test_a_model_keys_name_is_made_by_one_function():
    assert model_key_name("resnet50", 7) == "model/resnet50/7"
    refused(lambda: model_key_name("../x", 7), "SR-SECRET-NAME")


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("model/a/1", b"15 bytes only..", "SR-UNFIT-SECRET"),
        ("model/a/1", bytes(range(32)), "SR-UNFIT-SECRET"),
        ("secret/a", b"", "SR-UNFIT-SECRET"),
        ("secret/a", bytes(65537), "SR-UNFIT-SECRET"),
        ("model/a/1", bytes(16), "SR-WEAK-KEY"),
        ("secret/a", bytes(16), "SR-WEAK-KEY"),
        ("model/a/1", bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"), "SR-WEAK-KEY"),
        ("secret/a", bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"), "SR-WEAK-KEY"),
    ],
)
def test_kd_02_unfit_and_published_keys_are_refused_on_the_way_in_and_out(name, raw, code, store, tmp_path):
    refused(lambda: store.put(name, Secret(raw)), code)
    assert store.names() == ()
    path = tmp_path / "keys" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    path.chmod(0o600)
    refused(lambda: store.get(name), {65537: "SR-FILE-TOO-LONG"}.get(len(raw), code))


def test_kd_21_a_secret_that_others_can_read_is_refused(store, tmp_path):
    store.put("model/a/1", KEY)
    (tmp_path / "keys/model/a/1").chmod(0o640)
    refused(lambda: store.get("model/a/1"), "SR-LOOSE-PERMISSIONS")


def test_a_failed_put_leaves_nothing(store, tmp_path):
    (tmp_path / "keys/model").mkdir()
    (tmp_path / "keys/model/a").write_text("in the way")
    with pytest.raises(OSError, match=r"a"):
        store.put("model/a/1", KEY)
    assert [path.name for path in Path(tmp_path / "keys/model").iterdir()] == ["a"]
    refused(lambda: store.get("model/a/1"), "SR-UNKNOWN-SECRET")


def test_putting_at_once_keeps_one(store, tmp_path):
    """Eight writers race for one name; exactly one wins, and its bytes are what stays."""
    start = threading.Barrier(8)

    def put(number):
        secret = Secret(bytes([number]) * 15 + b"x")
        start.wait(10)
        try:
            store.put("model/a/1", secret)
        except AlreadyThere:
            return None
        return secret

    with ThreadPoolExecutor(8) as pool:
        winners = [secret for secret in pool.map(put, range(8)) if secret is not None]
    assert winners == [store.get("model/a/1")]
    assert [path.name for path in (tmp_path / "keys/model/a").iterdir()] == ["1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version = 2",
        "version = true",
        'version = "1"',
        "version = 1\nextra = 1",
        "version = 1\ncertificates = 3",
        "version = 1\n[certificates]\ndays = 0",
        "version = 1\n[certificates]\ndays = 3650",
        "version = 1\n[certificates]\ndays = true",
        "version = 1\n[certificates]\nday = 3",
        "version = 1\n[broker]\nnames = [1]",
        "version = 1\n[broker]\nnames = 'x'",
        "version = 1\nversion = 1",
        "version = ",
        "a = " + "[" * 5000,
        "#" * 70_000,
    ],
)
def test_settings_of_another_shape_are_refused(text):
    refused(lambda: Settings.parse(text.encode()), "SR-SETTINGS")


def test_settings_that_are_no_text_are_refused():
    refused(lambda: Settings.parse(b"\xff"), "SR-SETTINGS")


@pytest.mark.parametrize("text", ["version = 1\n[broker]\nnames = []", "version = 1\n[broker]\nnames = ['no name']"])
def test_broker_names_that_no_certificate_can_carry_are_refused(text):
    refused(lambda: Settings.parse(text.encode()), "SR-NAME")


def test_settings_are_read_as_they_are_written():
    settings = Settings(certificate_days=30, broker=BrokerSettings(names=("a.example", "b.example")))
    assert Settings.parse(settings.render()) == settings
    assert Settings.parse(b"version = 1") == Settings()


@pytest.mark.parametrize("pem", [b"", b"no pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_signing_keys_that_cannot_be_read_are_refused(pem):
    refused(lambda: signing.load_signer(Secret(pem)), "SR-SIGNING-KEY")
    refused(lambda: signing.load_owner_public(pem), "SR-SIGNING-KEY")


def test_signing_keys_of_another_kind_are_refused():
    other = ec.generate_private_key(ec.SECP256R1())
    refused(lambda: signing.load_signer(keys.private_pem(other)), "SR-SIGNING-KEY")
    public = other.public_key().public_bytes(keys.Encoding.PEM, keys.PublicFormat.SubjectPublicKeyInfo)
    refused(lambda: signing.load_owner_public(public), "SR-SIGNING-KEY")
    mine = ed25519.Ed25519PrivateKey.generate()
    assert signing.load_signer(signing.signer_pem(mine)).public_key() == mine.public_key()


def test_a_folder_with_other_files_is_not_taken_over_and_says_what_to_do(tmp_path):
    (tmp_path / "w/trust").mkdir(parents=True)
    with pytest.raises(AlreadyThere, match="holds files but no workspace") as caught:
        Workspace.create(tmp_path / "w", now=datetime.now(UTC))
    assert "run strongroom init" in caught.value.fix
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["trust"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('root = "vault"', "root is 'vault'"),
        ('root = "pkcs11"', "go together"),
        ('[broker.pkcs11]\nmodule = "/lib/x.so"\ntoken = "t"', "go together"),
        ("kbs_port = 70000", "is no port"),
        ("weakening_votes = 2", "0 owners are named"),
        ('owners = ["a.pem", "a.pem"]\nweakening_votes = 2', "1 owners are named"),
        ("owners = [1]", "not text"),
        ("store_ = 1", "unknown word"),
    ],
)
def test_sa_08_dp_13_the_brokers_table_is_read_strictly(table, says):
    with pytest.raises(SettingsMalformed, match=re.escape(says)):
        Settings.parse(f"version = 1\n[broker]\n{table}\n".encode())


def test_the_brokers_table_says_where_its_state_lies_and_what_protects_it():
    found = Settings.parse(
        b'version = 1\n[broker]\nstore = "postgresql://db/strongroom"\nroot = "pkcs11"\nkbs_port = 8080\n'
        b'owners = ["a.pem", "b.pem"]\nweakening_votes = 2\n[broker.pkcs11]\nmodule = "/lib/x.so"\ntoken = "t"\n'
    ).broker
    assert found.shared
    assert (found.token.module, found.token.key_label) == ("/lib/x.so", "strongroom-root")
    assert (found.kbs_port, found.admin_port, found.weakening_votes) == (8080, None, 2)
    assert not Settings.parse(b"version = 1\n").broker.shared
