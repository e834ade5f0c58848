"""Intel's checklist for certificates, revocation lists and what they sign: each row a case of theirs, with our answer.

Where their API verifies a part alone, the part stands in a whole verification here. Their PCK revocation list comes
with a chain of its own to verify; ours is judged by the PCK CA of the quote's chain, so that its own chain lends it
nothing, whatever it looks like.
"""

import base64
from datetime import timedelta

import pytest

from strongroom.attestation import Anchor, EvidenceCode, EvidenceRefused, TcbStatus
from strongroom.attestation.anchors import AnchorUnusable
from strongroom.attestation.certificates import parse_pem_chain
from strongroom.attestation.fields import Fields
from strongroom.attestation.validity import Window
from strongroom.errors import StrongroomError
from strongroom.wire import Malformed, strict_json

UP = TcbStatus.UP_TO_DATE
DAY = timedelta(days=1)
NO_CHANGE = id
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def attribute(**values):
    return lambda world: [setattr(world, name, value) for name, value in values.items()]


def recipe(role, **values):
    return lambda world: [setattr(world.recipes[role], name, value) for name, value in values.items()]


def expired(role):
    return lambda world: recipe(role, since=world.now - 9 * DAY, until=world.now - DAY)(world)


def crl(which, **values):
    return lambda world: world.crls[which].update(values)


def crl_expired(which):
    return lambda world: world.crls[which].update(since=world.now - 9 * DAY, until=world.now - DAY)


def edit(**parts):
    return lambda world: world.collateral_edits.update(parts)


