"""The owner's CA: what it issues works in real TLS, for its one role and no other."""

import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from strongroom.errors import StrongroomError
from strongroom.pki import keys
from strongroom.pki.authority import Authority, Role
from strongroom.secret import Secret

SERVER = "grpc.tf-serving.service.com"


@pytest.fixture(scope="module")
def authority():
    return Authority.create("Test CA", now=datetime.now(UTC))


def load(pem):
    return x509.load_pem_x509_certificate(pem)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def context(tmp_path, side, leaf, ca_pem):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=ca_pem.decode())
    with leaf.key_pem.reveal() as key:
        (tmp_path / f"{side}.pem").write_bytes(leaf.certificate_pem + key)
    made.load_cert_chain(tmp_path / f"{side}.pem")
    return made


def handshake(server, client, name):
    """Shake hands over a socket pair; return what each side met: None or its error."""
    left, right = socket.socketpair()
    outcome = {}

    def serve():
        try:
            with server.wrap_socket(left, server_side=True) as channel:
                outcome["server"] = None
                channel.recv(1)
        except (ssl.SSLError, OSError) as problem:
            outcome["server"] = problem

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname=name) as channel:
            outcome["client"] = None
            channel.sendall(b"x")
    except (ssl.SSLError, OSError) as problem:
        outcome["client"] = problem
        right.close()
    thread.join(10)
    left.close()
    return outcome


def test_server_and_client_shake_hands_under_strict_rules(authority, tmp_path):
    now = datetime.now(UTC)
    server = context(tmp_path, "server", authority.issue_server([SERVER], now=now), authority.certificate_pem)
    client = context(tmp_path, "client", authority.issue_client("client.example", now=now), authority.certificate_pem)
    assert handshake(server, client, SERVER) == {"server": None, "client": None}


def test_sv_15_a_server_certificate_is_refused_as_a_clients(authority, tmp_path):
    leaf = authority.issue_server([SERVER], now=datetime.now(UTC))
    server = context(tmp_path, "server", leaf, authority.certificate_pem)
    client = context(tmp_path, "client", leaf, authority.certificate_pem)
    outcome = handshake(server, client, SERVER)
    assert "unsuitable certificate purpose" in str(outcome["server"])


def test_sv_15_a_client_certificate_is_refused_as_a_servers(authority, tmp_path):
    leaf = authority.issue_client(SERVER, now=datetime.now(UTC))
    server = context(tmp_path, "server", leaf, authority.certificate_pem)
    client = context(tmp_path, "client", leaf, authority.certificate_pem)
    assert "unsuitable certificate purpose" in str(handshake(server, client, SERVER)["client"])


def test_a_server_under_another_name_is_refused(authority, tmp_path):
    now = datetime.now(UTC)
    server = context(tmp_path, "server", authority.issue_server(["other.example"], now=now), authority.certificate_pem)
    client = context(tmp_path, "client", authority.issue_client("client.example", now=now), authority.certificate_pem)
    assert "Hostname mismatch" in str(handshake(server, client, SERVER)["client"])


def test_openssl_agrees_about_the_roles(authority, tmp_path):
    now = datetime.now(UTC)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "server.pem").write_bytes(authority.issue_server([SERVER], now=now).certificate_pem)

    def verify(purpose):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", purpose, "server.pem"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert verify("sslserver") == 0
    assert verify("sslclient") != 0


