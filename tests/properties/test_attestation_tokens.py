"""Tokens and key sets from anywhere: they are read, or refused with an error of ours; nothing else happens."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attestation.tokens import ITA, MAA, PROFILES, KeySet, TokenMalformed, verify_token
from strongroom.attestation.tokens.jws import base64url, base64url_text
from strongroom.errors import StrongroomError

AT = datetime(2026, 3, 1, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
HEADER = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "jku", "crit"]), JSON | st.sampled_from(["RS256", "one"])
)
NAMES = ["x-ms-ver", "x-ms-attestation-type", "x-ms-sgx-mrenclave", "x-ms-sgx-svn", "ver", "attester_type", "tdx",
         "tdx_mrtd", "tdx_report_data", "attester_tcb_status", "attester_advisory_ids", "dbgstat"]  # fmt: skip
VALUES = JSON | st.sampled_from(["1.0", "sgx", "tdxvm", "1.0.0", "2.0.0", "SGX", "TDX", "00" * 48, "00" * 64])


@pytest.fixture(scope="module")
def keys():
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    n, e = (base64url_text(v.to_bytes((v.bit_length() + 7) // 8, "big")).decode() for v in (numbers.n, numbers.e))
    entry = {"kty": "RSA", "kid": "one", "n": n, "e": e}
    return KeySet.parse(json.dumps({"keys": [entry]}).encode(), issuer="https://x.attest.azure.net", url=None)


@given(st.binary(max_size=64))
def test_base64url_is_read_as_it_is_written(data):
    assert base64url(base64url_text(data), what="it", error=TokenMalformed) == data


@given(st.text(alphabet="AQgw-_=+/ \n", max_size=12).map(str.encode))
def test_one_value_has_one_spelling(text):
    with suppress(TokenMalformed):
        assert base64url_text(base64url(text, what="it", error=TokenMalformed)) == text


@given(st.binary(max_size=80) | st.tuples(HEADER, JSON, st.binary(max_size=8)))
def test_any_bytes_are_a_refusal(keys, thing):
    token = thing
    if isinstance(thing, tuple):
        token = b".".join(
            base64url_text(p) for p in (json.dumps(thing[0]).encode(), json.dumps(thing[1]).encode(), thing[2])
        )
    for profile in (MAA, ITA):
        with pytest.raises(StrongroomError):
            verify_token(token, keys, profile, at=AT)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_payload_that_a_service_signs_is_read_or_refused(payload):
    from strongroom.attestation.fields import Fields

    for profile in PROFILES.values():
        with suppress(StrongroomError):
            found = profile.read(Fields.of(payload, what="the token", error=TokenMalformed))
            assert found["report_data"] is not None


@given(
    st.binary(max_size=80)
    | st.dictionaries(st.sampled_from(["keys", "kid"]), JSON).map(lambda v: json.dumps(v).encode())
)
def test_any_key_set_is_read_or_refused(data):
    with suppress(StrongroomError):
        KeySet.parse(data, issuer="https://x")


@given(st.lists(st.dictionaries(st.sampled_from(["kty", "kid", "n", "e", "x5c", "use", "alg"]), JSON | st.just("RSA"))))
def test_any_key_is_read_or_refused(entries):
    with suppress(StrongroomError):
        KeySet.parse(json.dumps({"keys": entries}).encode(), issuer="https://x")
