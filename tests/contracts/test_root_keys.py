"""What every root key owes the keyring, wherever it is: a file, under a passphrase, in a token, in a key service."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.broker.keyring import changing, file_root, kms_root, passphrase_root
from strongroom.broker.keyring.envelope import Context, EnvelopeTampered
from strongroom.broker.keyring.opening import open_keyring
from strongroom.broker.keyring.passphrase_root import ScryptCost
from strongroom.broker.keyring.root_key import RootMissing, RootNotHere, RootUnreachable, RootUnusable, new_root_key
from strongroom.pki.authority import Authority
from strongroom.pki.disk import LoosePermissions
from strongroom.secret import Secret
from strongroom.workspace.settings import TokenSettings
from strongroom.workspace.workspace import Workspace

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "24680-test"
TOKEN = "canary-token-of-the-key-service"
KEY = Secret(bytes(range(32)))
PLACE = Context(purpose="tenant-key", tenant="default", generation=1).encode()
ELSEWHERE = Context(purpose="tenant-key", tenant="other", generation=1).encode()


# A token: SoftHSM, whose library reads its configuration once for each process


@pytest.fixture(scope="session")
def token(tmp_path_factory):
    """A fresh SoftHSM token; returns how to name a key in it."""
    pytest.importorskip("pkcs11")
    if "tensorflow" in sys.modules:
        pytest.skip("TensorFlow brings an OpenSSL of its own, in which SoftHSM crashes: run this file by itself")
    if not SOFTHSM.exists():
        pytest.skip("SoftHSM is not installed")
    from strongroom.broker.keyring.pkcs11_root import Token

    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "broker", "--pin", PIN, "--so-pin", "13579"],
                   check=True, capture_output=True)  # fmt: skip
    (folder / "pin").write_text(f"{PIN}\n")
    (folder / "pin").chmod(0o600)
    yield lambda label: Token(str(SOFTHSM), "broker", label, folder / "pin")
    del os.environ["SOFTHSM2_CONF"]


@pytest.fixture
def token_root(token, request):
    from strongroom.broker.keyring.pkcs11_root import Pkcs11Root

    place = token(request.node.name[:60])
    first = Pkcs11Root(place, make=True)
    yield first, lambda: Pkcs11Root(place)
    first.close()


# A key service


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A key service behind HTTPS, in a process of its own; returns its folder and port."""
    folder = tmp_path_factory.mktemp("service")
    authority = Authority.create("the key service's CA", now=datetime.now(UTC))
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    (folder / "cert.pem").write_bytes(leaf.certificate_pem)
    with leaf.key_pem.reveal() as raw:
        (folder / "key.pem").write_bytes(raw)
    (folder / "service-token").write_text(TOKEN)
    with started(folder) as port:
        yield folder, port


@contextmanager
def started(folder):
    program = Path(__file__).with_name("key_service.py")
    with subprocess.Popen([sys.executable, program, folder], stdout=subprocess.PIPE) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@pytest.fixture
def settings(service, tmp_path):
    """Writes the settings of the key service; returns the folder they are in."""
    folder, port = service
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)

    def write(**changes):
        words = {"url": f"https://localhost:{port}", "key": "strongroom", "token_file": "token",
                 "ca_file": str(folder / "ca.pem"), **changes}  # fmt: skip
        lines = [f'{word} = "{value}"\n' for word, value in words.items() if value is not None]
        (tmp_path / "vault-transit.toml").write_text("".join(lines))
        return tmp_path

    return write


def service_root(settings):
    folder = settings()
    return kms_root.open_kms("vault-transit", folder), lambda: kms_root.open_kms("vault-transit", folder)


# The suite


@pytest.fixture(params=["file", "passphrase", "pkcs11", "kms"])
def made(request, tmp_path):
    """A root key, and how to open it again."""
    if request.param == "file":
        path = tmp_path / "root.key"
        return file_root.write_file(path, new_root_key()), lambda: file_root.open_file(path)
    if request.param == "passphrase":
        passphrase = Secret(b"correct horse battery staple")
        stored = passphrase_root.protect(new_root_key(), passphrase, cost=ScryptCost(n=2**14))
        return stored.open(passphrase), lambda: stored.open(passphrase)
    if request.param == "pkcs11":
        return request.getfixturevalue("token_root")
    return service_root(request.getfixturevalue("settings"))


