"""The ssl_configure folder: ours has none of the seeds' faults, theirs is judged fault by fault."""

import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.errors import StrongroomError
from strongroom.pki import keys, ssl_cfg, ssl_configure
from strongroom.pki.authority import Authority, Role

SERVER, CLIENT = "grpc.tf-serving.service.com", "client.tf-serving.service.com"


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def one_line(path):
    begin, *body, end = path.read_text().strip().split("\n")
    return f"{begin}\\n{''.join(body)}\\n{end}"


def seed_config(folder, *, ca):
    text = (
        f"server_key: '{one_line(folder / 'server/key.pem')}'\nserver_cert: '{one_line(folder / 'server/cert.pem')}'\n"
    )
    text += (
        f"custom_ca: '{one_line(folder / 'ca_cert.pem') if ca else ''}'\nclient_verify: {'true' if ca else 'false'}\n"
    )
    (folder / "ssl.cfg").write_text(text)


def seed_leaf(folder, side, name, bits):
    (folder / side).mkdir()
    openssl(folder, "req", "-new", "-newkey", f"rsa:{bits}", "-keyout", f"{side}/key.pem", "-out", f"{side}/cert.csr",
            "-nodes", "-subj", f"/CN={name}")  # fmt: skip
    openssl(folder, "x509", "-req", "-sha256", "-days", "365", "-in", f"{side}/cert.csr", "-CA", "ca_cert.pem",
            "-CAkey", "ca_key.pem", "-set_serial", "01", "-out", f"{side}/cert.pem")  # fmt: skip


@pytest.fixture(scope="session")
def seed_two_way_made(tmp_path_factory):
    """A two-way tree as the reference solution's commands make it (with shorter keys: they are not the point)."""
    folder = tmp_path_factory.mktemp("seed") / "ssl_configure"
    folder.mkdir()
    openssl(folder, "req", "-x509", "-sha256", "-nodes", "-days", "356", "-newkey", "rsa:2048", "-out", "ca_cert.pem",
            "-keyout", "ca_key.pem", "-subj", "/CN=My Cert Authority")  # fmt: skip
    seed_leaf(folder, "server", SERVER, 2048)
    seed_leaf(folder, "client", CLIENT, 2048)
    seed_config(folder, ca=True)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture
def seed_two_way(seed_two_way_made, tmp_path):
    return shutil.copytree(seed_two_way_made, tmp_path / "old")


@pytest.fixture
def seed_one_way(tmp_path):
    folder = tmp_path / "one-way"
    (folder / "server").mkdir(parents=True)
    openssl(folder, "req", "-x509", "-sha256", "-nodes", "-days", "365", "-newkey", "rsa:2048", "-out",
            "server/cert.pem", "-keyout", "server/key.pem", "-subj", f"/CN={SERVER}")  # fmt: skip
    seed_config(folder, ca=False)
    return folder


@pytest.fixture(scope="module")
def authority():
    return Authority.create("CA", now=datetime.now(UTC))


@pytest.fixture
def two_way(authority, tmp_path):
    folder = tmp_path / "ssl_configure"
    ssl_configure.write_two_way(folder, authority, server_names=[SERVER], client_name=CLIENT, now=datetime.now(UTC))
    return folder


def names(findings):
    return {(finding.name, finding.where) for finding in findings}


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refused(action, code):
    with pytest.raises(StrongroomError) as caught:
        action()
    assert caught.value.code == code
    return caught.value.sentence


def test_the_two_way_tree_has_the_seeds_names_and_no_ca_key(two_way, authority):
    assert files(two_way) == [
        "ca_cert.pem", "client/cert.csr", "client/cert.pem", "client/key.pem",
        "server/cert.csr", "server/cert.pem", "server/key.pem", "ssl.cfg",
    ]  # fmt: skip
    with authority.key_pem.reveal() as key:
        assert not any(key in path.read_bytes() for path in two_way.rglob("*") if path.is_file())


def test_t9_our_own_sets_have_no_findings(two_way):
    assert ssl_configure.inspect(two_way, now=datetime.now(UTC)) == []


def test_kd_21_keys_are_readable_by_their_owner_alone(two_way):
    assert stat.S_IMODE(two_way.stat().st_mode) == 0o700
    for path in two_way.rglob("*"):
        private = path.name in {"key.pem", "ssl.cfg"}
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600 if private else 0o644)


def test_the_config_holds_the_servers_pair_and_the_ca(two_way):
    config = ssl_cfg.parse((two_way / "ssl.cfg").read_bytes())
    assert config.server_cert == (two_way / "server/cert.pem").read_bytes()
    assert config.custom_ca == (two_way / "ca_cert.pem").read_bytes()
    assert config.client_verify


