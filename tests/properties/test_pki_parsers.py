"""Whatever bytes come, the parsers of keys and certificates end in a catalogued error or a value."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.pki import keys, ratls, ssl_cfg, tagged_evidence
from strongroom.pki.authority import Authority, Role, request_for
from strongroom.secret import Secret
from strongroom.wire import cbor

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = ratls.generate_key()
CERTIFICATE = ratls.make_certificate(
    KEY, lambda data: bytes(368) + data + bytes(68), not_before=NOW, not_after=NOW + timedelta(days=1)
)
AUTHORITY = Authority.create("CA", now=NOW)
LEAF = AUTHORITY.issue_server(["localhost"], now=NOW)
with LEAF.key_pem.reveal() as raw_key:
    CONFIG = ssl_cfg.make(
        server_key=Secret(raw_key),
        server_cert=LEAF.certificate_pem,
        custom_ca=AUTHORITY.certificate_pem,
        client_verify=True,
    )
with CONFIG.render().reveal() as rendered:
    CONFIG_TEXT = bytes(rendered)

items = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.lists(st.tuples(inner, inner), max_size=3).map(lambda pairs: cbor.Map(tuple(pairs)))
        | st.builds(cbor.Tag, st.integers(0, 2**32), inner)
    ),
    max_leaves=6,
)


def only_catalogued(action):
    try:
        action()
    except StrongroomError as error:
        assert error.code.startswith("SR-")
        assert error.sentence


def mutations(original):
    """The original with a few bytes changed, cut or doubled."""
    change = st.tuples(st.integers(0, len(original) - 1), st.binary(min_size=0, max_size=4), st.integers(0, 8))

    def apply(changes):
        data = original
        for position, new, gone in changes:
            data = data[:position] + new + data[position + gone :]
        return data

    return st.lists(change, min_size=1, max_size=3).map(apply)


@given(items)
def test_cbor_comes_back_as_it_was_written(item):
    try:
        decoded = cbor.decode(cbor.encode(item))
    except StrongroomError as error:
        assert "nested deeper" in error.sentence
    else:
        assert decoded == item


@given(st.binary(max_size=200))
def test_cbor_of_any_bytes(data):
    only_catalogued(lambda: cbor.decode_first(data))


@given(st.binary(max_size=600))
def test_tagged_evidence_of_any_bytes(data):
    only_catalogued(lambda: tagged_evidence.decode(data))
    only_catalogued(lambda: tagged_evidence.check_key_hash(tagged_evidence.read_claims(data), b"key"))


@given(items)
def test_claims_of_any_item(item):
    only_catalogued(lambda: tagged_evidence.check_key_hash(tagged_evidence.read_claims(cbor.encode(item)), b"key"))


@given(st.binary(max_size=200) | mutations(CERTIFICATE))
@settings(max_examples=3 * settings.default.max_examples)
def test_an_ra_tls_certificate_of_any_bytes(data):
    if data != CERTIFICATE:
        with pytest.raises(StrongroomError) as caught:
            ratls.open_certificate(data, at=NOW)
        assert caught.value.family == "tampered"


@given(st.text(max_size=200) | mutations(CONFIG_TEXT).map(lambda data: data.decode("latin-1")))
@settings(max_examples=2 * settings.default.max_examples)
def test_an_ssl_cfg_of_any_text(text):
    only_catalogued(lambda: ssl_cfg.parse(text.encode()))


@given(st.binary(max_size=400))
def test_an_ssl_cfg_of_any_bytes(data):
    only_catalogued(lambda: ssl_cfg.parse(data))


@given(st.binary(max_size=300) | mutations(LEAF.certificate_pem))
def test_certificates_and_requests_of_any_bytes(data):
    only_catalogued(lambda: keys.load_certificates(data))
    only_catalogued(lambda: AUTHORITY.sign_request(data, role=Role.CLIENT, allowed_names=["c.example"], now=NOW))


@given(st.binary(max_size=600))
def test_der_in_a_certificate_block(data):
    only_catalogued(lambda: keys.load_certificates(keys.to_pem(b"CERTIFICATE", data)))
    only_catalogued(lambda: keys.load_private_key(Secret(keys.to_pem(b"PRIVATE KEY", data))))


@given(mutations(raw_key) | st.binary(max_size=200))
def test_private_keys_of_any_bytes(data):
    only_catalogued(lambda: keys.load_private_key(Secret(data)))


@given(mutations(request_for(LEAF.key_pem, "client")))
def test_requests_of_changed_bytes(data):
    only_catalogued(lambda: AUTHORITY.sign_request(data, role=Role.CLIENT, allowed_names=["c.example"], now=NOW))