def test_what_was_wrapped_opens_and_also_later(made):
    root, again = made
    wrapped = root.wrap(KEY, PLACE)
    assert root.unwrap(wrapped, PLACE) == KEY
    later = again()
    assert later.id == root.id
    assert later.unwrap(wrapped, PLACE) == KEY
    with KEY.reveal() as raw:
        assert raw not in wrapped


def test_wrapping_twice_gives_different_bytes(made):
    root, _ = made
    assert root.wrap(KEY, PLACE) != root.wrap(KEY, PLACE)


def test_kd_06_what_was_wrapped_does_not_open_elsewhere_or_changed(made):
    root, _ = made
    wrapped = root.wrap(KEY, PLACE)
    with pytest.raises(EnvelopeTampered):
        root.unwrap(wrapped, ELSEWHERE)
    for place in (0, 3, 14, len(wrapped) // 2, len(wrapped) - 1):
        changed = bytearray(wrapped)
        changed[place] ^= 0x01
        with pytest.raises(EnvelopeTampered):
            root.unwrap(bytes(changed), PLACE)
    for other in (b"", wrapped[:-1], wrapped[:10], b"\0" * 10_000):
        with pytest.raises(EnvelopeTampered):
            root.unwrap(other, PLACE)
    assert root.unwrap(wrapped, PLACE) == KEY


def test_it_says_what_it_is_without_saying_a_secret(made):
    root, _ = made
    kind, dash, rest = root.id.partition("-")
    assert (dash, len(rest)) == ("-", 16)
    assert kind in {"local", "pkcs11", "kms"}
    assert int(rest, 16)
    assert PIN not in root.description
    assert TOKEN not in root.description


def test_threads_may_share_it(made):
    root, _ = made
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        key = Secret(bytes([number]) * 32)
        return all(root.unwrap(root.wrap(key, PLACE), PLACE) == key for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_a_keyring_works_on_it(made, tmp_path):
    from strongroom.broker.keyring.keyring import Keyring
    from strongroom.broker.store.opening import open_store

    root, again = made
    (tmp_path / "store").mkdir(mode=0o700)
    store = open_store(tmp_path / "store" / "broker.db")
    try:
        keyring = Keyring(store, root)
        keyring.create("default", "model/m/1", "owner")
        assert Keyring(store, again()).get("default", "model/m/1") == keyring.get("default", "model/m/1")
    finally:
        store.close()


# What a token has besides


def test_kd_21_the_key_never_leaves_its_token(token_root):
    import pkcs11

    root, _ = token_root
    assert root._key[pkcs11.Attribute.SENSITIVE]
    assert not root._key[pkcs11.Attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.AttributeSensitive):
        root._key[pkcs11.Attribute.VALUE]
    with pytest.raises(RootNotHere) as caught:
        changing.split_root(root, threshold=2, count=3)
    assert caught.value.code == "SR-ROOT-NOT-SHAREABLE"


def test_a_key_that_could_be_taken_out_is_refused(token, token_root):
    import pkcs11

    from strongroom.broker.keyring.pkcs11_root import Pkcs11Root

    root, _ = token_root
    template = {pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False}
    root._session.generate_key(pkcs11.KeyType.AES, 256, label="loose", id=b"12345678", store=True, template=template)
    with pytest.raises(RootUnusable, match="could be taken out"):
        Pkcs11Root(token("loose"))


def test_a_token_or_key_that_is_not_there_is_said(token, token_root):
    from strongroom.broker.keyring.pkcs11_root import Pkcs11Root

    with pytest.raises(RootMissing, match="holds 0 keys"):
        Pkcs11Root(token("absent"))
    with pytest.raises(RootUnreachable) as caught:
        Pkcs11Root(replace(token("x"), token="absent"))
    assert caught.value.code == "SR-ROOT-UNREACHABLE"
    with pytest.raises(RootUnreachable):
        Pkcs11Root(replace(token("x"), module="/nonexistent/library.so"))


def test_kd_21_the_pin_is_in_a_file_of_its_owner_alone(token, tmp_path):
    from strongroom.broker.keyring.pkcs11_root import Pkcs11Root

    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o644)
    with pytest.raises(LoosePermissions):
        Pkcs11Root(replace(token("x"), pin_file=tmp_path / "pin"), make=True)
    (tmp_path / "pin").chmod(0o600)
    (tmp_path / "pin").write_text("two\nlines\n")
    with pytest.raises(RootUnusable, match="one line"):
        Pkcs11Root(replace(token("x"), pin_file=tmp_path / "pin"), make=True)


def test_a_wrong_pin_is_said_without_the_pin(token, tmp_path):
    """In a process of its own: a login counts for all of a process's sessions."""
    (tmp_path / "pin").write_text("0000-wrong")
    (tmp_path / "pin").chmod(0o600)
    program = (
        "import sys; from pathlib import Path\n"
        "from strongroom.broker.keyring.pkcs11_root import Pkcs11Root, Token\n"
        f"Pkcs11Root(Token({str(SOFTHSM)!r}, 'broker', 'x', Path({str(tmp_path / 'pin')!r})), make=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "RootUnreachable: the token 'broker' says PinIncorrect" in done.stderr
    assert "0000-wrong" not in done.stderr


def test_a_session_that_was_lost_is_opened_again(token_root):
    root, _ = token_root
    wrapped = root.wrap(KEY, PLACE)
    root._session.close()
    assert root.unwrap(wrapped, PLACE) == KEY
    root.close()
    assert root.unwrap(wrapped, PLACE) == KEY


def test_a_workspace_moves_into_a_token_and_out_again(token, tmp_path):
    plain = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    place = token("of the workspace")
    kept = TokenSettings(
        module=place.module, token=place.token, key_label=place.key_label, pin_file=str(place.pin_file)
    )
    broker = replace(plain.settings.broker, root="pkcs11", token=kept)
    owner = Workspace(plain.folder, replace(plain.settings, broker=broker))

    keyring = open_keyring(plain)
    secret = keyring.put("default", "secret/s", KEY, "owner")
    changing.change_root(owner, keyring, "pkcs11")
    close(keyring)
    assert list((plain.folder / "root").iterdir()) == []

    keyring = open_keyring(owner)
    assert keyring.get("default", "secret/s") == KEY
    changing.change_root(owner, keyring, "pkcs11")  # a second key of the same label: the store knows which one
    close(keyring)
    keyring = open_keyring(owner)
    assert keyring.root.id.startswith("pkcs11-")
    assert [info.name for info in keyring.infos("default")] == [secret.name]
    changing.change_root(owner, keyring, "file")
    close(keyring)
    keyring = open_keyring(plain)
    assert keyring.get("default", "secret/s") == KEY
    close(keyring)
    with pytest.raises(RootMissing):
        open_without_root_key(plain)


def open_without_root_key(plain):
    (plain.folder / "root/root.key").unlink()
    open_keyring(plain)


def test_a_new_store_makes_its_key_in_the_token(token, tmp_path):
    plain = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    place = token("of a new store")
    kept = TokenSettings(
        module=place.module, token=place.token, key_label=place.key_label, pin_file=str(place.pin_file)
    )
    owner = Workspace(
        plain.folder, replace(plain.settings, broker=replace(plain.settings.broker, root="pkcs11", token=kept))
    )
    for _ in range(2):
        keyring = open_keyring(owner)
        assert keyring.root.id.startswith("pkcs11-")
        close(keyring)


def close(keyring):
    keyring.close()
    keyring.store.close()


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    plain = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    kept = TokenSettings(module="m", token="t")
    broker = replace(plain.settings.broker, root="pkcs11", token=kept)
    monkeypatch.setitem(sys.modules, "strongroom.broker.keyring.pkcs11_root", None)
    with pytest.raises(Exception, match="python-pkcs11") as caught:
        open_keyring(Workspace(plain.folder, replace(plain.settings, broker=broker)))
    assert caught.value.code == "SR-PKCS11-MISSING"


# What a key service has besides


def test_kd_23_a_certificate_that_is_not_trusted_is_refused(settings):
    root = kms_root.open_kms("vault-transit", settings(ca_file=None))
    with pytest.raises(RootUnreachable, match="certificate of localhost is not trusted") as caught:
        root.wrap(KEY, PLACE)
    assert "ca_file" in caught.value.fix


def test_kd_23_another_name_is_refused(settings, service):
    root = kms_root.open_kms("vault-transit", settings(url=f"https://127.0.0.1:{service[1]}"))
    with pytest.raises(RootUnreachable, match="not trusted"):
        root.wrap(KEY, PLACE)


def test_kd_23_no_credential_is_in_a_request_line(settings, service):
    folder, _ = service
    kms_root.open_kms("vault-transit", settings()).wrap(KEY, PLACE)
    asked = (folder / "asked").read_text()
    assert "POST /v1/transit/encrypt/strongroom HTTP/1.1" in asked
    assert "X-Vault-Token" in asked
    assert TOKEN not in asked


@pytest.mark.parametrize(
    "url",
    ["http://localhost", "https://user:password@localhost", "https://localhost/?token=x", "https://localhost/path",
     "https://", "https://localhost:99999", "localhost", "https://localhost/#x"],
)  # fmt: skip
def test_kd_23_a_url_that_is_not_bare_https_is_refused(settings, url):
    with pytest.raises(RootUnusable, match="not https://HOST:PORT alone") as caught:
        kms_root.open_kms("vault-transit", settings(url=url))
    assert "password" not in caught.value.sentence


@pytest.mark.parametrize("changes", [{"key": "../x"}, {"mount": "a/../b"}, {"verify": "no"}, {"token_file": None}])
def test_settings_of_a_key_service_are_strict(settings, changes):
    with pytest.raises(RootUnusable):
        kms_root.open_kms("vault-transit", settings(**changes))


def test_a_key_service_nobody_knows_is_refused(tmp_path):
    with pytest.raises(RootUnusable, match="no key service") as caught:
        kms_root.open_kms("unknown", tmp_path)
    assert "vault-transit" in caught.value.fix


@pytest.mark.parametrize("key", ["redirect", "garbage", "long", "empty", "absent"])
def test_a_service_that_answers_strangely_is_unreachable(settings, key):
    root = kms_root.open_kms("vault-transit", settings(key=key))
    with pytest.raises(RootUnreachable) as caught:
        root.wrap(KEY, PLACE)
    assert TOKEN not in caught.value.sentence


def test_a_credential_that_the_service_does_not_take_is_said(settings):
    folder = settings()
    (folder / "token").write_text("another-one")
    with pytest.raises(RootUnreachable, match="status 403") as caught:
        kms_root.open_kms("vault-transit", folder).wrap(KEY, PLACE)
    assert "another-one" not in caught.value.sentence
    (folder / "token").chmod(0o640)
    with pytest.raises(LoosePermissions):
        kms_root.open_kms("vault-transit", folder).wrap(KEY, PLACE)


def test_a_service_that_does_not_answer_is_unreachable(settings):
    with pytest.raises(RootUnreachable, match="does not answer"):
        kms_root.open_kms("vault-transit", settings(url="https://localhost:1")).wrap(KEY, PLACE)


def test_a_workspace_moves_to_a_key_service(settings, tmp_path):
    plain = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    owner = Workspace(
        plain.folder, replace(plain.settings, broker=replace(plain.settings.broker, root="kms:vault-transit"))
    )
    keyring = open_keyring(plain)
    keyring.put("default", "secret/s", KEY, "owner")
    (plain.folder / "root/vault-transit.toml").write_bytes((settings() / "vault-transit.toml").read_bytes())
    (plain.folder / "root/token").write_text(TOKEN)
    (plain.folder / "root/token").chmod(0o600)
    changing.change_root(owner, keyring, "kms:vault-transit")
    close(keyring)
    assert sorted(path.name for path in (plain.folder / "root").iterdir()) == ["token", "vault-transit.toml"]
    keyring = open_keyring(owner)
    assert keyring.get("default", "secret/s") == KEY
    close(keyring)
