"""Messages as values: the worked example of the specification, and everything that is not a message of 0.4.0."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.broker import kbs
from strongroom.broker.kbs_evidence import evidence_of, quote_in
from strongroom.broker.kbs_init_data import InitData, InitDataRefused
from strongroom.pki.jose import KeyRefused, RecipientKey
from strongroom.workspace import BadSecretName

NONCE = "Rm81yEUCI4EnE/OFs8rwjW19lrAxE5bH1ekK4gkxiz8="
INIT_DATA = (
    'version = "0.1.0"\nalgorithm = "sha384"\n\n[data]\n'
    '"strongroom.json" = \'{"deployment":"d-42","purpose":"serve"}\'\n'
)
DIGEST = "eea4001cf341003ba96ddeaedd765a12a678abfe8e84de7b0f7e55c65b17b79dcb93166e259a9513ed677c9d7b59557f"


@pytest.fixture(scope="module")
def key():
    scalar = int.from_bytes(hashlib.sha256(b"strongroom-demo-tee").digest(), "big")
    return RecipientKey.of(ec.derive_private_key(scalar, ec.SECP256R1()).public_key())


@pytest.fixture
def body(key):
    return {
        "init-data": None,
        "runtime-data": {"nonce": NONCE, "tee-pubkey": key.members},
        "tee-evidence": {"primary_evidence": {"quote": "AAAA"}, "additional_evidence": ""},
    }


def encoded(value):
    return json.dumps(value).encode()


def test_the_worked_example_has_its_report_data(key):
    assert key.members["x"] == "tDpvJ2PN4FtlPiYeEQtAMwr_3UAl7yCqOy1BuvriogQ"
    found = kbs.report_data_of(key, NONCE, None)
    wanted = "ab094600fe0df0d80c1aeb0ec6f267c1f37d52b0e7c96f09bac63748319fceee9c549c74c47331428c2d570bd38d4d45"
    assert found == bytes.fromhex(wanted) + bytes(16)


def test_the_worked_examples_attestation_is_read(body, key):
    read = kbs.parse_attestation(encoded(body), negotiated=False)
    assert (read.nonce, read.key.members, read.bound, read.init_data) == (NONCE, key.members, None, None)
    assert read.report_data == kbs.report_data_of(key, NONCE, None)


def test_a_challenge_is_what_stock_clients_take():
    assert json.loads(kbs.challenge(NONCE, deployment=None)) == {"nonce": NONCE, "extra-params": ""}


GOOD = {"version": "0.4.0", "tee": "sgx", "extra-params": ""}


@pytest.mark.parametrize("version", ["0.1.1", "0.3.0", "0.4.1", "0.4", "", "1.0.0"])
def test_another_version_is_refused_with_the_phrase_that_stock_tests_look_for(version):
    with pytest.raises(kbs.KbsVersionRefused) as caught:
        kbs.parse_auth(encoded(GOOD | {"version": version}))
    assert caught.value.code == "SR-KBS-VERSION"
    phrase = f"KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is {version}"
    assert caught.value.sentence == phrase


@pytest.mark.parametrize("tee", ["sample", "sampledevice", "snp", "az-snp-vtpm", "azsnpvtpm", "se", "nvidia", "cca"])
def test_a_kind_of_tee_that_is_not_judged_is_refused_by_name(tee):
    with pytest.raises(kbs.KbsTeeRefused, match=tee) as caught:
        kbs.parse_auth(encoded(GOOD | {"tee": tee}))
    assert caught.value.code == "SR-KBS-TEE"


@pytest.mark.parametrize(
    "raw",
    [
        encoded({"tee": "sgx", "extra-params": ""}),
        encoded({"version": "0.4.0", "extra-params": ""}),
        encoded({"version": "0.4.0", "tee": "sgx"}),
        encoded(GOOD | {"tee": "sev"}),
        encoded(GOOD | {"tee": "x" * 300}),
        encoded(GOOD | {"tee": 4}),
        encoded(GOOD | {"version": ["0.4.0"]}),
        b'{"version":"0.4.0","version":"0.4.0","tee":"sgx","extra-params":""}',
        b'{"version":"0.4.0","tee":"sgx","extra-params":NaN}',
        b'{"version":"0.4.0","tee":"sgx","extra-params":"\xff"}',
        b'{"version":"0.4.0","tee":"sgx","extra-params":' + b"[" * 100 + b"]" * 100 + b"}",
        b" " * 20_000,
        b"[]", b"", b"null", b"{} {}",
    ],
)  # fmt: skip
def test_a_first_request_that_is_none_is_refused(raw):
    with pytest.raises(kbs.KbsMessageMalformed) as caught:
        kbs.parse_auth(raw)
    assert caught.value.code == "SR-KBS-MESSAGE"


@pytest.mark.parametrize(
    ("extra", "offers"),
    [
        ("", False), ({}, False), (None, False), ([], False), ({"strongroom": {"v": 1}}, True),
        ({"strongroom": {"v": 2}}, False), ({"strongroom": {"v": True}}, False), ({"strongroom": 1}, False),
    ],
)  # fmt: skip
def test_an_offer_is_an_offer_of_this_version_alone(extra, offers):
    assert kbs.parse_auth(encoded(GOOD | {"extra-params": extra})).offers_binding is offers


def test_our_own_request_offers():
    assert kbs.parse_auth(kbs.auth_request("tdx")) == kbs.AuthRequest("tdx", offers_binding=True)


def changed(body, path, value):
    """Return the body with one member changed; a value of Ellipsis removes it."""
    copy = json.loads(json.dumps(body))
    place = copy
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("runtime-data",), ...), (("runtime-data",), "text"), (("runtime-data", "nonce"), ...),
        (("runtime-data", "nonce"), 7), (("runtime-data", "nonce"), "x" * 1_000_000), (("tee-evidence",), None),
        (("tee-evidence", "primary_evidence"), ...), (("tee-evidence", "additional_evidence"), ...),
        (("tee-evidence", "additional_evidence"), None), (("init-data",), {"format": "json", "body": "{}"}),
        (("init-data",), {"format": "toml"}), (("init-data",), "text"),
    ],
)  # fmt: skip
def test_an_attestation_that_is_none_is_refused(body, path, value):
    with pytest.raises(kbs.KbsMessageMalformed):
        kbs.parse_attestation(encoded(changed(body, path, value)), negotiated=False)


@pytest.mark.parametrize("value", [..., None, "text", {"kty": "EC"}])
def test_an_attestation_without_a_fit_key_is_refused_before_its_evidence(body, value):
    with pytest.raises(KeyRefused):
        kbs.parse_attestation(encoded(changed(body, ("runtime-data", "tee-pubkey"), value)), negotiated=False)


@pytest.mark.parametrize("evidence", ["{}", '{"nvidia":{}}', '{"sgx":{}}', " "])
def test_pl_08_evidence_of_devices_is_refused_and_never_ignored(body, evidence):
    with pytest.raises(kbs.KbsDevicesRefused) as caught:
        kbs.parse_attestation(
            encoded(changed(body, ("tee-evidence", "additional_evidence"), evidence)), negotiated=False
        )
    assert caught.value.code == "SR-KBS-DEVICES"


BOUND = {"deployment": "d-1", "purpose": kbs.PURPOSE, "paths": ["default/model/a.1"], "kbs": "ab" * 32}


def test_what_was_not_negotiated_is_not_looked_at_and_not_hashed(body, key):
    with_member = changed(body, ("runtime-data", "strongroom"), BOUND)
    assert kbs.parse_attestation(encoded(with_member), negotiated=False).bound is None
    bound = kbs.parse_attestation(encoded(with_member), negotiated=True)
    assert bound.report_data != kbs.report_data_of(key, NONCE, None)
    assert bound.bound.to_json_object() == BOUND


def test_a_client_that_offered_and_then_binds_nothing_is_refused(body):
    with pytest.raises(kbs.KbsBindingRefused) as caught:
        kbs.parse_attestation(encoded(body), negotiated=True)
    assert caught.value.code == "SR-KBS-BINDING"


@pytest.mark.parametrize(
    "change",
    [
        {"paths": []}, {"paths": "default/model/a.1"}, {"paths": ["default/model/a.1"] * 65}, {"paths": [1]},
        {"kbs": "AB" * 32}, {"kbs": "ab"}, {"lease": ""}, {"lease": None}, {"lease": "x"}, {"lease": 7}, {"more": 1},
        {"deployment": 1}, {"purpose": "x" * 300},
    ],
)  # fmt: skip
def test_a_binding_of_another_form_is_refused(body, change):
    with pytest.raises(kbs.KbsMessageMalformed):
        kbs.parse_attestation(encoded(changed(body, ("runtime-data", "strongroom"), BOUND | change)), negotiated=True)


@pytest.mark.parametrize("path", ["default/model/a.01", "../model/a.1", "default/model", "default/key/a", "a/b/c/d"])
def test_kd_18_a_bound_path_has_one_spelling(body, path):
    with pytest.raises(BadSecretName):
        kbs.parse_attestation(
            encoded(changed(body, ("runtime-data", "strongroom"), BOUND | {"paths": [path]})), negotiated=True
        )


@pytest.mark.parametrize(
    ("member", "value"), [("deployment", "d-2"), ("purpose", "serve"), ("kbs", "cd" * 32)]
)  # fmt: skip
def test_fb_02_evidence_for_another_deployment_purpose_or_broker_is_refused(member, value):
    bound = kbs.Bound(**{**BOUND, "paths": tuple(BOUND["paths"]), member: value})
    with pytest.raises(kbs.KbsBindingRefused):
        bound.check(deployment="d-1", kbs="ab" * 32)


def test_fb_02_no_two_transcripts_are_one(key):
    """A byte moved from one field to the next changes the hash: the fields are members of a JSON object."""
    fields = [("ab", "c"), ("a", "bc"), ("abc", "")]
    hashes = {
        kbs.report_data_of(key, NONCE, kbs.Bound(deployment=first, purpose=second, paths=("p",), kbs="x"))
        for first, second in fields
    }
    assert len(hashes) == len(fields)


@pytest.mark.parametrize(
    "nonce",
    [NONCE[:-1], NONCE.replace("/", "_"), NONCE + "=", "", " " + NONCE, "Rm81", NONCE[:-2] + "9=", "é" * 44],
)
def test_a_nonce_has_one_spelling(nonce):
    with pytest.raises(kbs.KbsMessageMalformed):
        kbs.check_nonce(nonce)


def b64(data):
    return base64.b64encode(data).decode()


def test_evidence_is_read_as_it_is_written(replica):
    quote = replica.quote(bytes(64))
    tee, evidence = evidence_of(quote)
    assert (tee, quote_in("sgx", evidence)) == ("sgx", quote)


@pytest.mark.parametrize(
    "primary",
    [
        None, "text", {}, {"quote": 7}, {"quote": "not base64"}, {"quote": "AAA"}, {"quote": b64(bytes(100_000))},
        {"quote": b64(bytes(500))}, {"quote": "QUE\n"}, {"quote": b64(b"x"), "svn": "1"},
        {"svn": "1", "report_data": "AAAA"},
    ],
)  # fmt: skip
def test_evidence_of_another_form_is_refused(primary):
    with pytest.raises(kbs.KbsMessageMalformed):
        quote_in("sgx", primary)


def test_a_quote_of_another_kind_of_tee_is_refused(replica):
    quote = replica.quote(bytes(64))
    with pytest.raises(kbs.KbsTeeRefused):
        quote_in("tdx", {"quote": b64(quote), "cc_eventlog": None})
    with pytest.raises(kbs.KbsMessageMalformed):
        quote_in("tdx", {"quote": b64(quote), "cc_eventlog": 7})


def test_the_worked_examples_init_data_has_its_digest():
    proven = InitData.proven(INIT_DATA, bytes.fromhex(DIGEST))
    assert (proven.deployment, proven.purpose, proven.tenant) == ("d-42", "serve", None)
    assert InitData.proven(INIT_DATA, bytes.fromhex(DIGEST) + bytes(16)).deployment == "d-42"  # SGX's 64 bytes
    with pytest.raises(InitDataRefused):
        proven.check(deployment="d-41", purpose="serve", kbs="")
    proven.check(deployment="d-42", purpose="serve", kbs="")


@pytest.mark.parametrize(
    "text",
    [
        INIT_DATA.replace("d-42", "d-43"), INIT_DATA.replace("\n", "\r\n"), INIT_DATA + "\n",
        INIT_DATA.replace("sha384", "sha512"), INIT_DATA.replace("sha384", "sha-384"),
        INIT_DATA.replace("sha384", "md5"),
        INIT_DATA.replace("0.1.0", "0.2.0"), INIT_DATA.replace("[data]", "[datum]"), "= no toml", "x" * 20_000,
        INIT_DATA + "number = 1\n", "\ud800", "a=" + "[" * 5000,
    ],
)  # fmt: skip
def test_changed_init_data_is_refused(text):
    with pytest.raises(InitDataRefused) as caught:
        InitData.proven(text, bytes.fromhex(DIGEST))
    assert caught.value.code == "SR-KBS-INIT-DATA"


@pytest.mark.parametrize("ours", ["[]", "{", '{"more":"x"}', '{"tenant":1}'])
def test_init_data_of_ours_is_read_strictly(ours):
    text = f'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n"strongroom.json" = \'{ours}\'\n'
    with pytest.raises(InitDataRefused):
        InitData.proven(text, hashlib.sha256(text.encode()).digest())
