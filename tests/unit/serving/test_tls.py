"""Keys reach OpenSSL from memory; weak, foreign and published sets; who may be a client."""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.pki import PublishedKey, SslConfig, keys
from strongroom.pki.client_usage import client_check
from strongroom.pki.lending import NoMemoryFile, as_path
from strongroom.secret import Secret
from strongroom.serving.tls import ServerTls, TlsUnusable

CANARY = b"canary secret " * 20


def test_a_secret_is_lent_as_a_path_and_never_touches_a_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with as_path(Secret(CANARY)) as path:
        assert path.startswith("/proc/self/fd/")
        assert str(Path(path).readlink()).startswith("/memfd:")
        assert Path(path).read_bytes() == CANARY
        descriptor = int(path.rpartition("/")[2])
        assert not os.get_inheritable(descriptor)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_without_memory_files_a_pipe_is_lent(monkeypatch):
    monkeypatch.setattr(os, "memfd_create", refuse)
    with as_path(Secret(CANARY)) as path:
        assert str(Path(path).readlink()).startswith("pipe:")
        assert Path(path).read_bytes() == CANARY


def test_a_secret_that_no_pipe_holds_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(NoMemoryFile), as_path(Secret(bytes(10_000_000))):
        pass


def refuse(*arguments):
    raise OSError(38, "Function not implemented")


def test_without_either_the_server_does_not_start(monkeypatch, tls_files):
    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(NoMemoryFile) as caught:
        ServerTls(tls_files.mutual).context()
    assert caught.value.code == "SR-SERVE-NO-MEMORY-FILE"


def open_descriptors():
    return set(Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("memory_files", [True, False])
def test_a_context_is_made_from_memory(monkeypatch, tls_files, memory_files):
    if not memory_files:
        monkeypatch.setattr(os, "memfd_create", refuse)
    before = open_descriptors()
    context = ServerTls(tls_files.mutual).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert open_descriptors() <= before
    assert ServerTls(tls_files.one_way).context().verify_mode is ssl.CERT_NONE


def test_what_openssl_does_not_take_is_one_error(tls_files):
    config = tls_files.mutual
    broken = SslConfig(
        server_key=Secret(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        server_cert=config.server_cert, custom_ca=b"", client_verify=False,
    )  # fmt: skip
    with pytest.raises(TlsUnusable) as caught:
        ServerTls(broken).context()
    assert caught.value.code == "SR-SERVE-TLS"
    assert "AAAA" not in caught.value.sentence


def test_a_published_key_is_refused(tls_files, monkeypatch):
    server = ServerTls(tls_files.mutual)
    monkeypatch.setattr(keys, "published_as", lambda key: "in a repository")
    with pytest.raises(PublishedKey):
        server.check(now=datetime.now(UTC))


def test_a_sound_set_has_no_findings_but_one_way_is_told(tls_files):
    assert ServerTls(tls_files.mutual).check(now=datetime.now(UTC)) == []
    names = {finding.name for finding in ServerTls(tls_files.one_way).check(now=datetime.now(UTC))}
    assert names == {"clients-not-verified"}


def test_the_spki_is_that_of_the_certificate(tls_files):
    certificate = keys.load_certificates(tls_files.mutual.server_cert)[0]
    assert ServerTls(tls_files.mutual).spki == keys.spki(certificate.public_key())


def test_sv_15_only_certificates_with_client_auth_are_clients(tls_files, roleless):
    check = client_check()
    assert check(tls_files.client[0].read_bytes())
    assert check(keys.load_certificates(tls_files.client[0].read_bytes())[0].public_bytes(keys.Encoding.DER))
    for other in (tls_files.server[0].read_bytes(), roleless[0].read_bytes(), tls_files.ca.read_bytes(), b"", b"junk",
                  b"-----BEGIN CERTIFICATE-----\n"):  # fmt: skip
        assert not check(other)


def test_remembered_answers_are_bounded():
    check = client_check()
    for number in range(3000):
        assert not check(b"%d" % number)
    (cell,) = [cell.cell_contents for cell in check.__closure__ if isinstance(cell.cell_contents, dict)]
    assert len(cell) <= 1024
