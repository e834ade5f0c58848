"""Attestation tokens: what a service signed is accepted, and every broken rule has its own code (threat SC-16)."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation import TcbStatus, Tee, TrustDomain
from strongroom.attestation.claims import EvidenceSource
from strongroom.attestation.tokens import SIMULATED_MARK, verify_token
from strongroom.attestation.validity import TimeWithoutZone
from strongroom.errors import Tampered


@pytest.fixture
def refused():
    def check(service, token, code, **options):
        with pytest.raises(Tampered) as caught:
            service.verify(token, **options)
        assert caught.value.code == code
        return caught.value.sentence

    return check


def test_a_token_of_azure_attestation_becomes_claims(maa, tools):
    verdict = maa.verify(maa.token(), report_data=tools["report_data"])
    claims = verdict.claims()
    assert (claims.source, claims.trust_domain, claims.tee) == (
        EvidenceSource.MAA, TrustDomain.AZURE_ATTESTATION, Tee.SGX,
    )  # fmt: skip
    assert (claims.mr_enclave, claims.mr_signer) == (b"\xe1" * 32, b"\x51" * 32)
    assert (claims.isv_prod_id, claims.isv_svn, claims.debug) == (7, 3, False)
    assert claims.report_data == tools["report_data"]
    assert claims.evidence_time == maa.now - timedelta(seconds=10)
    assert verdict.bound
    assert verdict.key_id == "one"


def test_what_a_token_does_not_say_stays_unknown(maa):
    claims = maa.verify(maa.token()).claims()
    unknown = ("tcb_status", "advisories", "tcb_date", "fmspc", "pck_ppid", "attributes", "xfrm", "config_id",
               "config_svn", "isv_ext_prod_id", "isv_family_id", "collateral_issued", "mr_td", "reserved_clear",
               "tcb_eval_ref_num", "root_key_id")  # fmt: skip
    assert {name: getattr(claims, name) for name in unknown} == dict.fromkeys(unknown)


def test_key_separation_fields_are_read_where_the_token_has_them(maa):
    claims = maa.verify(
        maa.token(
            **{
                "x-ms-sgx-config-id": "0a" * 64,
                "x-ms-sgx-config-svn": 3451,
                "x-ms-sgx-isv-extended-product-id": "0b" * 16,
                "x-ms-sgx-isv-family-id": "0c" * 16,
            }
        )
    ).claims()
    assert (claims.config_id, claims.config_svn) == (b"\x0a" * 64, 3451)
    assert (claims.isv_ext_prod_id, claims.isv_family_id) == (b"\x0b" * 16, b"\x0c" * 16)


def test_a_tdx_token_of_azure_attestation_becomes_claims(maa_tdx):
    claims = maa_tdx.verify(maa_tdx.token()).claims()
    assert (claims.tee, claims.tcb_status, claims.debug) == (Tee.TDX, TcbStatus.UP_TO_DATE, False)
    assert (claims.mr_td, claims.rtmr3) == (b"\x5b" * 48, b"\xa3" * 48)
    assert claims.td_attributes == bytes.fromhex("0000001000000000")
    assert (claims.mr_service_td, claims.mr_enclave) == (None, None)


@pytest.mark.parametrize("algorithm", ["RS256", "PS384"])
def test_a_token_of_trust_authority_becomes_claims(ita, algorithm):
    claims = ita.verify(ita.token(algorithm=algorithm)).claims()
    assert (claims.source, claims.trust_domain) == (EvidenceSource.ITA, TrustDomain.INTEL_TRUST_AUTHORITY)
    assert (claims.tcb_status, claims.advisories) == (TcbStatus.SW_HARDENING_NEEDED, ("INTEL-SA-00334",))
    assert claims.tcb_date == datetime(2025, 8, 13, tzinfo=UTC)
    assert (claims.mr_enclave, claims.isv_svn, claims.debug) == (b"\xe1" * 32, 3, False)


def test_a_tdx_token_of_trust_authority_becomes_claims(ita_tdx):
    claims = ita_tdx.verify(ita_tdx.token()).claims()
    assert (claims.tee, claims.mr_seam, claims.advisories) == (Tee.TDX, b"\x2f" * 48, None)


def test_trust_authoritys_second_version_holds_one_object_for_each_attester(ita, ita_tdx, refused):
    sgx = {name: value for name, value in ita.claims.items() if name not in ("ver", "attester_type")}
    ita.claims = {"ver": "2.0.0", "sgx": sgx}
    assert ita.verify(ita.token()).claims().mr_enclave == b"\xe1" * 32
    refused(ita, ita.token(tdx=ita_tdx.claims), "SR-TOKEN-TYPE")
    refused(ita, ita.token(sgx=None), "SR-TOKEN-TYPE")
    refused(ita, ita.token(sgx="text"), "SR-TOKEN-CLAIM")


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS256", "RS384", "ES256", "PS256", "EdDSA", "rs256"])
def test_sc_16_other_algorithms_are_refused(maa, refused, algorithm):
    token = maa.token(header={"alg": algorithm})
    refused(maa, token, "SR-TOKEN-ALGORITHM" if algorithm else "SR-TOKEN-FORMAT")


def test_sc_16_a_token_without_signature_is_refused(maa, refused):
    head, payload, _ = maa.token(header={"alg": "none"}).split(b".")
    refused(maa, head + b"." + payload + b".", "SR-TOKEN-ALGORITHM")
    head, payload, _ = maa.token().split(b".")
    refused(maa, head + b"." + payload + b".", "SR-TOKEN-SIGNATURE")


def test_sc_16_the_public_key_is_no_shared_secret(maa, refused, tools):
    public = maa.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, payload, _ = maa.token(header={"alg": "HS256"}).split(b".")
    forged = tools["b64"](hmac.digest(public, head + b"." + payload, hashlib.sha256))
    refused(maa, head + b"." + payload + b"." + forged, "SR-TOKEN-ALGORITHM")


def test_sc_16_trust_authoritys_algorithms_are_not_azures(maa, refused):
    refused(maa, maa.token(algorithm="PS384"), "SR-TOKEN-ALGORITHM")


def test_sc_16_a_key_for_one_algorithm_is_not_used_with_another(ita, refused, tools):
    keys = ita.keys(tools["jwk"](ita.key, "one", alg="PS384"))
    ita.verify(ita.token(), keys=keys)
    refused(ita, ita.token(algorithm="RS256"), "SR-TOKEN-ALGORITHM", keys=keys)


@pytest.mark.parametrize("name", ["jwk", "x5c", "x5u", "x5t", "crit", "b64", "zip", "enc", "custom", "JKU"])
def test_sc_16_a_token_brings_no_key_and_no_extension(maa, refused, name, other_key, tools):
    value = tools["jwk"](other_key, "one") if name == "jwk" else ["https://evil.example/"]
    refused(maa, maa.token(header={name: value}, key=other_key), "SR-TOKEN-HEADER")


def test_sc_16_the_address_of_keys_is_compared_and_never_followed(maa, ita, refused):
    maa.verify(maa.token(header={"jku": "https://sharedcus.cus.attest.azure.net/certs"}))
    ita.verify(ita.token(header={"jku": "https://portal.trustauthority.intel.com/certs"}))
    for url in ("https://evil.example/certs", "https://sharedcus.cus.attest.azure.net/certs/", "HTTPS://SHAREDCUS"):
        assert "configured is" in refused(maa, maa.token(header={"jku": url}), "SR-TOKEN-HEADER")


def test_sc_16_a_swapped_key_is_refused(maa, refused, other_key, tools):
    refused(maa, maa.token(key=other_key), "SR-TOKEN-SIGNATURE")
    refused(maa, maa.token(header={"kid": "two"}), "SR-TOKEN-KEY")
    refused(maa, maa.token(), "SR-TOKEN-SIGNATURE", keys=maa.keys(tools["jwk"](other_key, "one")))


@pytest.mark.parametrize("header", [{"kid": None}, {"kid": ""}, {"kid": 1}, {"alg": None}, {"alg": ["RS256"]}])
def test_a_header_without_algorithm_or_key_id_is_refused(maa, refused, header):
    refused(maa, maa.token(header=header), "SR-TOKEN-FORMAT")


def test_another_type_of_token_is_refused(maa, refused):
    maa.verify(maa.token(header={"typ": None}))
    refused(maa, maa.token(header={"typ": "dpop+jwt"}), "SR-TOKEN-HEADER")


def test_every_changed_byte_is_refused(maa):
    token = maa.token()
    for position in range(0, len(token), 7):
        changed = bytearray(token)
        changed[position] = ord("A") if changed[position] != ord("A") else ord("B")
        with pytest.raises(Tampered):
            maa.verify(bytes(changed))


def test_bytes_that_are_no_token_are_refused(maa, refused):
    token = maa.token()
    head, payload, signature = token.split(b".")
    for broken in (
        b"", b".", b"..", b"...", token + b".", token + b"\n", b" " + token, token + b"=", b"Bearer " + token,
        b".".join((head, payload)), b".".join((head, payload, signature, b"")), b"\xff.\xff.\xff",
        b".".join((head + b"A", payload, signature)), b".".join((head, payload.replace(b"a", b"+"), signature)),
        b"A" * 70_000, b"." * 70_000, b".".join((head, payload, b"A" * 2000)), json.dumps({"token": "x"}).encode(),
    ):  # fmt: skip
        refused(maa, broken, "SR-TOKEN-FORMAT")


def test_base64url_has_one_spelling(maa, refused):
    head, payload, signature = maa.token().split(b".")
    last = {b"A": b"B", b"Q": b"R", b"g": b"h", b"w": b"x"}[signature[-1:]]  # the same bytes, with spare bits set
    same = base64.urlsafe_b64decode(signature[:-1] + last + b"==") == base64.urlsafe_b64decode(signature + b"==")
    assert same
    refused(maa, b".".join((head, payload, signature[:-1] + last)), "SR-TOKEN-FORMAT")


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"[]", b"1", b"null", b'{"iss": "a", "iss": "a"}', b'{"exp": NaN}', b'{"iss": "a"} x', b"\xff{}",
        b'{"a": {"b": 1, "b": 2}}', b"[" * 40 + b"]" * 40,
    ],
)  # fmt: skip
def test_a_payload_that_is_not_one_strict_json_object_is_refused(maa, refused, payload):
    refused(maa, maa.signed(payload), "SR-TOKEN-CLAIM")


def test_sc_16_another_issuer_is_refused(maa, refused):
    refused(maa, maa.token(iss="https://tenantofmallory.cus.attest.azure.net"), "SR-TOKEN-ISSUER")
    refused(maa, maa.token(iss=maa.issuer + "/"), "SR-TOKEN-ISSUER")
    refused(maa, maa.token(iss=None), "SR-TOKEN-CLAIM")


def test_sc_16_an_audience_must_be_ours(maa, refused):
    maa.verify(maa.token(aud="us"), audience="us")
    maa.verify(maa.token(aud=["them", "us"]), audience="us")
    refused(maa, maa.token(aud="them"), "SR-TOKEN-AUDIENCE", audience="us")
    refused(maa, maa.token(aud="us"), "SR-TOKEN-AUDIENCE")
    refused(maa, maa.token(), "SR-TOKEN-AUDIENCE", audience="us")
    refused(maa, maa.token(aud=[]), "SR-TOKEN-AUDIENCE")
    refused(maa, maa.token(aud={"a": 1}), "SR-TOKEN-CLAIM")
    refused(maa, maa.token(aud=["us", 1]), "SR-TOKEN-CLAIM", audience="us")


def test_sc_16_a_token_counts_from_nbf_to_exp_with_a_little_skew(maa, refused):
    token, end = maa.token(), maa.now + timedelta(seconds=3600)
    maa.verify(token, at=end + timedelta(seconds=60))
    refused(maa, token, "SR-TOKEN-EXPIRED", at=end + timedelta(seconds=61))
    refused(maa, token, "SR-TOKEN-EXPIRED", at=end + timedelta(seconds=1), skew=timedelta(0))
    maa.verify(token, at=maa.now - timedelta(seconds=70))
    refused(maa, token, "SR-TOKEN-EXPIRED", at=maa.now - timedelta(seconds=71))
    refused(maa, maa.token(iat=int(maa.now.timestamp()) + 120), "SR-TOKEN-EXPIRED")


def test_a_policy_sees_the_same_skew_as_the_verification(maa):
    claims = maa.verify(maa.token(nbf=int(maa.now.timestamp()) + 30)).claims()
    assert claims.not_before <= maa.now <= claims.not_after


def test_far_dates_are_dates(maa, refused):
    assert maa.verify(maa.token(iat=0, nbf=0, exp=32_503_680_000)).claims().not_after.year == 3000
    refused(maa, maa.token(exp=32_503_680_001), "SR-TOKEN-CLAIM")


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", [None, "1772366400", 1772366400.5, True, -1, 1 << 60, {}])
def test_dates_are_whole_seconds_and_all_there(maa, refused, name, value):
    refused(maa, maa.token(**{name: value}), "SR-TOKEN-CLAIM")


def test_a_token_that_ends_before_it_begins_is_refused(maa, refused):
    refused(maa, maa.token(exp=int(maa.now.timestamp()) - 30, nbf=int(maa.now.timestamp())), "SR-TOKEN-CLAIM")


def test_a_time_without_zone_is_refused(maa):
    with pytest.raises(TimeWithoutZone):
        verify_token(maa.token(), maa.keys(), maa.profile, at=datetime(2026, 3, 1))  # noqa: DTZ001  # the point


def test_sc_16_the_report_data_must_be_the_live_keys(maa, refused, tools):
    wanted = tools["report_data"]
    for other in (bytes(64), wanted[:-1] + b"\x01", wanted[:32], b""):
        refused(maa, maa.token(), "SR-TOKEN-NOT-BOUND", report_data=other)
    assert not maa.verify(maa.token()).bound


def test_a_nonce_that_was_sent_must_be_answered(maa, ita, refused):
    maa.verify(maa.token(nonce="n-1"), nonce="n-1")
    ita.verify(ita.token(verifier_nonce={"val": "n-1", "iat": "x", "signature": "y"}), nonce="n-1")
    refused(maa, maa.token(nonce="n-2"), "SR-TOKEN-NOT-BOUND", nonce="n-1")
    refused(maa, maa.token(), "SR-TOKEN-NOT-BOUND", nonce="n-1")
    refused(maa, maa.token(nonce="\ud800"), "SR-TOKEN-NOT-BOUND", nonce="n-1")
    refused(ita, ita.token(verifier_nonce={"val": 1}), "SR-TOKEN-NOT-BOUND", nonce="n-1")
    refused(ita, ita.token(verifier_nonce="n-1"), "SR-TOKEN-CLAIM", nonce="n-1")


@pytest.mark.parametrize(
    "claims",
    [{"x-ms-ver": "2.0"}, {"x-ms-ver": None}, {"x-ms-attestation-type": "sevsnpvm"}, {"x-ms-attestation-type": None},
     {"x-ms-attestation-type": ["sgx"]}],
)  # fmt: skip
def test_other_versions_and_machines_are_refused(maa, refused, claims):
    refused(maa, maa.token(**claims), "SR-TOKEN-TYPE")


@pytest.mark.parametrize(
    "claims", [{"ver": "1.1"}, {"ver": None}, {"attester_type": "SEVSNP"}, {"attester_type": None}]
)
def test_other_versions_and_machines_of_trust_authority_are_refused(ita, refused, claims):
    refused(ita, ita.token(**claims), "SR-TOKEN-TYPE")


@pytest.mark.parametrize(
    "claims",
    [
        {"x-ms-sgx-mrenclave": "e1" * 31}, {"x-ms-sgx-mrenclave": None}, {"x-ms-sgx-mrenclave": "zz" * 32},
        {"x-ms-sgx-mrsigner": 5}, {"x-ms-sgx-product-id": 65536}, {"x-ms-sgx-svn": "3"}, {"x-ms-sgx-svn": True},
        {"x-ms-sgx-is-debuggable": "false"}, {"x-ms-sgx-is-debuggable": 0}, {"x-ms-sgx-report-data": "00" * 32},
        {"x-ms-sgx-config-id": "00"}, {"x-ms-sgx-config-svn": -1},
    ],
)  # fmt: skip
def test_claims_of_another_form_are_refused(maa, refused, claims):
    refused(maa, maa.token(**claims), "SR-TOKEN-CLAIM")


@pytest.mark.parametrize(
    "claims",
    [
        {"tdx_mrtd": None}, {"tdx_report_data": None}, {"tdx_rtmr0": "00"}, {"tdx_td_attributes": "0000"},
        {"attester_tcb_status": "Fine"}, {"attester_tcb_status": 1}, {"attester_tcb_date": "2025-08-13"},
        {"attester_advisory_ids": "INTEL-SA-00334"}, {"attester_advisory_ids": [1]}, {"dbgstat": "who knows"},
    ],
)  # fmt: skip
def test_tdx_claims_of_another_form_are_refused(ita_tdx, refused, claims):
    refused(ita_tdx, ita_tdx.token(**claims), "SR-TOKEN-CLAIM")


@pytest.mark.parametrize(
    "claims",
    [{"tdx_td_attributes_debug": True}, {"tdx_td_attributes": "0100001000000000"}, {"dbgstat": "enabled"},
     {"tdx_is_debuggable": True}],
)  # fmt: skip
def test_two_answers_about_debugging_are_refused(ita_tdx, refused, claims):
    assert "both" in refused(ita_tdx, ita_tdx.token(**claims), "SR-TOKEN-CLAIM")


def test_debugging_that_nobody_speaks_of_stays_unknown(ita_tdx, ita):
    silent = {"tdx_td_attributes_debug": None, "tdx_td_attributes": None, "dbgstat": None}
    assert ita_tdx.verify(ita_tdx.token(**silent)).claims().debug is None
    assert ita.verify(ita.token(sgx_is_debuggable=None)).claims().debug is None
    assert ita.verify(ita.token(sgx_is_debuggable=True)).claims().debug is True


def test_a_doubles_token_is_simulated_and_nothing_else(double):
    keys = double.keys(**{SIMULATED_MARK: True})
    assert double.verify(double.token(), keys=keys).trust_domain is TrustDomain.SIMULATED
    assert double.verify(double.token()).trust_domain is TrustDomain.SIMULATED  # by its issuer alone


def test_id_13_a_double_cannot_pass_for_a_real_service(double, maa, refused):
    marked = {SIMULATED_MARK: True}
    # Its token under a real service's issuer, whatever its keys say.
    refused(maa, maa.token(**marked), "SR-TOKEN-SIMULATED")
    refused(maa, maa.token(), "SR-TOKEN-SIMULATED", keys=maa.keys(**marked))
    assert maa.verify(maa.token(**marked), keys=maa.keys(**marked)).trust_domain is TrustDomain.SIMULATED
    # Without the mark its issuer gives it away.
    refused(double, double.token(**{SIMULATED_MARK: None}), "SR-TOKEN-SIMULATED")


@pytest.mark.parametrize(
    "issuer",
    [
        "http://sharedcus.cus.attest.azure.net", "https://sharedcus.cus.attest.azure.net.evil.example",
        "https://evil.example/.attest.azure.net", "https://attest.azure.net", "https://a_b.attest.azure.net",
        "https://x.attest.azure.net:8443", "https://x.attest.azure.net/", "https://x@y.attest.azure.net", "",
    ],
)  # fmt: skip
def test_id_13_only_azures_own_hosts_are_azures_domain(maa, issuer):
    assert maa.profile.domain_of(issuer, f"{issuer}/certs") is TrustDomain.SIMULATED


@pytest.mark.parametrize(
    "url", [None, "http://127.0.0.1:1234/certs", "https://portal.trustauthority.intel.com.evil/certs"]
)
def test_id_13_keys_from_elsewhere_are_never_a_real_services(maa, ita, url):
    assert maa.profile.domain_of(maa.issuer, url) is TrustDomain.SIMULATED
    assert ita.profile.domain_of(ita.issuer, url) is TrustDomain.SIMULATED
    assert ita.profile.domain_of(ita.issuer, maa.keys().url) is TrustDomain.SIMULATED
    assert ita.profile.domain_of(ita.issuer, ita.keys().url) is TrustDomain.INTEL_TRUST_AUTHORITY


def test_a_verdict_has_no_truth_value_and_prints_what_it_knows(maa):
    verdict = maa.verify(maa.token())
    with pytest.raises(TypeError):
        bool(verdict)
    shown = json.loads(json.dumps(verdict.to_json_object()))
    assert shown["trust_domain"] == "azure-attestation"
    assert shown["claims"]["mr_enclave"] == "e1" * 32
    assert "tcb_status" not in shown["claims"]
