"""Whatever bytes come, reading a key store ends in a catalogued error or in entries; what is written is read."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.pki import keys
from strongroom.pki.authority import Authority
from strongroom.pki.keystores import jks
from strongroom.pki.keystores.entries import KeyEntry, TrustedEntry
from strongroom.pki.keystores.jks import read_jks, write_jks
from strongroom.pki.keystores.pkcs12 import read_pkcs12, write_trust_store
from strongroom.secret import Secret

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PASSWORD = Secret(b"pass-1234")
CA = keys.load_certificates(Authority.create("CA", now=NOW).certificate_pem)[0].public_bytes(keys.Encoding.DER)
STORE = write_jks([TrustedEntry(alias="ca", certificate=CA)], PASSWORD, now=NOW)
P12 = write_trust_store([TrustedEntry(alias="ca", certificate=CA)], PASSWORD)

aliases = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ders = st.binary(max_size=300)
trusted = st.builds(TrustedEntry, alias=aliases.map(str.lower), certificate=ders)
keyed = st.builds(
    KeyEntry,
    alias=aliases.map(str.lower),
    key=st.binary(max_size=400).map(Secret),
    chain=st.lists(ders, min_size=1, max_size=16).map(tuple),
)


@given(entries=st.lists(trusted | keyed, max_size=12))
def test_what_is_written_as_jks_is_read(entries):
    # Lower case has its own fixed points only where lowering twice changes nothing.
    entries = [each for each in entries if each.alias == each.alias.lower()]
    assert read_jks(write_jks(entries, PASSWORD, now=NOW), PASSWORD) == tuple(entries)


@given(body=st.binary(max_size=600))
def test_a_body_with_a_right_checksum_still_ends_in_an_error_or_in_entries(body):
    body = jks.MAGIC.to_bytes(4, "big") + body
    data = body + jks._checksum(PASSWORD, body)
    try:
        read_jks(data, PASSWORD)
    except StrongroomError as problem:
        assert problem.code.startswith("SR-KEYSTORE")


@given(at=st.integers(0, len(STORE) - 21), value=st.integers(0, 255), cut=st.integers(0, 30))
def test_a_changed_store_whose_checksum_was_mended_ends_in_an_error_or_in_entries(at, value, cut):
    body = bytearray(STORE[:-20])
    body[at] = value
    body = bytes(body[: len(body) - cut])
    try:
        read_jks(body + jks._checksum(PASSWORD, body), PASSWORD)
    except StrongroomError as problem:
        assert problem.code.startswith("SR-KEYSTORE")


@example(at=6, value=128)  # an indefinite length: BER
@given(at=st.integers(0, len(P12) - 1), value=st.integers(0, 255))
def test_a_changed_pkcs12_store_ends_in_an_error_or_in_entries(at, value):
    data = bytearray(P12)
    data[at] = value
    try:
        read_pkcs12(bytes(data), PASSWORD)
    except StrongroomError as problem:
        assert problem.code.startswith("SR-")


@pytest.mark.parametrize("text", ["", "7u3+7QAAAAI=", base64.b64encode(STORE[:40]).decode()],
                         ids=["nothing", "a head", "a beginning"])  # fmt: skip
def test_short_things_are_no_stores(text):
    with pytest.raises(StrongroomError):
        read_jks(base64.b64decode(text), PASSWORD)
