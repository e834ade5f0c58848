"""TDX quotes and collateral of a world, and SGX quotes of versions 4 and 5, under two verifiers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from strongroom.attestation import (
    INTEL,
    Anchor,
    BodyType,
    CertificationType,
    EvidenceRefused,
    TcbStatus,
    TdAttributes,
    Tee,
    TrustDomain,
    fmspc_of,
    parse_quote,
    pck_lookup_of,
    verify,
)
from strongroom.platforms.simulated import (
    CURRENT_MODULE,
    OLD_MODULE,
    QuoteFormat,
    Rehearsal,
    Revocation,
    TdxModule,
    World,
)

REPORT_DATA = bytes(range(64))


@pytest.fixture
def domain_1_5(trust_domain):
    return replace(trust_domain, loaded=CURRENT_MODULE)


@pytest.fixture
def tdx_collateral(world, now):
    return lambda rehearsal=None, **words: world.collateral(now, rehearsal, tee=Tee.TDX, **words)


@pytest.fixture
def judge_at(accepted, now):
    return accepted, now


@pytest.fixture
def disputed(anchors, second_opinion, now):
    """Return our verdict on evidence that the other verifier refuses for `reason` (a pattern)."""

    def judge(quote, collateral, reason):
        with pytest.raises(ValueError, match=reason):
            second_opinion(quote, collateral)
        return verify(quote, collateral, anchors=anchors, at=now)

    return judge


@pytest.fixture
def refused(anchors, second_opinion, now):
    """Return our code for evidence that the other verifier refuses too."""

    def judge(quote, collateral):
        with pytest.raises(ValueError, match=r"."):
            second_opinion(quote, collateral)
        with pytest.raises(EvidenceRefused) as refusal:
            verify(quote, collateral, anchors=anchors, at=now)
        return refusal.value.reason

    return judge


@pytest.mark.parametrize("form", [(4, BodyType.TD_1_0), (5, BodyType.TD_1_0), (5, BodyType.TD_1_5)])
def test_both_verifiers_accept_a_healthy_trust_domain(world, trust_domain, tdx_collateral, accepted, form):
    version, body = form
    identity = replace(trust_domain, loaded=CURRENT_MODULE if body is BodyType.TD_1_5 else None)
    verdict = accepted(world.quote(identity, REPORT_DATA, version=version), tdx_collateral())
    assert (verdict.tee, verdict.quote_version, verdict.body_type) == (Tee.TDX, version, body)
    assert (verdict.status, verdict.module_status) == (TcbStatus.UP_TO_DATE, TcbStatus.UP_TO_DATE)
    assert verdict.trust_domain is TrustDomain.SIMULATED
    assert verdict.body == identity.report(world.hardware, REPORT_DATA)
    assert verdict.fmspc == world.fmspc


@pytest.mark.parametrize("version", [4, 5])
def test_sgx_quotes_of_later_versions_are_accepted_here_and_unknown_there(world, identity, disputed, now, version):
    quote = world.quote(identity, REPORT_DATA, version=version)
    verdict = disputed(quote, world.collateral(now), "must have version 3")
    assert (verdict.tee, verdict.quote_version, verdict.status) == (Tee.SGX, version, "UpToDate")
    assert verdict.body == identity.report(world.hardware, REPORT_DATA)


def test_id_13_a_trust_domain_is_worth_nothing_under_intels_root(world, trust_domain, tdx_collateral, now):
    with pytest.raises(EvidenceRefused) as refusal:
        verify(world.quote(trust_domain, REPORT_DATA), tdx_collateral(), anchors=[INTEL], at=now)
    assert refusal.value.reason in {"ROOT_UNTRUSTED", "SIMULATED_EVIDENCE"}


def test_collateral_of_one_tee_judges_no_quote_of_the_other(world, identity, trust_domain, anchors, now):
    for mine, tee in ((identity, Tee.TDX), (trust_domain, Tee.SGX)):
        with pytest.raises(EvidenceRefused) as refusal:
            verify(world.quote(mine, REPORT_DATA), world.collateral(now, tee=tee), anchors=anchors, at=now)
        assert refusal.value.reason == "TCB_INFO_MISMATCH"


@pytest.mark.parametrize("status", [each for each in TcbStatus if "Relaunch" not in each and each != "Revoked"])
def test_a_rehearsed_platform_status_comes_out_of_both_verifiers(
    world, domain_1_5, tdx_collateral, accepted, status
):  # fmt: skip
    rehearsal = Rehearsal(status=status, advisories=("INTEL-SA-00615",))
    assert accepted(world.quote(domain_1_5, REPORT_DATA, version=5), tdx_collateral(rehearsal)).status is status


def test_an_old_module_is_out_of_date_on_a_healthy_platform(world, trust_domain, tdx_collateral, accepted):
    rehearsal = Rehearsal(module_status=TcbStatus.OUT_OF_DATE, module_advisories=("INTEL-SA-1",))
    verdict = accepted(world.quote(trust_domain, REPORT_DATA), tdx_collateral(rehearsal))
    assert (verdict.status, verdict.module_status, verdict.advisories) == ("OutOfDate", "OutOfDate", ("INTEL-SA-1",))


@pytest.mark.parametrize("what", ["module_status", "status", "qe_status"])
def test_what_is_revoked_is_a_claim_here_and_an_error_there(world, trust_domain, tdx_collateral, disputed, what):
    collateral = tdx_collateral(Rehearsal(**{what: TcbStatus.REVOKED}))
    verdict = disputed(world.quote(trust_domain, REPORT_DATA), collateral, r"[Rr]evoked")
    assert verdict.status is TcbStatus.REVOKED


def test_a_relaunch_is_advised_where_the_quote_says_which_module_is_loaded(
    world, trust_domain, tdx_collateral, accepted
):
    before = replace(trust_domain, module=OLD_MODULE)
    assert accepted(world.quote(before, REPORT_DATA), tdx_collateral()).status == "OutOfDate"
    loaded = world.quote(replace(before, loaded=CURRENT_MODULE), REPORT_DATA, version=5)
    assert accepted(loaded, tdx_collateral()).status == "TDRelaunchAdvised"
    rehearsal = Rehearsal(status=TcbStatus.CONFIGURATION_NEEDED)
    assert accepted(loaded, tdx_collateral(rehearsal)).status == "TDRelaunchAdvisedConfigurationNeeded"


@pytest.mark.parametrize(
    "case",
    [
        (TdxModule(version=3), Rehearsal(), "TDX_MODULE_MISMATCH"),
        (TdxModule(svn=1), Rehearsal(), "TCB_NOT_SUPPORTED"),
        (CURRENT_MODULE, Rehearsal(tdx_modules=None), "TCB_INFO_MISMATCH"),
        (CURRENT_MODULE, Rehearsal(unsupported=True), "TCB_NOT_SUPPORTED"),
        (CURRENT_MODULE, Rehearsal(revoked=frozenset({Revocation.PCK})), "PCK_REVOKED"),
        (CURRENT_MODULE, Rehearsal(revoked=frozenset({Revocation.PCK_CA})), "INTERMEDIATE_REVOKED"),
        (CURRENT_MODULE, Rehearsal(age=timedelta(days=31)), "TCB_INFO_EXPIRED"),
    ],
)
def test_what_is_rehearsed_is_refused_by_both_verifiers(world, trust_domain, tdx_collateral, refused, case):
    module, rehearsal, reason = case
    quote = world.quote(replace(trust_domain, module=module), REPORT_DATA)
    assert refused(quote, tdx_collateral(rehearsal)) == reason


def test_a_module_of_version_0_has_no_status_of_its_own(world, trust_domain, tdx_collateral, accepted):
    quote = world.quote(replace(trust_domain, module=TdxModule(version=0)), REPORT_DATA)
    verdict = accepted(quote, tdx_collateral())
    assert (verdict.status, verdict.module_status) == ("UpToDate", None)


def test_the_debug_bit_is_in_the_attributes_and_a_claim(world, trust_domain, tdx_collateral, anchors, now):
    debug = replace(trust_domain, attributes=TdAttributes.SEPT_VE_DISABLE | TdAttributes.DEBUG)
    verdict = verify(world.quote(debug, REPORT_DATA), tdx_collateral(), anchors=anchors, at=now)
    assert verdict.debug
    assert verdict.status == "UpToDate"


@pytest.mark.parametrize("kind", CertificationType)
def test_every_certification_type_verifies_with_the_looked_up_chain(world, identity, trust_domain, judge_at, kind):
    accepted, now = judge_at
    for tee, who in ((Tee.SGX, identity), (Tee.TDX, trust_domain)):
        quote = world.quote(who, REPORT_DATA, certification_type=kind)
        assert parse_quote(quote).certification_type is kind
        assert accepted(quote, world.collateral_with_chain(now, tee=tee)).status == "UpToDate"
        assert fmspc_of(parse_quote(quote), world.pck_chain) == world.fmspc


@pytest.mark.parametrize("kind", [CertificationType.RSA_2048_PPID, CertificationType.RSA_3072_PPID])
def test_an_encrypted_ppid_leads_back_to_the_world_that_made_it(world, other_world, trust_domain, kind):
    lookup = pck_lookup_of(parse_quote(world.quote(trust_domain, REPORT_DATA, certification_type=kind)))
    assert world.is_ours(lookup.encrypted_ppid)
    assert not other_world.is_ours(lookup.encrypted_ppid)
    assert world.hardware.ppid not in lookup.encrypted_ppid, "it is there to be opaque"
    assert lookup.cpu_svn.hex() + lookup.pce_svn.to_bytes(2, "little").hex() == world.pck_tcbm
    assert lookup.qe_id == world.hardware.qe_id


def test_without_the_chain_such_a_quote_is_refused(world, trust_domain, tdx_collateral, anchors, now):
    quote = world.quote(trust_domain, REPORT_DATA, certification_type=CertificationType.RSA_3072_PPID)
    with pytest.raises(EvidenceRefused) as refusal:
        verify(quote, tdx_collateral(), anchors=anchors, at=now)
    assert refusal.value.reason == "CERT_TYPE_UNSUPPORTED"


def test_an_early_update_says_what_the_standard_one_does_not_say_yet(world, trust_domain, tdx_collateral, accepted):
    early = Rehearsal(
        status=TcbStatus.OUT_OF_DATE, advisories=("INTEL-SA-1",), module_status=TcbStatus.OUT_OF_DATE,
        evaluation_number=21, qe_evaluation_number=20,
    )  # fmt: skip
    quote = world.quote(trust_domain, REPORT_DATA)
    first, second = accepted(quote, tdx_collateral(early)), accepted(quote, tdx_collateral(early.standard))
    assert (first.status, first.tcb_eval, first.qe_eval) == ("OutOfDate", 21, 20)
    assert (second.status, second.tcb_eval, second.qe_eval) == ("UpToDate", 20, 19)
    assert second.advisories == ()


@pytest.mark.parametrize(("tee", "version"), [(Tee.TDX, 3), (Tee.SGX, 2), (Tee.SGX, 6)])
def test_there_are_no_quotes_of_other_versions(tee, version):
    with pytest.raises(ValueError, match=r"no .* quotes of version"):
        QuoteFormat(tee=tee, version=version)


def test_a_quoting_enclave_signs_reports_of_its_own_kind_alone(world, identity, trust_domain, domain_1_5):
    sgx, tdx = world.quoting_enclave(), world.quoting_enclave(QuoteFormat(tee=Tee.TDX, version=4))
    with pytest.raises(ValueError, match="does not sign"):
        sgx.quote(trust_domain, REPORT_DATA)
    with pytest.raises(ValueError, match="does not sign"):
        tdx.quote(identity, REPORT_DATA)
    with pytest.raises(ValueError, match=r"version 1\.0"):
        tdx.quote(domain_1_5, REPORT_DATA)


def test_the_two_quoting_enclaves_of_a_world_are_different_enclaves(world, identity, trust_domain):
    sgx, tdx = (parse_quote(world.quote(who, REPORT_DATA)).qe_report for who in (identity, trust_domain))
    assert (sgx.isv_prod_id, tdx.isv_prod_id) == (1, 2)
    assert (sgx.mr_signer, tdx.mr_signer) == (world.qe_signer, world.td_qe_signer)
    assert sgx.mr_enclave != tdx.mr_enclave


def test_a_world_of_the_last_release_vouches_for_trust_domains_too(world_folder, now, trust_domain):
    """Nothing was added to the folder of a world: what release 0.1 wrote is all that TDX needs."""
    assert sorted(path.name for path in world_folder.iterdir()) == [
        "enclave_signer_key.pem", "machine.json", "pck.pem", "pck_ca.pem", "pck_ca_key.pem", "pck_key.pem",
        "root.pem", "root_key.pem", "tcb_signer.pem", "tcb_signer_key.pem",
    ]  # fmt: skip
    world = World.open(world_folder)
    verdict = verify(
        world.quote(trust_domain, REPORT_DATA), world.collateral(now, tee=Tee.TDX),
        anchors=[Anchor.from_certificate(world.root_der)], at=now,
    )  # fmt: skip
    assert verdict.status == "UpToDate"