def test_a_one_way_set_serves_as_its_own_root(authority, tmp_path):
    folder = tmp_path / "one"
    ssl_configure.write_one_way(folder, authority, server_names=[SERVER], now=datetime.now(UTC))
    assert files(folder) == ["server/cert.pem", "server/key.pem", "ssl.cfg"]
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(keys.certificate_pem(keys.load_certificates((folder / "server/cert.pem").read_bytes())[0]))
    openssl(folder, "verify", "-CAfile", "server/cert.pem", "-verify_hostname", SERVER, str(leaf))
    found = names(ssl_configure.inspect(folder, now=datetime.now(UTC)))
    assert found == {("clients-not-verified", "ssl.cfg")}


def test_a_set_for_a_request_holds_no_key_of_that_side(authority, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = request.public_bytes(Encoding.PEM)
    folder = tmp_path / "set"
    ssl_configure.write_two_way(
        folder, authority, server_names=[SERVER], client_name=CLIENT, now=datetime.now(UTC), server_request=pem
    )
    assert "server/key.pem" not in files(folder)
    assert "ssl.cfg" not in files(folder)
    assert keys.load_certificates((folder / "server/cert.pem").read_bytes())[0].public_key() == key.public_key()
    assert names(ssl_configure.inspect(folder, now=datetime.now(UTC))) == {("no-ssl-cfg", "ssl.cfg")}


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(two_way, authority, tmp_path):
    def again(folder, server_names):
        ssl_configure.write_two_way(
            folder, authority, server_names=server_names, client_name="c", now=datetime.now(UTC)
        )

    before = (two_way / "ssl.cfg").read_bytes()
    refused(lambda: again(two_way, [SERVER]), "SR-ALREADY-THERE")
    assert (two_way / "ssl.cfg").read_bytes() == before
    refused(lambda: again(tmp_path / "new", ["not a name"]), "SR-NAME")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ssl_configure"]


def is_version_1(path):
    return keys.load_certificates(path.read_bytes())[0].version is x509.Version.v1


def test_sv_15_every_fault_of_a_seed_two_way_tree_is_found(seed_two_way):
    expected = {("ca-key-here", "ca_key.pem"), ("serial-reused", "client/cert.pem"),
                ("usable-as-client", "server/cert.pem"), ("usable-as-server", "client/cert.pem")}  # fmt: skip
    for side in ("server/cert.pem", "client/cert.pem"):
        expected |= {("no-san", side), ("no-eku", side), ("ca-ends-first", side)}
        expected |= {("x509-v1", side)} if is_version_1(seed_two_way / side) else set()  # newer openssl writes v3
    expected |= {("readable-key", where) for where in ("ca_key.pem", "server/key.pem", "client/key.pem", "ssl.cfg")}
    findings = ssl_configure.inspect(seed_two_way, now=datetime.now(UTC))
    assert names(findings) == expected
    assert all(finding.seen and finding.fix.endswith((".", "pem", "cfg")) for finding in findings)


def test_every_fault_of_a_seed_one_way_tree_is_found(seed_one_way):
    found = {name for name, _ in names(ssl_configure.inspect(seed_one_way, now=datetime.now(UTC)))}
    assert {"no-san", "no-eku", "leaf-is-ca", "clients-not-verified"} <= found
    assert not {"not-from-ca", "ca-ends-first", "serial-reused"} & found


def test_dates_are_judged(seed_two_way):
    late = names(ssl_configure.inspect(seed_two_way, now=datetime.now(UTC) + timedelta(days=360)))
    assert ("expired", "ca_cert.pem") in late
    assert ("expired", "server/cert.pem") not in late
    early = names(ssl_configure.inspect(seed_two_way, now=datetime.now(UTC) - timedelta(days=3)))
    assert ("not-yet-valid", "client/cert.pem") in early


def test_a_weak_key_an_old_hash_and_a_foreign_ca_are_found(seed_two_way):
    shutil.rmtree(seed_two_way / "client")
    other = seed_two_way.parent / "other"
    other.mkdir()
    openssl(other, "req", "-x509", "-sha1", "-nodes", "-days", "9", "-newkey", "rsa:1024", "-out", "ca_cert.pem",
            "-keyout", "ca_key.pem", "-subj", "/CN=Other")  # fmt: skip
    seed_leaf(other, "client", CLIENT, 1024)
    shutil.copytree(other / "client", seed_two_way / "client")
    shutil.copy(other / "ca_cert.pem", seed_two_way / "client/cert.pem")
    shutil.copy(other / "ca_key.pem", seed_two_way / "client/key.pem")
    found = {
        name for name, where in names(ssl_configure.inspect(seed_two_way, now=datetime.now(UTC))) if "client" in where
    }
    assert {"weak-key", "weak-signature", "not-from-ca"} <= found


def test_a_config_of_another_certificate_or_ca_is_found(two_way, seed_two_way):
    shutil.copy(seed_two_way / "ssl.cfg", two_way / "ssl.cfg")
    found = [finding.seen for finding in ssl_configure.inspect(two_way, now=datetime.now(UTC))
             if finding.name == "ssl-cfg-differs"]  # fmt: skip
    assert len(found) == 2


def test_one_key_for_both_sides_is_found(two_way):
    shutil.copy(two_way / "server/key.pem", two_way / "client/key.pem")
    shutil.copy(two_way / "server/cert.pem", two_way / "client/cert.pem")
    found = {name for name, _ in names(ssl_configure.inspect(two_way, now=datetime.now(UTC)))}
    assert {"shared-key", "serial-reused", "usable-as-server"} <= found


def test_a_sealed_config_is_said_to_be_unchecked(two_way):
    (two_way / "ssl.cfg").write_bytes(b"GRAFS_PF" + bytes(4088))
    assert names(ssl_configure.inspect(two_way, now=datetime.now(UTC))) == {("ssl-cfg-sealed", "ssl.cfg")}


def test_kd_02_a_published_key_is_found_and_never_taken_over(two_way, authority, published_key, tmp_path):
    signer = keys.load_private_key(authority.key_pem)
    ca = keys.load_certificates(authority.certificate_pem)[0]
    builder = x509.CertificateBuilder().subject_name(ca.subject).issuer_name(ca.subject).public_key(published_key)
    builder = builder.serial_number(9).not_valid_before(datetime.now(UTC)).not_valid_after(ca.not_valid_after_utc)
    (two_way / "server/key.pem").unlink()
    (two_way / "server/cert.pem").write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    assert ("published-key", "server/cert.pem") in names(ssl_configure.inspect(two_way, now=datetime.now(UTC)))
    action = lambda: ssl_configure.take_over(two_way, tmp_path / "new", now=datetime.now(UTC))  # noqa: E731
    refused(action, "SR-PUBLISHED-KEY")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("place", ["server/key.pem", "client/key.pem", "ca_key.pem", "ssl.cfg"])
def test_a_key_that_does_not_match_is_refused(place, seed_two_way, two_way):
    if place == "ssl.cfg":
        text = (seed_two_way / "ssl.cfg").read_text().splitlines()
        text[0] = f"server_key: '{one_line(two_way / 'client/key.pem')}'"
        (seed_two_way / "ssl.cfg").write_text("\n".join(text))
    else:
        shutil.copy(two_way / "client/key.pem", seed_two_way / place)
    refused(lambda: ssl_configure.inspect(seed_two_way, now=datetime.now(UTC)), "SR-KEY-MISMATCH")


def test_sa_07_an_old_tree_is_taken_over_without_the_ca_key(seed_two_way, tmp_path):
    target = tmp_path / "taken"
    findings = ssl_configure.take_over(seed_two_way, target, now=datetime.now(UTC))
    assert files(target) == ["ca_cert.pem", "client/cert.pem", "client/key.pem", "server/cert.pem", "server/key.pem",
                             "ssl.cfg"]  # fmt: skip
    assert ("ca-key-here", "ca_key.pem") in names(findings)
    left = {name for name, _ in names(ssl_configure.inspect(target, now=datetime.now(UTC)))}
    assert not {"ca-key-here", "readable-key"} & left
    config = ssl_cfg.parse((target / "ssl.cfg").read_bytes())
    assert config == ssl_cfg.parse((seed_two_way / "ssl.cfg").read_bytes())
    assert stat.S_IMODE((target / "server/key.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["empty", "absent", "garbage", "folder in the way", "huge"])
def test_folders_of_another_kind_are_refused(kind, tmp_path):
    folder = tmp_path / "f"
    if kind != "absent":
        (folder / "server").mkdir(parents=True)
    if kind == "garbage":
        (folder / "server/cert.pem").write_bytes(b"\xff" * 100)
    if kind == "huge":
        (folder / "server/cert.pem").write_bytes(bytes(300_000))
    code = {"garbage": "SR-CERTIFICATE", "huge": "SR-FILE-TOO-LONG"}.get(kind, "SR-SSL-CONFIGURE")
    refused(lambda: ssl_configure.inspect(folder, now=datetime.now(UTC)), code)


def test_a_request_decides_neither_name_nor_role(authority):
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = authority.sign_request(request.public_bytes(Encoding.PEM), role=Role.SERVER, allowed_names=[SERVER],
                                 now=datetime.now(UTC))  # fmt: skip
    certificate = keys.load_certificates(pem)[0]
    assert certificate.subject.rfc4514_string() == f"CN={SERVER}"
