"""The front's certificate: whichever file it is in, and whenever it changes."""

import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from strongroom.errors import StrongroomError
from strongroom.pki.disk import LoosePermissions
from strongroom.pki.keystores.entries import KeyEntry, WrongStorePassword
from strongroom.pki.keystores.jks import write_jks
from strongroom.pki.keystores.pkcs12 import write_key_store
from strongroom.secret import Secret
from strongroom.streaming.frontend.keystore import FrontKeyUnusable, KeyFiles, Renewal

PASSWORD = b"correct horse 1"


@pytest.fixture
def leaf(authority):
    return authority.issue_server(["localhost"], now=datetime.now(UTC))


@pytest.fixture
def write(tmp_path):
    def write(name, data, mode=0o600):
        path = tmp_path / name
        path.touch(mode)
        path.write_bytes(bytes(data))
        return path

    return write


@pytest.fixture
def entry(leaf):
    with leaf.key_pem.reveal() as raw:
        key = load_pem_private_key(bytes(raw), None)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    chain = tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(leaf.certificate_pem))
    return KeyEntry(alias="front", key=Secret(der), chain=chain)


def raw(secret):
    with secret.reveal() as found:
        return bytes(found)


def test_pem_with_the_key_first_as_keys_generate_writes_it(write, leaf):
    path = write("server.pem", raw(leaf.key_pem) + leaf.certificate_pem)
    assert isinstance(KeyFiles(store=path).context(), ssl.SSLContext)


def test_pem_with_the_key_in_a_file_of_its_own(write, leaf):
    files = KeyFiles(store=write("server.crt", leaf.certificate_pem, 0o644), key=write("server.key", raw(leaf.key_pem)))
    assert isinstance(files.context(), ssl.SSLContext)


def test_an_encrypted_key_opens_with_the_password_of_a_file(write, leaf):
    key = load_pem_private_key(raw(leaf.key_pem), None)
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    path = write("server.pem", data + leaf.certificate_pem)
    assert KeyFiles(store=path, password=write("token", PASSWORD + b"\n")).context()
    with pytest.raises(FrontKeyUnusable, match="does not open"):
        KeyFiles(store=path, password=write("wrong", b"wrong")).context()
    with pytest.raises(FrontKeyUnusable, match="encrypted"):
        KeyFiles(store=path).context()


@pytest.mark.parametrize("kind", ["jks", "pkcs12"])
def test_key_stores_are_told_apart_by_content(write, entry, kind):
    password = Secret(PASSWORD)
    store = write_jks([entry], password, now=datetime.now(UTC)) if kind == "jks" else write_key_store(entry, password)
    path = write("keystore", store if isinstance(store, bytes) else raw(store))
    assert KeyFiles(store=path, password=write("token", PASSWORD)).context()
    with pytest.raises(WrongStorePassword):
        KeyFiles(store=path, password=write("wrong", b"wrong")).context()
    with pytest.raises(FrontKeyUnusable, match="httpsKeyStoreTokenFile") as caught:
        KeyFiles(store=path).context()
    assert caught.value.code == "SR-QUEUE-HTTPS-STORE"


def test_keys_that_others_may_read_are_refused(write, leaf, entry):
    with pytest.raises(LoosePermissions):
        KeyFiles(store=write("server.pem", raw(leaf.key_pem) + leaf.certificate_pem, 0o644)).context()
    with pytest.raises(LoosePermissions):
        KeyFiles(store=write("k.jks", write_jks([entry], Secret(PASSWORD), now=datetime.now(UTC)), 0o644),
                 password=write("token", PASSWORD)).context()  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"])
def test_other_files_stop_the_start(write, data):
    with pytest.raises(StrongroomError):
        KeyFiles(store=write("x", data)).context()


def test_files_that_do_not_fit_together_stop_the_start(write, leaf, authority, tmp_path):
    other = authority.issue_server(["localhost"], now=datetime.now(UTC))
    with pytest.raises(FrontKeyUnusable):
        KeyFiles(store=write("a.pem", raw(other.key_pem) + leaf.certificate_pem)).context()
    with pytest.raises(FrontKeyUnusable, match="0 private keys"):
        KeyFiles(store=write("b.pem", leaf.certificate_pem)).context()
    with pytest.raises(FrontKeyUnusable, match="cannot be read"):
        KeyFiles(store=tmp_path / "none").context()


def test_a_file_that_changes_gives_a_new_context_and_a_broken_one_does_not(key_files, caplog):
    files = key_files()
    renewal = Renewal(files)
    assert renewal.look() is None
    files.store.write_bytes(b"half a fi")
    assert renewal.look() is None
    assert "not used" in caplog.text
    key_files()
    assert renewal.look() is not None
    assert renewal.look() is None


def test_dp_04_a_certificate_renews_without_a_restart(front, echo, key_files):
    keys = key_files()
    here = front(echo(), keys=keys)
    kept = here.connect()
    kept.request("GET", "/")
    kept.getresponse().read()

    def serial():
        der = ssl.get_server_certificate(("localhost", here.port))
        return x509.load_pem_x509_certificate(der.encode()).serial_number

    before = serial()
    key_files()
    while serial() == before:
        pass
    kept.request("GET", "/")  # the connection from before goes on
    assert kept.getresponse().status == 200
    kept.close()


def test_callers_without_a_certificate_get_nowhere_but_to_the_probes(front, echo, authority, key_files, tmp_path):
    ca = tmp_path / "clients.pem"
    ca.write_bytes(authority.certificate_pem)
    keys = key_files()
    keys = KeyFiles(store=keys.store, client_ca=ca)
    here = front(echo(), keys=keys, client_certificates=True)
    assert here.predict({"t": [1]})[0] == 401
    assert here.ask("GET", "/metrics")[0] == 401
    assert here.ask("GET", "/healthz")[0] == 200
    client = here.context(authority.issue_client("ann.example", now=datetime.now(UTC)), tmp_path)
    assert here.ask("POST", "/predict", {"instances": [{"t": [1]}]}, context=client)[0] == 200
    server = here.context(authority.issue_server(["ann.example"], now=datetime.now(UTC)), tmp_path)
    try:
        status = here.ask("POST", "/predict", {"instances": [{"t": [1]}]}, context=server)[0]
    except OSError:
        status = 401  # refused in the handshake already
    assert status == 401
