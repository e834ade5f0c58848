"""JCS as another library spells it; envelopes and tokens round trip; parsers raise nothing but our errors."""

import json

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from strongroom.broker import kbs
from strongroom.broker.kbs_dialogue import Dialogue, KbsAnswerMalformed, is_kbs_error
from strongroom.broker.kbs_evidence import quote_in
from strongroom.broker.kbs_init_data import InitData, InitDataRefused
from strongroom.errors import StrongroomError
from strongroom.pki.jose import (
    JweMalformed,
    KeyRefused,
    RecipientKey,
    TokenUnsound,
    canonical,
    open_sealed,
    read_signed,
    seal,
    sign,
)
from strongroom.secret import Secret

KEY = ec.generate_private_key(ec.SECP256R1())
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | SAFE | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
FLOATY = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_jcs_is_what_another_library_spells(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_jcs_is_a_fixed_point(value):
    assert canonical(json.loads(canonical(value))) == canonical(value)


@given(st.binary(min_size=0, max_size=200), st.text(st.characters(codec="ascii"), max_size=30))
def test_what_is_sealed_opens_with_its_header(secret, path):
    extra = {"sr": {"iat": 1, "path": path}}
    opened = open_sealed(KEY, json.dumps(seal(RecipientKey.of(KEY.public_key()), Secret(secret), extra=extra)).encode())
    assert opened.secret == Secret(secret)
    assert opened.header["sr"] == extra["sr"]


@given(st.data())
def test_no_changed_character_of_an_envelope_goes_unnoticed(data):
    envelope = seal(RecipientKey.of(KEY.public_key()), Secret(b"0123456789abcdef"))
    member = data.draw(st.sampled_from(sorted(envelope)))
    position = data.draw(st.integers(0, len(envelope[member]) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_=. "))
    changed = envelope[member][:position] + letter + envelope[member][position + 1 :]
    if changed != envelope[member]:
        try:
            open_sealed(KEY, json.dumps({**envelope, member: changed}).encode())
        except JweMalformed:
            return
        raise AssertionError("it opened")


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_a_signed_payload_comes_back(payload):
    assert read_signed(sign(payload, KEY), KEY.public_key()) == payload


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_a_token_of_any_text_is_refused(text):
    for token in (text, f"{text}.{text}.{text}"):
        try:
            read_signed(token, KEY.public_key())
        except TokenUnsound:
            continue
        raise AssertionError("it was taken")


@given(st.binary(max_size=300) | FLOATY.map(lambda value: json.dumps(value).encode()))
def test_messages_of_any_bytes_raise_only_our_errors(raw):
    dialogue = Dialogue("sgx", "default/model/a.1", kbs_key="ab" * 32)
    for read in (
        kbs.parse_auth,
        lambda body: kbs.parse_attestation(body, negotiated=False),
        lambda body: kbs.parse_attestation(body, negotiated=True),
        dialogue.challenged,
        dialogue.opened,
        lambda body: open_sealed(KEY, body),
    ):
        try:
            read(raw)
        except StrongroomError:
            continue
    is_kbs_error(raw)


EXAMPLE = {
    "init-data": {"format": "toml", "body": ""},
    "runtime-data": {
        "nonce": "n", "tee-pubkey": RecipientKey.of(KEY.public_key()).members,
        "strongroom": {"deployment": "d", "purpose": "p", "paths": ["default/model/a.1"], "kbs": "ab" * 32},
    },
    "tee-evidence": {"primary_evidence": {"quote": "AAAA"}, "additional_evidence": ""},
}  # fmt: skip


@given(st.data(), FLOATY)
def test_a_real_attestation_with_any_member_replaced_raises_only_our_errors(data, value):
    message = json.loads(json.dumps(EXAMPLE))
    place, key = message, data.draw(st.sampled_from(sorted(message)))
    while isinstance(place[key], dict) and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] = value
    raw = json.dumps(message).encode()
    for negotiated in (False, True):
        try:
            read = kbs.parse_attestation(raw, negotiated=negotiated)
            assert len(read.report_data) == 64
            quote_in("sgx", read.primary)
        except StrongroomError:
            continue


@given(st.dictionaries(st.sampled_from(["kty", "crv", "alg", "x", "y", "n", "e", "d"]), FLOATY, max_size=8))
def test_a_key_of_any_members_raises_only_a_refusal(members):
    try:
        RecipientKey.parse(members)
    except KeyRefused:
        return
    raise AssertionError("chance does not make keys")


@given(st.text(max_size=200))
def test_init_data_of_any_text_is_refused_without_its_register(text):
    for body in (text, f'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n{text}'):
        try:
            InitData.proven(body, bytes(48))
        except InitDataRefused:
            continue
        raise AssertionError("the digest of a text is not zeros")


@given(FLOATY)
def test_a_challenge_of_any_members_raises_only_a_refusal(extra):
    dialogue = Dialogue("sgx", "default/model/a.1", kbs_key="ab" * 32, binding_required=False)
    nonce = "Rm81yEUCI4EnE/OFs8rwjW19lrAxE5bH1ekK4gkxiz8="
    try:
        found = dialogue.challenged(json.dumps({"nonce": nonce, "extra-params": extra}).encode())
    except KbsAnswerMalformed:
        return
    assert len(found) == 64
