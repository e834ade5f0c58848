"""JWK, JWE and JWS: the worked example of the KBS specification, a foreign implementation, and everything refused."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwe, jws
from joserfc.jwk import ECKey, RSAKey

from strongroom.pki.jose import (
    JweMalformed,
    KeyRefused,
    Material,
    NotCanonical,
    RecipientKey,
    TokenUnsound,
    canonical,
    open_sealed,
    read_signed,
    seal,
    sign,
)
from strongroom.secret import Secret

SECRET = b"0123456789abcdef0123456789abcdef"


def digest(label):
    return hashlib.sha256(label.encode()).digest()


def demo_key(label):
    return ec.derive_private_key(int.from_bytes(digest(label), "big"), ec.SECP256R1())


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def tee():
    return demo_key("strongroom-demo-tee")


@pytest.fixture
def envelope(tee):
    return seal(RecipientKey.of(tee.public_key()), Secret(SECRET))


def test_the_worked_example_is_sealed_byte_for_byte(tee):
    material = Material(digest("strongroom-demo-cek"), bytes(range(12)), demo_key("strongroom-demo-epk"))
    sealed = seal(RecipientKey.of(tee.public_key()), Secret(SECRET), material=material)
    assert sealed["encrypted_key"] == "XgZW8TdBfmUK_TN3TyJTKZZVjtfYrvP1DvG4PsezsHCeY7L3BWJP0w"
    assert sealed["iv"] == "AAECAwQFBgcICQoL"
    assert sealed["ciphertext"] == "u42pge4n7wofZYevv7nA4Kvwdx_vTMSmKBr3R8rXPG4"
    assert sealed["tag"] == "tKJv_SaU0Dz7VLZaf4VmsQ"
    assert unb64url(sealed["protected"]).decode() == (
        '{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"crv":"P-256","kty":"EC",'
        '"x":"vR97hpwUzvxwBODTS1YkiU_jVM-z1qBLJx3iTGNhmP4","y":"v__eSvKuswH0ChT49Ulz7ENz0YyVHIlKxw83W264CnI"}}'
    )
    assert open_sealed(tee, json.dumps(sealed).encode()).secret == Secret(SECRET)


def test_the_public_vector_of_the_attestation_service_has_its_hash():
    value = {"b": 1, "a": "test", "c": {"d": "e"}}
    assert hashlib.sha384(canonical(value)).hexdigest().startswith("e71ce8e70d814ba6639c3612ebee0ff1f76f650f8dbb5e47")


@pytest.mark.parametrize("value", [1.5, 2**53, "\ud800", {"\udfff": 1}, {1: 2}, b"bytes", [object()]])
def test_what_has_no_one_spelling_is_refused(value):
    with pytest.raises(NotCanonical) as caught:
        canonical(value)
    assert caught.value.code == "SR-JSON-CANONICAL"


@pytest.mark.parametrize("kind", ["P-256", "P-521", "RSA"])
def test_a_foreign_library_opens_what_we_seal_and_we_what_it_seals(kind, rsa_key):
    key = rsa_key if kind == "RSA" else ec.generate_private_key({"P-256": ec.SECP256R1, "P-521": ec.SECP521R1}[kind]())
    theirs = (RSAKey if kind == "RSA" else ECKey).import_key(pem(key))
    ours = RecipientKey.of(key.public_key())
    sealed = seal(ours, Secret(SECRET), extra={"sr": {"iat": 1, "path": "default/model/a.1"}})
    registry = jwe.JWERegistry(algorithms=[ours.algorithm, "A256GCM"], strict_check_header=False)
    assert jwe.decrypt_json(sealed, theirs, registry=registry).plaintext == SECRET

    compact = jwe.encrypt_compact({"alg": ours.algorithm, "enc": "A256GCM"}, SECRET, theirs, registry=registry)
    foreign = dict(zip(("protected", "encrypted_key", "iv", "ciphertext", "tag"), compact.split("."), strict=True))
    assert open_sealed(key, json.dumps(foreign).encode()).secret == Secret(SECRET)


@pytest.mark.parametrize("kind", ["P-256", "RSA"])
def test_a_key_is_read_as_it_is_written(kind, rsa_key, tee):
    written = RecipientKey.of((rsa_key if kind == "RSA" else tee).public_key())
    read = RecipientKey.parse({**written.members, "use": "enc"})
    assert (read.members, read.spki) == (written.members, written.spki)


def weak_rsa():
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  # to be refused
    numbers = weak.public_key().public_numbers()
    return b64url(numbers.n.to_bytes(128, "big"))


@pytest.mark.parametrize(
    "change",
    [
        {"y": b64url(bytes(31) + b"\x01")},  # off the curve
        {"x": b64url(b"\x01" * 31)},
        {"x": b64url(b"\x01" * 33)},
        {"x": "not base64url!"},
        {"x": 7},
        {"x": None},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"alg": None},
        {"alg": "RSA-OAEP-256"},
        {"alg": "ECDH-ES"},
        {"kty": "OKP"},
        {"kty": None},
        {"d": b64url(bytes(32))},
        {"kty": "RSA", "alg": "RSA1_5", "n": b64url(b"\xff" * 256), "e": "AQAB"},
        {"kty": "RSA", "alg": "RSA-OAEP-256", "n": weak_rsa(), "e": "AQAB"},
        {"kty": "RSA", "alg": "RSA-OAEP-256", "n": b64url(b"\xff" * 256), "e": "AQ"},
        {"kty": "RSA", "alg": "RSA-OAEP-256", "n": b64url(b"\0" + b"\xff" * 256), "e": "AQAB"},
        {"kty": "RSA", "alg": "RSA-OAEP-256", "n": b64url(b"\xff" * 256), "e": b64url(b"\1" * 600)},
        {"kty": "RSA", "alg": "RSA-OAEP-256", "n": b64url(b"\xff" * 700), "e": "AQAB"},
        {"kty": "RSA", "alg": "RSA-OAEP-256", "n": "", "e": ""},
        {"kty": "AKP", "alg": "ML-KEM-768+A192KW", "pub": "AA"},
    ],
)
def test_a_key_that_nothing_should_be_sealed_to_is_refused(change, tee):
    members = {**RecipientKey.of(tee.public_key()).members, **change}
    members = {name: value for name, value in members.items() if value is not None}
    with pytest.raises(KeyRefused) as caught:
        RecipientKey.parse(members)
    assert caught.value.code == "SR-JWK"


def test_a_key_that_is_no_object_is_refused():
    with pytest.raises(KeyRefused):
        RecipientKey.parse(["EC"])


def test_a_curve_that_is_not_spoken_is_refused_for_our_own_keys_too():
    with pytest.raises(KeyRefused):
        RecipientKey.of(ec.generate_private_key(ec.SECP384R1()).public_key())


def flipped(text):
    return ("B" if text[0] != "B" else "C") + text[1:]


@pytest.mark.parametrize("member", ["protected", "encrypted_key", "iv", "ciphertext", "tag"])
def test_an_envelope_with_a_changed_member_does_not_open(member, envelope, tee):
    changed = {**envelope, member: flipped(envelope[member])}
    with pytest.raises(JweMalformed) as caught:
        open_sealed(tee, json.dumps(changed).encode())
    assert caught.value.code == "SR-JWE"


def joined(first, second):
    return b64url(unb64url(first) + unb64url(second))


def header_of(envelope):
    return json.loads(unb64url(envelope["protected"]))


@pytest.mark.parametrize(
    "change",
    [
        {"enc": "A128GCM"},
        {"alg": "RSA-OAEP-256"},
        {"alg": "ECDH-ES"},
        {"zip": "DEF"},
        {"crit": ["sr"]},
        {"epk": None},
        {"epk": {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}},
        {"epk": {"kty": "EC", "crv": 1, "x": "AA", "y": "AA"}},
        {"epk": {"kty": "EC", "crv": "P-256", "x": "AA"}},
    ],
)
def test_an_envelope_with_another_header_is_refused(change, envelope, tee):
    header = header_of(envelope) | change
    changed = {**envelope, "protected": b64url(json.dumps(header, separators=(",", ":")).encode())}
    with pytest.raises(JweMalformed):
        open_sealed(tee, json.dumps(changed).encode())


def test_an_ephemeral_key_on_another_curve_is_refused(tee, envelope):
    other = seal(RecipientKey.of(ec.generate_private_key(ec.SECP521R1()).public_key()), Secret(SECRET))
    with pytest.raises(JweMalformed, match="another curve"):
        open_sealed(tee, json.dumps({**envelope, "protected": other["protected"]}).encode())


@pytest.mark.parametrize(
    "body",
    [
        lambda sealed: {**sealed, "aad": ""},
        lambda sealed: {**sealed, "header": {}},
        lambda sealed: {name: value for name, value in sealed.items() if name != "tag"},
        lambda sealed: {**sealed, "tag": "", "ciphertext": joined(sealed["ciphertext"], sealed["tag"])},
        lambda sealed: {**sealed, "encrypted_key": b64url(unb64url(sealed["encrypted_key"])[:-1])},
        lambda sealed: {**sealed, "iv": b64url(bytes(16))},
        lambda sealed: {**sealed, "protected": "A" * 30_000},
        lambda sealed: {**sealed, "protected": 7},
        list,
        lambda sealed: "text",
    ],
)  # fmt: skip
def test_an_envelope_of_another_form_is_refused(body, envelope, tee):
    with pytest.raises(JweMalformed):
        open_sealed(tee, json.dumps(body(envelope)).encode())


def test_the_aad_is_the_header_as_received_and_not_as_it_could_be_spelled(envelope, tee):
    spaced = json.dumps(header_of(envelope)).encode()  # with spaces: the same header, other bytes
    with pytest.raises(JweMalformed, match="does not open"):
        open_sealed(tee, json.dumps({**envelope, "protected": b64url(spaced)}).encode())


def test_another_key_opens_nothing(envelope, rsa_key):
    for other in (ec.generate_private_key(ec.SECP256R1()), rsa_key):
        with pytest.raises(JweMalformed):
            open_sealed(other, json.dumps(envelope).encode())


def test_fb_03_two_envelopes_of_one_secret_share_nothing(tee):
    first, second = (seal(RecipientKey.of(tee.public_key()), Secret(SECRET)) for _ in range(2))
    assert not set(first.values()) & set(second.values())
    assert b64url(SECRET) not in json.dumps(first)


def test_a_header_member_that_is_not_ascii_is_not_sent(tee):
    with pytest.raises(JweMalformed, match="ASCII"):
        seal(RecipientKey.of(tee.public_key()), Secret(SECRET), extra={"sr": {"path": "ü"}})


def test_a_foreign_library_reads_our_token_and_we_read_it_back(tee):
    token = sign({"iss": "a", "exp": 7}, tee, chain=[b"certificate"])
    found = jws.deserialize_compact(token, ECKey.import_key(pem(tee)), algorithms=["ES256"], registry=jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False))  # fmt: skip  # noqa: E501
    assert json.loads(found.payload) == {"iss": "a", "exp": 7}
    assert base64.b64decode(found.headers()["jwk"]["x5c"][0]) == b"certificate"
    assert read_signed(token, tee.public_key()) == {"iss": "a", "exp": 7}


def resigned(token, key, **change):
    header, payload, _ = token.split(".")
    header = {name: value for name, value in (json.loads(unb64url(header)) | change).items() if value is not None}
    message = f"{b64url(json.dumps(header).encode())}.{payload}"
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{message}.{b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"}, {"alg": "HS256"}, {"alg": None}, {"typ": "JWE"}, {"jwk": None}, {"jwk": "me"},
        {"jwk": {"kty": "EC"}}, {"crit": ["exp"]}, {"x5u": "https://example.invalid"}, {"kid": "1"},
    ],
)  # fmt: skip
def test_a_token_whose_header_wants_something_else_is_refused(change, tee):
    token = sign({"exp": 7}, tee)
    assert read_signed(resigned(token, tee), tee.public_key()) == {"exp": 7}
    with pytest.raises(TokenUnsound) as caught:
        read_signed(resigned(token, tee, **change), tee.public_key())
    assert caught.value.code == "SR-KBS-TOKEN"


def test_a_token_of_another_signer_is_refused_even_if_it_names_us(tee):
    other = ec.generate_private_key(ec.SECP256R1())
    ours = json.loads(unb64url(sign({}, tee).split(".")[0]))["jwk"]
    for token in (sign({"exp": 7}, other), resigned(sign({"exp": 7}, other), other, jwk=ours)):
        with pytest.raises(TokenUnsound):
            read_signed(token, tee.public_key())


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c.d", "....", "é.a.a", "A" * 70_000, "e30.e30.", "e30.e30.AAAA", "W10.e30.AAAA"]
)
def test_what_is_no_token_is_refused(token, tee):
    with pytest.raises(TokenUnsound):
        read_signed(token, tee.public_key())


def test_a_token_with_a_changed_payload_is_refused(tee):
    header, _, signature = sign({"exp": 7}, tee).split(".")
    for changed in (b64url(b'{"exp":8}'), b64url(b"[]")):
        with pytest.raises(TokenUnsound):
            read_signed(f"{header}.{changed}.{signature}", tee.public_key())
    with pytest.raises(TokenUnsound):
        read_signed(f"{header}.{b64url(b'{}')}.{b64url(bytes(63))}", tee.public_key())