def test_a_ca_cannot_make_cas_and_outlives_its_leaves(authority, now):
    ca = load(authority.certificate_pem)
    constraints = extension(ca, x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = extension(ca, x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    leaf = load(authority.issue_server([SERVER], now=datetime.now(UTC)).certificate_pem)
    assert ca.not_valid_after_utc > leaf.not_valid_after_utc + timedelta(days=3000)
    assert extension(leaf, x509.BasicConstraints).value.ca is False


def test_sv_15_serials_are_random_and_never_one(authority):
    now = datetime.now(UTC)
    leaves = [authority.issue_server([SERVER], now=now) for _ in range(3)] + [authority.issue_client("c", now=now)]
    serials = {load(leaf.certificate_pem).serial_number for leaf in leaves}
    assert len(serials) == 4
    assert min(serials) > 2**64


def test_names_become_alternative_names(authority, now):
    names = ["Grpc.Example.com", "10.0.0.7", "::1", "*.svc.example", "localhost", "localhost"]
    leaf = load(authority.issue_server(names, now=datetime.now(UTC)).certificate_pem)
    found = [str(entry.value) for entry in extension(leaf, x509.SubjectAlternativeName).value]
    assert found == ["grpc.example.com", "10.0.0.7", "::1", "*.svc.example", "localhost"]


def test_a_mail_address_names_a_client(authority):
    leaf = load(authority.issue_client("Ada@Example.org", now=datetime.now(UTC)).certificate_pem)
    assert extension(leaf, x509.SubjectAlternativeName).value.get_values_for_type(x509.RFC822Name) == [
        "Ada@example.org"
    ]


NO_NAMES = ["", "a b", "-x.example", "x" * 64, "1.2.3.4.5", "a..b", "*", "a\n", "ü.example"]


@pytest.mark.parametrize("names", [[], ["a.example"] * 65, *([name] for name in NO_NAMES)])
def test_names_that_no_certificate_can_carry_are_refused(names, authority, now):
    refused(lambda: authority.issue_server(names, now=now), "SR-NAME")


@pytest.mark.parametrize("name", ["", "*.example", "a b@example.org", "@example.org", "ada@"])
def test_client_names_that_no_certificate_can_carry_are_refused(name, authority, now):
    refused(lambda: authority.issue_client(name, now=now), "SR-NAME")


def refused(action, code):
    with pytest.raises(StrongroomError) as caught:
        action()
    assert caught.value.code == code
    return caught.value


def test_sv_15_a_leaf_that_outlives_its_ca_is_refused(now):
    short = Authority.create("Short", now=now, days=90)
    short.issue_server([SERVER], now=now, days=89)
    refused(lambda: short.issue_server([SERVER], now=now, days=90), "SR-CA-ENDS-FIRST")


def test_an_authority_is_loaded_from_its_files(authority):
    again = Authority.load(authority.certificate_pem, authority.key_pem)
    assert again.issue_client("c", now=datetime.now(UTC)).certificate_pem


def test_a_key_of_another_ca_is_refused(authority, now):
    other = Authority.create("Other", now=now)
    refused(lambda: Authority.load(authority.certificate_pem, other.key_pem), "SR-KEY-MISMATCH")


def test_a_leaf_is_no_authority(authority):
    leaf = authority.issue_server([SERVER], now=datetime.now(UTC))
    refused(lambda: Authority.load(leaf.certificate_pem, leaf.key_pem), "SR-NOT-A-CA")


def test_a_weak_ca_is_refused(now):
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  # weak on purpose
    certificate = self_signed(key.public_key(), key, now)
    refused(lambda: Authority.load(certificate, keys.private_pem(key)), "SR-NOT-A-CA")


def self_signed(public, signer, now):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(public).serial_number(7)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=9))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_kd_02_the_published_ca_is_refused(published_key, now):
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed(published_key, key, now)
    refused(lambda: Authority.load(certificate, keys.private_pem(key)), "SR-PUBLISHED-KEY")


def test_a_key_need_not_travel(authority):
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP384R1())
    pem = request(key, [x509.DNSName("evil.example")])
    signed = authority.sign_request(pem, role=Role.CLIENT, allowed_names=["client.example"], now=now)
    certificate = load(signed)
    assert certificate.public_key() == key.public_key()
    names = extension(certificate, x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == ["client.example"]  # the owner's word, not the request's
    assert [usage._name for usage in extension(certificate, x509.ExtendedKeyUsage).value] == ["clientAuth"]


def request(key, names=()):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("kind", ["garbage", "empty", "long", "rsa-2048", "ed25519", "p-521", "bad signature"])
def test_requests_that_cannot_be_signed_are_refused(kind, authority, now):
    good = ec.generate_private_key(ec.SECP256R1())
    pem = {
        "garbage": lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "empty": lambda: b"",
        "long": lambda: bytes(300_000),
        "rsa-2048": lambda: request(rsa.generate_private_key(65537, 2048)),
        "ed25519": lambda: request(ed25519.Ed25519PrivateKey.generate()),
        "p-521": lambda: request(ec.generate_private_key(ec.SECP521R1())),
        "bad signature": lambda: another_key_inside(good),
    }[kind]()
    refused(
        lambda: authority.sign_request(pem, role=Role.SERVER, allowed_names=[SERVER], now=now),
        "SR-CSR",
    )


def another_key_inside(key):
    """A request whose key was exchanged after it was signed."""
    other = ec.generate_private_key(ec.SECP256R1())
    der = x509.load_pem_x509_csr(request(key)).public_bytes(Encoding.DER)
    changed = der.replace(keys.spki(key.public_key()), keys.spki(other.public_key()))
    return keys.to_pem(b"CERTIFICATE REQUEST", changed)


def pem_of(base64):
    return b"-----BEGIN PRIVATE KEY-----\n" + base64 + b"\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("pem", [b"", b"no pem", pem_of(b"AAAA"), pem_of(b"A===A"), pem_of(b""), bytes(300_000)])
def test_private_keys_that_cannot_be_read_are_refused(pem):
    refused(lambda: keys.load_private_key(Secret(pem)), "SR-PRIVATE-KEY")


def test_keys_of_other_kinds_are_refused():
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, keys.PrivateFormat.PKCS8, keys.NoEncryption()
    )
    refused(lambda: keys.load_private_key(Secret(pem)), "SR-PRIVATE-KEY")


@pytest.mark.parametrize("pem", [b"", b"no pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
                                 b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])  # fmt: skip
def test_certificates_that_cannot_be_read_are_refused(pem):
    refused(lambda: keys.load_certificates(pem), "SR-CERTIFICATE")