def document_expired(name):
    def changed(world):
        getattr(world, name)["nextUpdate"] = (world.now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    return changed


def other_key(lw_world):
    """Return a key that nobody in the world has."""
    return lw_world.stranger


def signed_by_stranger(role):
    return lambda world: recipe(role, signed_by=other_key(world))(world)


def crl_by_stranger(which):
    return lambda world: crl(which, key=other_key(world))(world)


def processor(world):
    world.recipes["ca"].name = "PCK Processor CA"
    world.sgx |= {"5": b"\x0a\x01\x00", "6": None, "7": None}


def upper_hex(world):
    parts = world.collateral()
    edit(root_ca_crl=parts["root_ca_crl"].upper(), pck_crl=parts["pck_crl"].upper())(world)


def pck_crl_of_the_signer(world):
    world.crls["pck"]["issuer"] = "signer"
    world.crl_chain = ("signer", "root")


def tdx(world):
    world.become(4, 2)


def second_version(world):
    world.tcb_info["version"] = 2
    del world.tcb_info["id"]
    for level in world.tcb_info["tcbLevels"]:
        svns = level["tcb"].pop("sgxtcbcomponents")
        level["tcb"] |= {f"sgxtcbcomp{place:02}svn": entry["svn"] for place, entry in enumerate(svns, 1)}


PCK_CERT = {
    "sholuldReturnCrlInvalidWhenCrlIntermediateVerifierFail": ("CRL_INVALID_SIGNATURE", crl_by_stranger("pck")),
    "sholuldReturnCrlInvalidWhenCrlRootVerifierFail": ("CRL_INVALID_SIGNATURE", crl_by_stranger("root")),
    "sholuldReturnIntermediateMissingWhenIntermediateCertIsNotPresent": (
        "PCK_CHAIN", attribute(pck_chain=("leaf", "root"))),
    "sholuldReturnIntermediateMissingWhenVerifyIntermediateFail": (
        "INTERMEDIATE_CA", recipe("ca", ca=False, path_length=None)),
    "sholuldReturnIntermiediateCaRevokedWhenCrlIsRevoked": ("INTERMEDIATE_REVOKED", crl("root", revoked=[1002])),
    "sholuldReturnInvalidIssuerWhenIssuerIsWrong": ("PCK_INVALID_ISSUER", recipe("leaf", issuer_name="Somebody Else")),
    "sholuldReturnInvalidIssuerWhenSignatureIsWrong": ("PCK_INVALID_ISSUER", signed_by_stranger("leaf")),
    "sholuldReturnPckCertChainExpiredWhenIntermediateCertExpired": ("PCK_CHAIN_EXPIRED", expired("ca")),
    "sholuldReturnPckCertChainExpiredWhenPckCertExpired": ("PCK_CHAIN_EXPIRED", expired("leaf")),
    "sholuldReturnPckCertChainExpiredWhenRootCertExpired": ("ROOT_EXPIRED", expired("root")),
    "sholuldReturnPckCertUnTrustedWhenSigantureIsWrong": (
        "PCK_CERT_CHAIN_UNTRUSTED", attribute(pck_chain=("leaf", "ca", "signer"))),
    "sholuldReturnPckMissingWhenPckCertIsNotPresent": ("PCK_CHAIN", attribute(pck_chain=("ca", "root"))),
    "sholuldReturnPckMissingWhenSubjectIsWrong": ("SGX_PCK_MISSING", recipe("leaf", name="=test common name")),
    "sholuldReturnPckRevokedWhenCrlIsRevoked": ("PCK_REVOKED", crl("pck", revoked=[1003])),
    "sholuldReturnRootCaMissingWhenRootCaCertIsNotPresent": ("PCK_CHAIN", attribute(pck_chain=("leaf", "ca"))),
    "sholuldReturnRootCaMissingWhenVerifyRootCaFail": ("ROOT_UNTRUSTED", recipe("root", ca=False, path_length=None)),
    "sholuldReturnTrustedRootCaInvalidWhenSubjectIsWrong": ("ROOT_UNTRUSTED", recipe("root", name="=test common name")),
    "shouldReturnedStatusExpiredCrlWhenIntermediateCrlExpired": ("CRL_EXPIRED", crl_expired("pck")),
    "shouldReturnedStatusExpiredCrlWhenRootCrlExpired": ("CRL_EXPIRED", crl_expired("root")),
    "shouldReturnedStatusOkWhenVerifyPassPositive": (UP, NO_CHANGE),
}  # fmt: skip

PCK_CRL = {
    "shouldReturnTrueWhenPckPlatformIsPresent": (UP, NO_CHANGE),
    "shouldReturnTrueWhenPckProcesorIsPresent": (UP, processor),
    "shouldReturnedCaCertInvalidWhenVerifyIntermediateFail": ("INTERMEDIATE_CA", recipe("ca", path_length=3)),
    "shouldReturnedCaCertInvalidWhenVerifyRootCACertFail": ("ROOT_UNTRUSTED", recipe("root", usage=("crl_sign",))),
    "shouldReturnedCrlInvalidExtensionWhenExtensionIsInvalid": ("MALFORMED", crl("pck", number=None)),
    "shouldReturnedCrlInvalidSignatureWhenSignatureIsInvalid": ("CRL_INVALID_SIGNATURE", crl_by_stranger("pck")),
    "shouldReturnedCrlUnknownIssuerWhenIssuerIsUnknown": ("CRL_UNKNOWN_ISSUER", crl("pck", issuer="leaf")),
    "shouldReturnedCrlUnkonwIssuerWhenTomposCertIsNotPresent": ("MALFORMED", edit(pck_crl_issuer_chain="")),
    "shouldReturnedCrlUnkonwIssuerWhenVerifyWithoutChainFail": ("CRL_UNKNOWN_ISSUER", crl("root", issuer="ca")),
    "shouldReturnedCrlUnkownIssuerWhenIssuerIsWrong": ("CRL_UNKNOWN_ISSUER", pck_crl_of_the_signer),
    "shouldReturnedIntermediateCaMissingWhenPckProcesorHasIncorrectSize": (
        "CRL_UNKNOWN_ISSUER", crl("pck", issuer="root")),
    "shouldReturnedRootCaInvalidWhenRootCertChainIsNotPresent": ("MALFORMED", edit(pck_crl_issuer_chain="")),
    "shouldReturnedRootCaInvalidWhenVerifyCRLIssuerCertChainFail": ("CRL_INVALID_SIGNATURE", crl_by_stranger("root")),
    "shouldReturnedRootCaMissingWhenRootCertIsNotPresent": ("PCK_CHAIN", attribute(pck_chain=("leaf", "ca"))),
    "shouldReturnedRootCaUntrustedWhenSignatureIsWrong": ("ROOT_UNTRUSTED", signed_by_stranger("root")),
    "shouldReturnedStatusOkWhenVerifyCRLIssuerCertChainPassWithoutError": (UP, attribute(crl_chain=("ca", "root"))),
    "shouldReturnedStatusOkWhenVerifyIntermediateSuccess": (UP, NO_CHANGE),
    "shouldReturnedStatusOkWhenVerifyWithCertChainPassPositive": (UP, NO_CHANGE),
    "shouldReturnedStatusOkWhenVerifyWithoutCertChainPassPositive": (UP, attribute(crl_chain=("root",))),
    "shouldReturnedTrustedRootCaInvalidWhenVerifyRootCACertFail": ("ROOT_UNTRUSTED", recipe("root", path_length=0)),
    "shouldReturnedUnsuportedFormatWhenPckPlatformHasIncorrectSize": (
        "CRL_INVALID_SIGNATURE",
        lambda world: [attribute(crl_chain=("leaf", "ca", "root"))(world), crl_by_stranger("pck")(world)]),
    "shouldReturnedUnsuportedFormatWhenPckProcesorHasIncorrectSize": (
        "CRL_INVALID_SIGNATURE",
        lambda world: [
            processor(world), attribute(crl_chain=("leaf", "ca", "root"))(world), crl_by_stranger("pck")(world)]),
    "shouldReturnedUnsuportedFormatWhenRootCaHasIncorrectSize": (
        "CRL_UNKNOWN_ISSUER",
        lambda world: [attribute(crl_chain=("ca", "root", "root"))(world), crl("root", issuer="ca")(world)]),
}  # fmt: skip

TCB_CHAIN = {
    "shouldReturnedRootCaMissingWhenRootCertIsNotPresent": ("TCB_SIGNING_CHAIN", attribute(tcb_chain=("signer",))),
    "shouldReturnedRootCaMissingWhenVerifyRootCACertFail": (
        "ROOT_UNTRUSTED", recipe("root", ca=False, path_length=None)),
    "shouldReturnedStatusOkWhenVerifyPassPositive": (UP, NO_CHANGE),
    "shouldReturnedTcbSigningCertChainUntrustedWhenSignatureIsWrong": (
        "TCB_SIGNING_CHAIN_UNTRUSTED", attribute(tcb_chain=("signer", "ca"))),
    "shouldReturnedTcbSigningCertInvalidIssuerWhenIssuerIsWrong": (
        "TCB_SIGNING_INVALID_ISSUER", recipe("signer", issuer_name="Somebody Else")),
    "shouldReturnedTcbSigningCertInvalidIssuerWhenSignatureIsWrong": (
        "TCB_SIGNING_INVALID_ISSUER", signed_by_stranger("signer")),
    "shouldReturnedTcbSigningCertMissingWhenCrlVerifyFail": ("CRL_INVALID_SIGNATURE", crl_by_stranger("root")),
    "shouldReturnedTcbSigningCertMissingWhenTcbCertIsNotPresent": ("TCB_SIGNING_CHAIN", attribute(tcb_chain=("root",))),
    "shouldReturnedTcbSigningCertRevokedWhenRootCertIsRevoked": ("TCB_SIGNING_REVOKED", crl("root", revoked=[1004])),
    "shouldReturnedTrustedRootCaInvalidWhenTrustedRootIsNotSelfSigned": ("ROOT_UNTRUSTED", signed_by_stranger("root")),
}  # fmt: skip

TCB_INFO = {
    "shouldReturnInfoInvalidSignatureWhenCheckSha256EcdsaSignatureFail": (
        "TCB_INFO_INVALID_SIGNATURE", lambda world: attribute(tcb_signing_key=other_key(world))(world)),
    "shouldReturnRootCaMissingWhenTcbSigningChainVerifyFail": ("TCB_SIGNING_CHAIN", attribute(tcb_chain=("signer",))),
    "shouldReturnStatusCrlExpiredWhenRootCaCrlExpired": ("CRL_EXPIRED", crl_expired("root")),
    "shouldReturnStatusOkWhenVerifyPassPositive": (UP, NO_CHANGE),
    "shouldReturnStatusSigningCertChainExpiredWhenRootCaExpired": ("ROOT_EXPIRED", expired("root")),
    "shouldReturnStatusSigningCertChainExpiredWhenSigningCertExpired": ("TCB_SIGNING_EXPIRED", expired("signer")),
    "shouldReturnStatusTcbInfoExpiredWhenTcbInfoExpired": ("TCB_INFO_EXPIRED", document_expired("tcb_info")),
}  # fmt: skip

IDENTITY = {
    "shouldReturnQeidentityInvalidSignatureWhenCheckSha256EcdsaSignatureFail": (
        "QE_IDENTITY_INVALID_SIGNATURE", lambda world: attribute(qe_signing_key=other_key(world))(world)),
    "shouldReturnRootCaMissingWhenTcbSigningChainVerifyFail": ("TCB_SIGNING_CHAIN", attribute(qe_chain=("signer",))),
    "shouldReturnStatusCertChainExpiredWhenRootCertExpired": ("ROOT_EXPIRED", expired("root")),
    "shouldReturnStatusCertChainExpiredWhenTcbSiningCertExpired": ("TCB_SIGNING_EXPIRED", expired("signer")),
    "shouldReturnStatusCrlExpiredWhenRootCrlExpired": ("CRL_EXPIRED", crl_expired("root")),
    "shouldReturnStatusEnclaveIdentityExpiredWhenNextUpdateExpired": (
        "QE_IDENTITY_EXPIRED", document_expired("qe_identity")),
    "shouldReturnStatusOkWhenVerifyPassPositive": (UP, NO_CHANGE),
}  # fmt: skip

WHOLE = {
    "VerifyEnclaveIdentityIT": {
        "verifyEnclaveIdentityShouldReturnStatusOkWhenCrlAsDER": (UP, upper_hex),
    },
    "VerifyEnclaveReportIT": {
        "validDataFormatShouldReturnEnclaveIdentityInvalid": (
            "MALFORMED", lambda world: world.qe_identity.update(mrsigner="")),
        "validEncaveReportandEnclaveIdentityShouldReturnStatusOk": (UP, NO_CHANGE),
    },
    "VerifyPCKCertificateIT": {
        "shouldReturnedCrlUnsuportedFormatWhenIntermediateCrlIsWrong": ("MALFORMED", edit(pck_crl="00")),
        "shouldReturnedCrlUnsuportedFormatWhenIntermediateCrlPEMIsWrong": (
            "MALFORMED", edit(pck_crl="-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----")),
        "shouldReturnedCrlUnsuportedFormatWhenRootCaCrlIsWrong": ("MALFORMED", edit(root_ca_crl="3000")),
        "shouldReturnedStatusOkWhenPassingArgumnetsAreValidCrlAsDer": (UP, NO_CHANGE),
        "shouldReturnedUnsuportedCertFormatWhenCertChainIsNull": ("PCK_CHAIN", attribute(cert_data=b"")),
        "shouldReturnedUnsuportedCertFormatWhenCertChainLengthIsIncorrect": (
            "PCK_CHAIN", attribute(pck_chain=("leaf", "ca", "ca", "root"))),
        "shouldReturnedUnsuportedCertFormatWhenCertChainParseFail": (
            "PCK_CHAIN", attribute(cert_data=f"{BEGIN}\nAAAA\n{END}\n".encode())),
        "shouldReturnedUsuportedCertFormatWhenCrlsIsNull": ("CRL_MISSING", edit(root_ca_crl="", pck_crl="")),
        "shouldReturnedUsuportedCertFormatWhenIntermediateIsNull": ("CRL_MISSING", edit(pck_crl="")),
        "shouldReturnedUsuportedCertFormatWhenRootCaCrlIsNull": ("CRL_MISSING", edit(root_ca_crl="")),
    },
    "VerifyPCKRevocationListIT": {
        "shouldReturnCaCertUnsupportedFormatWhenInvalidCertChain": ("MALFORMED", edit(pck_crl_issuer_chain="invalid")),
        "shouldReturnCrlUnsupportedFormatWhenInvalidCrl": ("MALFORMED", edit(pck_crl="invalid")),
        "shouldReturnCrlUnsupportedFormatWhenInvalidInput": ("CRL_MISSING", edit(pck_crl="")),
        "shouldVerifyIntermediateCaCrlPositiveWhenCrlIsDer": (UP, NO_CHANGE),
        "shouldVerifyRootCaCrlPositiveWhenCrlIsDer": (UP, NO_CHANGE),
    },
    "VerifyQuoteIT": {
        "shouldReturnedMissingParmatersWhenPckCertificateIsNull": ("PCK_CHAIN", attribute(cert_data=b"\0")),
        "shouldReturnedMissingParmatersWhenPckCrlIsNull": ("CRL_MISSING", edit(pck_crl="")),
        "shouldReturnedMissingParmatersWhenTcbInfoJsonIsNull": ("TCB_INFO_INVALID_SIGNATURE", edit(tcb_info="")),
        "shouldReturnedStatusOKWhenVerifyQuoteV3Successffuly": (UP, second_version),
        "shouldReturnedStatusOKWhenVerifyQuoteV3SuccessffulyWithNoQeIdentityJson": (
            "QE_IDENTITY_INVALID_SIGNATURE", edit(qe_identity="")),  # here it is never left out
        "shouldReturnedStatusOKWhenVerifyQuoteV3WithSgxTcbInfoV3Successffuly": (UP, NO_CHANGE),
        "shouldReturnedStatusOKWhenVerifySgxQuoteV4Successffuly": (UP, lambda world: world.become(4, 1)),
        "shouldReturnedStatusOKWhenVerifySgxQuoteV4WithoutQeIdentitySuccessffuly": (
            "QE_IDENTITY_INVALID_SIGNATURE", lambda world: [world.become(4, 1), edit(qe_identity="")(world)]),
        "shouldReturnedStatusOKWhenVerifyTdxQuoteV4Successfully": (UP, tdx),
        "shouldReturnedStatusOKWhenVerifyTdxQuoteV4WithoutQeIdentitySuccessfully": (
            "QE_IDENTITY_INVALID_SIGNATURE", lambda world: [tdx(world), edit(qe_identity="")(world)]),
        "shouldReturnedStatusTdxModuleMismatchWhenVerifyTdxQuoteV4WithDifferentMrsignerSeam": (
            "TDX_MODULE_MISMATCH", lambda world: world.become(4, 2, mr_signer_seam=b"\1" * 48)),
        "shouldReturnedStatusTdxModuleMismatchWhenVerifyTdxQuoteV4WithDifferentSeamAttributes": (
            "TDX_MODULE_MISMATCH", lambda world: world.become(4, 2, seam_attributes=b"\1" * 8)),
        "shouldReturnedUnsuportedPckCertFormatWhenVerifyPckCertFail": (
            "PCK_CHAIN", attribute(cert_data=b"not a chain")),
        "shouldReturnedUnsuportedPckCrlFormatWhenVerifyPckCrlFail": ("MALFORMED", edit(pck_crl="0102")),
        "shouldReturnedUnsuportedQeIdentityFormatWhenQEIdentityIsWrong": (
            "MALFORMED", attribute(qe_identity_text="wrong")),
        "shouldReturnedUnsuportedQeIdentityFormatWhenVerifyQEidentityFail": (
            "MALFORMED", attribute(qe_identity_text="{}")),
        "shouldReturnedUnsuportedQuoteFormatWhenQuoteHeaderVersionIsWrong": (
            "UNSUPPORTED_QUOTE_VERSION", lambda world: attribute(header=b"\x00\x00" + world.header[2:])(world)),
        "shouldReturnedUnsuportedQuoteFormatWhenQuoteParseFail": (
            "QUOTE_TRUNCATED", attribute(quote=lambda: b"quote")),
        "shouldReturnedUnsuportedTcbInfoFormatWhenVerifyTcbInfoFail": (
            "TCB_INFO_FORMAT", attribute(tcb_info_text="{}")),
    },
    "VerifyTCBInfoIT": {
        "shouldReturnCertUnsupportedFormatWhenInvalidInput": ("TCB_SIGNING_CHAIN", edit(tcb_info_issuer_chain="")),
        "shouldReturnCrlUnsupportedFormatWhenInvalidRootCaCrl": ("MALFORMED", edit(root_ca_crl="ffff")),
        "shouldReturnUnsupportedCertFormatWhenInvalidCertChain": (
            "TCB_SIGNING_CHAIN", edit(tcb_info_issuer_chain="invalid")),
        "verifySgxTCBInfoV3ShouldReturnStatusOk": (UP, NO_CHANGE),
        "verifySgxTCBInfoV3ShouldReturnTcbInfoMismatchWhenTcbTypeUnsupported": (
            "TCB_TYPE", lambda world: world.tcb_info.update(tcbType=1)),
        "verifyTCBInfoV2ShouldReturnStatusOk": (UP, second_version),
        "verifyTdxTCBInfoV3ShouldReturnStatusOk": (UP, tdx),
    },
    "BaseVerifierCommonNameParametrized": {  # theirs asks whether a name contains the role; ours is the role or not
        "testAllMatches": ("SGX_PCK_MISSING", recipe("leaf", name="=Intel SGX PCK Certificate of Somebody")),
    },
}  # fmt: skip

SUITES = {
    "VerifyPckCertUT": PCK_CERT,
    "VerifyPckCrlUT": PCK_CRL,
    "VerifyTcbSigningChainUT": TCB_CHAIN,
    "TCBInfoVerifierUT": TCB_INFO,
    "EnclaveIdentityVerifierUT": IDENTITY,
    **WHOLE,
}
ROWS = [pytest.param(*row, id=f"{suite}.{case}") for suite, table in SUITES.items() for case, row in table.items()]


@pytest.mark.parametrize(("wanted", "change"), ROWS)
def test_sc_03_sc_07_sc_11_chains_lists_and_what_they_sign(judge, world, lw, wanted, change):
    world.stranger = lw.KEYS["other"]
    anchor = Anchor.from_certificate(world.root_der())  # before anything is changed: the root keeps its key
    change(world)
    if isinstance(wanted, TcbStatus):
        assert judge(world, anchors=[anchor]).status is wanted
        return
    with pytest.raises(StrongroomError) as caught:
        judge(world, anchors=[anchor])
    assert caught.value.reason == wanted, caught.value.sentence


@pytest.mark.parametrize("data", [b"", b"wrong", b"\x30\x00", f"{BEGIN}\nAAAA\n{END}\n".encode()])
def test_sc_02_a_trusted_root_that_cannot_be_read_is_no_anchor(data):
    """VerifyPCKCertificateIT, …RevocationListIT, VerifyTCBInfoIT: the trusted root is null or no certificate."""
    with pytest.raises(AnchorUnusable):
        Anchor.from_certificate(data)


# --- PEM ---------------------------------------------------------------------------------------------------------


def block(lw, world, role, begin=BEGIN, end=END):
    body = base64.b64encode(world.certificate(role).public_bytes(lw.serialization.Encoding.DER)).decode()
    return f"{begin}\n{body}\n{end}"


READ = {
    "simpleParsing": lambda one, _two, _three: one,
    "parsingTwoElements": lambda one, two, _three: one + two,
    "parsingThreeElements": lambda one, two, three: one + two + three,
    "parsingTwoElementsWithNewLines": lambda one, two, _three: one + "\n" + two + "\n",
    "parsingTwoElementsWithNewLinesWithMixedNewLinesTypes": lambda one, two, _three: one + "\r\n" + two + "\n",
}


@pytest.mark.parametrize("join", READ.values(), ids=READ)
def test_ev_09_a_chain_that_is_read(lw, world, join):
    blocks = [block(lw, world, role) for role in ("leaf", "ca", "root")]
    text = join(*blocks)
    chain = parse_pem_chain(text.encode(), what="chain", error=Malformed)
    names = ["Intel SGX PCK Certificate", "Intel SGX PCK Platform CA", "Intel SGX Root CA"]
    assert [certificate.common_name for certificate in chain] == names[: text.count(BEGIN)]


UNREAD = {  # theirs takes what it can read of some of these; ours takes a chain or refuses it
    "emptyString": lambda _one, _two, _turned: "",
    "begCertHasMissngDashShouldReturnNothing": lambda one, _two, _turned: one.replace(BEGIN, BEGIN[:-1]),
    "endCertificateHasMissingDashShouldReturnNothing": lambda one, _two, _turned: one.replace(END, END[:-1]),
    "parsingOneCertificateWithBegAndEndCertInverted": lambda _one, _two, turned: turned,
    "parsingTwoCertificatesWithFirstBegAndEndCertInverted": lambda one, _two, turned: turned + one,
    "parsingTwoCertificatesWithSecondBegAndEndCertInverted": lambda one, _two, turned: one + turned,
    "parsingThreeCertificatesWithLastBegAndEndCertInverted": lambda one, two, turned: one + two + turned,
    "parsingThreeCertificatesWithMiddleBegAndEndCertInverted": lambda one, two, turned: one + turned + two,
    "parsingTwoElementsMissingSecondBegFormat": lambda one, two, _turned: one + two.replace(BEGIN, ""),
    "parsingThreeElementsMissingSecondBegFormat": lambda one, two, _turned: one + two.replace(BEGIN, "") + one,
    "parsingTwoElementsSecondIncorrectBegFormat": lambda one, two, _turned: one + two.replace(BEGIN, BEGIN[:-1]),
}


@pytest.mark.parametrize("join", UNREAD.values(), ids=UNREAD)
def test_ev_09_a_chain_that_is_not_read(lw, world, join):
    one, two = block(lw, world, "leaf"), block(lw, world, "ca")
    turned = block(lw, world, "leaf", begin=END, end=BEGIN)
    with pytest.raises(Malformed):
        parse_pem_chain(join(one, two, turned).encode(), what="chain", error=Malformed)


# --- validity ----------------------------------------------------------------------------------------------------

VALIDITY = {
    "validityIsValidFalseWhenDateAfter": (-2, -1, False),
    "validityIsValidFalseWhenDateBefore": (1, 2, False),
    "validityIsValidFalseWhenValidityInversed": (1, -1, False),
    "validityIsValidTrueWhenDateAtBeginning": (0, 1, True),
    "validityIsValidTrueWhenDateAtEnd": (-1, 0, True),
    "validityIsValidTrueWhenDateInsidePeriod": (-1, 1, True),
}


@pytest.mark.parametrize(("since", "until", "valid"), VALIDITY.values(), ids=VALIDITY)
def test_sc_12_a_validity(world, since, until, valid):
    window = Window("leaf", world.now + since * DAY, world.now + until * DAY, EvidenceCode.PCK_CHAIN_EXPIRED)
    if valid:
        window.require(world.now)
        return
    with pytest.raises(EvidenceRefused):
        window.require(world.now)


# --- JSON --------------------------------------------------------------------------------------------------------

OBJECT = '{"hex":"0aFF","word":"text","number":7,"minus":-7,"day":"2024-02-29T10:00:00Z","inner":{"a":[1]}}'


def fields(text):
    return Fields.parse(text.encode(), what="test", error=Malformed)


JSON_READ = {
    "shouldCheckObjectWithDates": (OBJECT, lambda found: found.date("day").isoformat(), "2024-02-29T10:00:00+00:00"),
    "shouldParseObjectWithDate": (OBJECT, lambda found: found.date("day").day, 29),
    "shouldParseObjectWithHexstring": (OBJECT, lambda found: found.hex("hex", 2), b"\x0a\xff"),
    "shouldParseObjectWithInt": (OBJECT, lambda found: found.integer("minus"), -7),
    "shouldParseObjectWithString": (OBJECT, lambda found: found.text("word"), "text"),
    "shouldParseObjectWithUint": (OBJECT, lambda found: found.number("number", limit=255), 7),
    "shouldReturnMainObjectFields": (OBJECT, lambda found: found.nested("inner").items("a"), [1]),
    "shouldParseEmptyJson": ("{}", lambda found: found.value, {}),
}
JSON_REFUSED = {
    "shouldFailWhenParsingEmptyString": ("", lambda found: found),
    "shouldFailWhenParsingNonJson": ("not json", lambda found: found),
    "shouldFailWhenParsingNonObjectJson": ("[1]", lambda found: found),
    "shouldFailWhenParsingInvalidHexstringField": (OBJECT, lambda found: found.hex("word", 2)),
    "shouldFailWhenParsingWrongLengthHexstringField": (OBJECT, lambda found: found.hex("hex", 3)),
    "shouldFailWhenParsingInvalidIntField": (OBJECT, lambda found: found.integer("word")),
    "shouldFailWhenParsingInvalidUintField": (OBJECT, lambda found: found.number("minus", limit=255)),
}


@pytest.mark.parametrize(("text", "take", "wanted"), JSON_READ.values(), ids=JSON_READ)
def test_json_that_is_read(text, take, wanted):
    assert take(fields(text)) == wanted


@pytest.mark.parametrize(("text", "take"), JSON_REFUSED.values(), ids=JSON_REFUSED)
def test_ev_08_json_that_is_refused(text, take):
    with pytest.raises(Malformed):
        take(fields(text))


def test_ev_08_a_value_alone_is_json_and_no_document():
    assert strict_json.loads("1") == 1
    with pytest.raises(Malformed):
        fields("1")
