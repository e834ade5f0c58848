"""ssl.cfg: every way that text format and the seeds' script write it is read; nothing else is."""

from datetime import UTC, datetime

import pytest

from strongroom.errors import StrongroomError
from strongroom.pki import ssl_cfg
from strongroom.pki.authority import Authority
from strongroom.secret import Secret


@pytest.fixture(scope="module")
def parts():
    """PEM of a server's key, its certificate, and the CA."""
    authority = Authority.create("CA", now=datetime.now(UTC))
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    with leaf.key_pem.reveal() as key:
        return key.decode(), leaf.certificate_pem.decode(), authority.certificate_pem.decode()


def escaped(pem):
    return pem.replace("\n", "\\n")


def zoo_style(pem):
    """As the seeds' script writes it: base64 on one line, escapes around it only."""
    begin, *body, end = pem.strip().split("\n")
    return f"{begin}\\n{''.join(body)}\\n{end}"


def text(parts, style=escaped, verify="true", quote="'"):
    key, certificate, ca = (f"{quote}{style(pem)}{quote}" for pem in parts)
    return f"server_key: {key}\nserver_cert: {certificate}\ncustom_ca: {ca}\nclient_verify: {verify}\n"


def refused(data, code="SR-SSL-CFG"):
    with pytest.raises(StrongroomError) as caught:
        ssl_cfg.parse(data if isinstance(data, bytes) else data.encode())
    assert caught.value.code == code
    return caught.value.sentence


def same(config, parts):
    key, certificate, ca = parts
    assert config.server_key == Secret(key.encode())
    assert (config.server_cert, config.custom_ca) == (certificate.encode(), ca.encode())
    return True


@pytest.mark.parametrize("style", [escaped, zoo_style])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_both_styles_and_both_quotes_give_real_pem(style, quote, parts):
    config = ssl_cfg.parse(text(parts, style, quote=quote).encode())
    assert same(config, parts)
    assert config.client_verify is True


def test_what_is_rendered_is_read_again(parts):
    config = ssl_cfg.parse(text(parts).encode())
    with config.render().reveal() as rendered:
        assert ssl_cfg.parse(rendered) == config
        assert rendered.count(b"\n") == 4
        assert b"-----BEGIN PRIVATE KEY-----\\n" in rendered


def test_adjacent_strings_comments_separators_and_order_do_not_matter(parts):
    key, certificate, ca = parts
    lines = "".join(f"  '{line}\\n'  # a line\n" for line in key.strip().split("\n"))
    certificate = certificate.replace("\n", "\\012").replace("=", "\\x3d")
    written = f"# TLS\nclient_verify : t ; server_key:{lines}, server_cert:\"{certificate}\"custom_ca: '{escaped(ca)}'"
    assert same(ssl_cfg.parse(written.encode()), parts)


def test_one_way_asks_for_no_client(parts):
    key, certificate, _ = parts
    config = ssl_cfg.parse(f"server_key: '{escaped(key)}' server_cert: '{escaped(certificate)}'".encode())
    assert (config.custom_ca, config.client_verify) == (b"", False)


def test_a_chain_is_kept_in_order(parts):
    key, certificate, ca = parts
    config = ssl_cfg.parse(f"server_key: '{escaped(key)}' server_cert: '{escaped(certificate + ca)}'".encode())
    assert config.server_cert == (certificate + ca).encode()


def test_verifying_clients_without_a_ca_is_refused(parts):
    key, certificate, _ = parts
    written = f"server_key: '{escaped(key)}' server_cert: '{escaped(certificate)}' custom_ca: '' client_verify: true"
    assert "any public CA" in refused(written)


def test_a_key_of_another_certificate_is_refused(parts):
    other = Authority.create("Other", now=datetime.now(UTC))
    with other.key_pem.reveal() as key:
        refused(text((key.decode(), *parts[1:])), "SR-KEY-MISMATCH")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.replace("custom_ca", "custom_cas"), "SR-SSL-CFG"),
        (lambda t: t + t, "SR-SSL-CFG"),
        (lambda t: t.replace("client_verify: true", "client_verify: maybe"), "SR-SSL-CFG"),
        (lambda t: t.replace("client_verify: true", "client_verify: 'true'"), "SR-SSL-CFG"),
        (lambda t: t.replace("server_key:", "server_key"), "SR-SSL-CFG"),
        (lambda t: t.replace("server_key:", "# server_key:"), "SR-SSL-CFG"),
        (lambda t: t.replace("-----\\n", "-----\n"), "SR-SSL-CFG"),
        (lambda t: t.replace("-----\\n", "-----\\q"), "SR-SSL-CFG"),
        (lambda t: t.replace("-----\\n", "-----\\xff"), "SR-SSL-CFG"),
        (lambda t: t.rstrip()[:-20] + "'", "SR-SSL-CFG"),
        (lambda t: "{" + t + "}", "SR-SSL-CFG"),
        (lambda t: t.replace("BEGIN PRIVATE KEY", "BEGIN ENCRYPTED PRIVATE KEY"), "SR-PRIVATE-KEY"),
        (lambda t: t.replace("BEGIN CERTIFICATE", "BEGIN CERT"), "SR-CERTIFICATE"),
        (lambda t: "", "SR-SSL-CFG"),
        (lambda t: t.replace("\n", "\n" + "#" * 600_000, 1), "SR-SSL-CFG"),
    ],
)
def test_what_is_not_an_ssl_config_is_refused(change, code, parts):
    refused(change(text(parts)), code)


def test_bytes_that_are_no_text_are_refused():
    assert "UTF-8 at byte 1" in refused(b"#\xff")


def test_kd_21_no_error_quotes_the_key(parts):
    key = parts[0].split("\n")[1]
    for change in (lambda t: t.replace("-----END PRIVATE", "\\q"), lambda t: t.replace("MI", "!!"), lambda t: t[:300]):
        with pytest.raises(StrongroomError) as caught:
            ssl_cfg.parse(change(text(parts)).encode())
        assert key[:12] not in caught.value.sentence
    assert key not in repr(ssl_cfg.parse(text(parts).encode()))
