"""Intel's checklist for quotes: each row is a case of their tests, under its name, with our answer.

Their library reads a quote first and validates it afterwards; here one step does both, so that "parsed but not
validated" is a refusal of step 1. Versions 3, 4 and 5 share a table where their cases are the same.
"""

import struct

import pytest

from strongroom.attestation import EvidenceCode, EvidenceRefused, SgxReport, TcbStatus, TdReport, Tee, parse_quote

UP, SW, CONF, CONF_SW, OLD, OLD_CONF, RELAUNCH, RELAUNCH_CONF, REVOKED = TcbStatus
NO_CHANGE = id
AUTH = {(3, 1): 432, (4, 1): 432, (4, 2): 632, (5, 1): 438, (5, 2): 638, (5, 3): 702}  # where its length stands
QE_REPORT_BYTES, SIGNATURE_BYTES = 384, 64
TDX_KINDS = {"V4": (4, 2), "V5-TD1.0": (5, 2), "V5-TD1.5": (5, 3)}


def refused(data, *codes):
    with pytest.raises(EvidenceRefused) as caught:
        parse_quote(data)
    assert caught.value.reason in {EvidenceCode[code] for code in codes}, caught.value.sentence


def patched(data, at, value):
    return data[:at] + value + data[at + len(value) :]


def grown(data, at, size, by):
    """Add to a length of `size` bytes that stands at `at`."""
    return patched(data, at, (int.from_bytes(data[at : at + size], "little") + by).to_bytes(size, "little"))


def attribute(**values):
    return lambda world: [setattr(world, name, value) for name, value in values.items()]


# --- reading -----------------------------------------------------------------------------------------------------

HEADER = {
    "shouldParseEmptyHeader": ("UNSUPPORTED_QUOTE_VERSION", 0, bytes(48)),
    "shouldParseAndNotValidateBecauseAttestationKeyTypeNotSupported": ("UNSUPPORTED_AK_TYPE", 2, b"\x03\x00"),
    "shouldParseAndNotValidateBecauseQeVendorIdNotSupported": ("UNKNOWN_QE_VENDOR", 12, bytes(16)),
    "shouldParseButNotValidateBecauseVersionNotSupported": ("UNSUPPORTED_QUOTE_VERSION", 0, b"\x09\x00"),
    "shouldNotValdiateQuoteWithUnsupportedVersion": ("UNSUPPORTED_QUOTE_VERSION", 0, b"\x02\x00"),
    "shouldNotParseBecauseTeeTypeNotSupported": ("UNSUPPORTED_TEE", 4, b"\x03\x00\x00\x00"),
    "shoulNotValidateBecauseTeeTypeNotSupported": ("UNSUPPORTED_TEE", 4, b"\x82\x00\x00\x00"),
}


@pytest.mark.parametrize("kind", AUTH)
@pytest.mark.parametrize(("code", "at", "value"), HEADER.values(), ids=HEADER)
def test_ev_02_a_header(world, kind, code, at, value):
    version, body_type = kind
    quote = world.become(version, body_type).quote()
    if version == 3 and at == 4:
        code = "V3_NOT_SGX"
    refused(patched(quote, at, value), code)


@pytest.mark.parametrize("kind", AUTH)
def test_ev_02_should_parse_and_validate_quote_header(world, kind):
    """V4, V5: shouldParseAndValidateQuoteHeader, …SGXHeader, …TDXHeader, …SGXQuote, …TDX10Quote, …TDX15Header."""
    version, body_type = kind
    quote = parse_quote(world.become(version, body_type).quote())
    assert (quote.version, quote.body_type) == (version, body_type)
    assert quote.tee is (Tee.SGX if body_type == 1 else Tee.TDX)
    assert (quote.qe_svn, quote.pce_svn, quote.user_data) == (8, 13, bytes(20))


def empty_authentication(version, body_type, *, tail=b""):
    """Return a quote of the version's least size: everything zero, no authentication and no certification data."""
    sizes = {1: 384, 2: 584, 3: 648}
    vendor = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
    head = struct.pack("<HHIHH", version, 2, 0 if body_type == 1 else 0x81, 0, 0) + vendor + bytes(20)
    head += struct.pack("<HI", body_type, sizes[body_type]) if version == 5 else b""
    nested = bytes(QE_REPORT_BYTES + SIGNATURE_BYTES) + struct.pack("<HHI", 0, 5, 0)
    nested = struct.pack("<HI", 6, len(nested)) + nested if version > 3 else nested
    auth = bytes(2 * SIGNATURE_BYTES) + nested
    return head + bytes(sizes[body_type]) + struct.pack("<I", len(auth)) + auth + tail


@pytest.mark.parametrize("kind", AUTH)
def test_ev_01_should_parse_stub_quote_with_minimum_size(kind):
    version, body_type = kind
    quote = empty_authentication(version, body_type)
    assert len(quote) >= 1020
    assert (parse_quote(quote).qe_auth_data, parse_quote(quote).certification_data) == (b"", b"")


@pytest.mark.parametrize("kind", AUTH)
def test_ev_01_should_not_deserialize_if_quote_too_short(kind):
    """V4, V5: shouldNotDeserializeIfQuoteTooShort, shouldNotParseTooShortQuote; IT: …WhenQuoteSizeIsIncorrect."""
    version, body_type = kind
    quote = empty_authentication(version, body_type)
    for size in (0, 1, 47, 48, 431, len(quote) - 1):
        refused(quote[:size], "QUOTE_TRUNCATED")


@pytest.mark.parametrize("kind", AUTH)
@pytest.mark.parametrize(("by", "codes"), [(1, ["QUOTE_TRUNCATED"]), (-1, ["QUOTE_TRUNCATED"])],
                         ids=["shouldNotParseIfAuthDataSizeBiggerThanRemaingData",
                              "shouldNotParseIfAuthDataSizeSmallerThanRemainingData"])  # fmt: skip
def test_ev_01_the_size_of_the_authentication_data(world, kind, by, codes):
    version, body_type = kind
    refused(grown(world.become(version, body_type).quote(), AUTH[version, body_type], 4, by), *codes)


SIZES = {  # what grows inside, and whether the outer lengths grow with it
    "shouldNotParseWhenAuthDataSizeMatchButCertificationDataParsedSizeDoesNotMatch": ("certification", -1),
    "shouldNotParseWhenAuthDataSizeMatchButCertificationDataParsedSizeIsTooMuch": ("certification", 1),
    "shouldNotParseWhenAuthDataSizeMatchButQeAuthDataParsedSizeIsTooMuch": ("qe_auth", 0xFFFF - 32),
    "shouldNotParseWhenQuoteAuthDataSizeMatchButQeAuthDataSizeAreTooMuch": ("qe_auth", 1),
    "shouldNotParseWhenQuoteAuthDataSizeMatchButQeAuthDataSizeDoNotMatch": ("qe_auth", -1),
    "shouldParseQeAuthWithShorterDataButPointerShouldNotBeMoved": ("qe_auth", 5000),
}


@pytest.mark.parametrize("kind", AUTH)
@pytest.mark.parametrize(("part", "by"), SIZES.values(), ids=SIZES)
def test_ev_01_a_size_inside_the_authentication_data(world, kind, part, by):
    version, body_type = kind
    quote = world.become(version, body_type).quote()
    inner = AUTH[version, body_type] + 4 + 2 * SIGNATURE_BYTES + (6 if version > 3 else 0)
    at = inner + QE_REPORT_BYTES + SIGNATURE_BYTES
    place, size = (at, 2) if part == "qe_auth" else (at + 2 + 32 + 2, 4)
    refused(grown(quote, place, size, by), "QUOTE_TRUNCATED", "AUTH_TRAILING")


@pytest.mark.parametrize("kind", AUTH)
@pytest.mark.parametrize("number", [0, 6, 7, 8, 0xFFFF])
def test_ev_04_unsupported_types_of_certification_data(world, kind, number):
    """shouldNotParseCertificationDataWithUnsupportedType, shouldNotValidateQeAuthAndQeCertWithUnsupportedType."""
    version, body_type = kind
    world.become(version, body_type)
    world.cert_type = number
    refused(world.quote(), "CERT_TYPE")
    if version > 3:
        world.cert_type, world.outer_type = 5, 5 if number == 6 else number
        refused(world.quote(), "V4_CERT_TYPE")


@pytest.mark.parametrize("kind", AUTH)
@pytest.mark.parametrize(("number", "data"), [(1, b"pckdata"), (5, b""), (5, b"pckdata"), (2, b""), (4, bytes(999))])
@pytest.mark.parametrize("auth", [b"", b"\1\2\3\4\5", bytes(300)])
def test_ev_04_certification_and_authentication_data_come_out_as_they_went_in(world, kind, number, data, auth):
    """V4, V5: shouldParseCertificationData, …QeAuthAndQeCert, …QeAuthData, …CustomQeAuth; GetQECertificationData*."""
    world.become(*kind)
    world.cert_type, world.cert_data, world.qe_auth = number, data, auth
    quote = parse_quote(world.quote())
    assert (quote.certification_type, quote.certification_data, quote.qe_auth_data) == (number, data, auth)


def test_ev_03_should_not_parse_quote_sgx_header_with_td_report(world, lw):
    """V4: shouldNotParseQuoteSGXHeaderWithTdReport, shouldNotParseQuoteTDXHeaderWithEnclaveReport."""
    world.become(4, 2).header = lw.header(4, 0)
    refused(world.quote(), "QUOTE_TRUNCATED", "V4_CERT_TYPE", "AUTH_TRAILING", "TRAILING_DATA")
    world = lw.LittleWorld().become(4, 1)
    world.header = lw.header(4, 0x81)
    refused(world.quote(), "QUOTE_TRUNCATED", "V4_CERT_TYPE", "AUTH_TRAILING", "TRAILING_DATA")


V5_BODIES = {
    "shouldNotParseQuoteWithUnsupportedBodyType": (1, 0, 4, 384, "UNSUPPORTED_BODY_TYPE"),
    "shouldNotParseSgxQuoteWithInvalidBodySize": (1, 0, 1, 383, "BODY_SIZE"),
    "shouldNotParseTdx10QuoteWithInvalidBodySize": (2, 0x81, 2, 585, "BODY_SIZE"),
    "shouldNotParseTdx15QuoteWithInvalidBodySize": (3, 0x81, 3, 584, "BODY_SIZE"),
    "shouldNotValdiateQuoteSGXHeaderWithTdReport": (2, 0, 2, 584, "BODY_TEE_MISMATCH"),
    "shouldNotValidateQuoteTDXHeaderWithEnclaveReport": (1, 0x81, 1, 384, "BODY_TEE_MISMATCH"),
}


@pytest.mark.parametrize("given", V5_BODIES.values(), ids=V5_BODIES)
def test_ev_03_what_version_5_says_of_its_body(world, lw, given):
    made, tee, number, size, code = given
    world.become(5, made)
    world.header, world.body_head = lw.header(5, tee), struct.pack("<HI", number, size)
    refused(world.quote(), code)


@pytest.mark.parametrize(("version", "body_type"), [key for key in AUTH if key[1] == 1])
def test_should_parse_enclave_report(world, lw, version, body_type):
    """V4, V5: shouldParseEnclaveReport, shouldParseQuoteBody."""
    world.become(version, body_type)
    world.body = lw.report(misc_select=5, isv_svn=300, attributes=bytes(range(1, 17)))
    body = parse_quote(world.quote()).body
    assert isinstance(body, SgxReport)
    assert (body.misc_select, body.isv_svn, body.attributes) == (5, 300, bytes(range(1, 17)))
    assert SgxReport.parse(bytes(384)).to_bytes() == bytes(384)


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 2), (5, 3)])
def test_should_parse_td_report(world, version, body_type):
    """V4: shouldParseTDReport; V5: shouldParseTDReport10, shouldParseTDReport15."""
    world.become(version, body_type, rtmr3=b"\3" * 48, mr_owner=b"\4" * 48)
    body = parse_quote(world.quote()).body
    assert isinstance(body, TdReport)
    assert (body.rtmr3, body.mr_owner, body.to_bytes()) == (b"\3" * 48, b"\4" * 48, world.body)
    assert (body.mr_service_td is None) is (body_type == 2)


# --- verifying ---------------------------------------------------------------------------------------------------

OWN = (5,) * 8 + (6,) + (5,) * 7  # the platform's components, of which the ninth can be one lower


def components(ninth):
    return [{"svn": svn} for svn in (*OWN[:8], ninth, *OWN[9:])]


def table(*rows):
    """Set the platform to PCESVN 13 and the TCB info to rows of (ninth component, PCESVN, status)."""

    def changed(world):
        integers = {f"2.{place}": bytes([2, 1, svn]) for place, svn in enumerate(OWN, 1)}
        world.tcb.update(integers | {"2.17": b"\x02\x01\x0d"})
        world.tcb_info["tcbLevels"] = []
        for ninth, pce_svn, status in rows:
            tcb = {"sgxtcbcomponents": components(ninth), "pcesvn": pce_svn}
            if world.tcb_info["id"] == "TDX":
                tcb["tdxtcbcomponents"] = [{"svn": 0}] * 16
            level = {"tcb": tcb, "tcbDate": "2025-08-01T00:00:00Z", "tcbStatus": status}
            world.tcb_info["tcbLevels"].append(level)

    return changed


def in_version_2(change):
    def changed(world):
        change(world)
        world.tcb_info["version"] = 2
        del world.tcb_info["id"]
        for level in world.tcb_info["tcbLevels"]:
            svns = level["tcb"].pop("sgxtcbcomponents")
            level["tcb"] |= {f"sgxtcbcomp{place:02}svn": entry["svn"] for place, entry in enumerate(svns, 1)}

    return changed


def flipped(world):
    """Flip the first byte of the quote's signature."""
    sound = world.quote

    def quote():
        whole = sound()
        at = len(world.header + world.body_head + world.body) + 4
        return patched(whole, at, bytes([whole[at] ^ 0xFF]))

    world.quote = quote


def report_signature_flipped(world):
    sound = world.quote

    def quote():
        whole = sound()
        nested = 6 if world.header[0] > 3 else 0
        at = len(world.header + world.body_head + world.body) + 4 + 128 + nested + QE_REPORT_BYTES
        return patched(whole, at, bytes([whole[at] ^ 0xFF]))

    world.quote = quote


def issuer(which, role):
    return lambda world: world.crls[which].update(issuer=role)


def wrong_format(world):
    world.qe_identity["mrsigner"] = "9F" * 32


VERIFIED = {
    "shouldMatchToLowerTCBAndReturnConfigurationAndSwHardeningNeeded": (
        CONF_SW, table((7, 13, "Revoked"), (6, 13, "ConfigurationAndSWHardeningNeeded"))),
    "shouldMatchToLowerTCBAndReturnConfigurationNeeded": (
        CONF, table((6, 13, "ConfigurationNeeded"), (7, 13, "Revoked"))),
    "shouldMatchToLowerTCBWhenBothSVNsAreLowerAndReturnConfigurationNeeded": (
        CONF, table((6, 0, "ConfigurationNeeded"), (7, 0xFFFF, "Revoked"))),
    "shouldMatchToLowerTCBWhenBothSVNsAreLowerAndReturnConfigurationNeededForTcbInfoV2": (
        CONF, in_version_2(table((6, 0, "ConfigurationNeeded"), (7, 0xFFFF, "Revoked")))),
    "shouldMatchToLowerTCBWhenBothSVNsAreLowerAndReturnOutOfDateConfigurationNeeded": (
        OLD_CONF, in_version_2(table((6, 0, "OutOfDateConfigurationNeeded"), (7, 0xFFFF, "Revoked")))),
    "shouldNOTReturnTcbRevokedWhenRevokedPcesvnAndCpusvnAreLower": (
        UP, table((5, 12, "Revoked"), (6, 13, "UpToDate"))),
    "shouldReturnInvalidPCKCert": (
        "SGX_PCK_MISSING", lambda world: setattr(world.recipes["leaf"], "name", "=Nobody")),
    "shouldReturnInvalidQeReportSignature": ("INVALID_QE_REPORT_SIGNATURE", report_signature_flipped),
    "shouldReturnQuoteInvalidSignature": ("INVALID_QUOTE_SIGNATURE", flipped),
    "shouldReturnStatusInvalidPckCrlWhenCrlIssuerIsDifferentThanPck": ("CRL_UNKNOWN_ISSUER", issuer("pck", "signer")),
    "shouldReturnStatusInvalidPckCrlWhenPeriodAndIssuerIsInvalid": ("CRL_UNKNOWN_ISSUER", issuer("pck", "root")),
    "shouldReturnStatusInvalidQeFormat": ("QE_IDENTITY_MISMATCH", wrong_format),
    "shouldReturnStatusNotSupportedWhenEnclaveReportVeriferIsIsvsvnNotSupported": (
        "TCB_NOT_SUPPORTED", lambda world: world.qe_fields.update(isv_svn=0)),
    "shouldReturnStatusPckRevoked": ("PCK_REVOKED", lambda world: world.crls["pck"].update(revoked=[1003])),
    "shouldReturnStatusTcbInfoMismatchWhenFmspcDoesNotMatch": (
        "TCB_INFO_MISMATCH", lambda world: world.tcb_info.update(fmspc="F0A1B2C3D4E4")),
    "shouldReturnStatusTcbInfoMismatchWhenPceIdDoesNotMatch": (
        "TCB_INFO_MISMATCH", lambda world: world.tcb_info.update(pceId="0100")),
    "shouldReturnSwHardeningNeeded": (SW, table((6, 13, "SWHardeningNeeded"))),
    "shouldReturnTcbNotSupportedWhenOnlyPceSvnIsHigher": ("TCB_NOT_SUPPORTED", table((6, 0xFFFF, "Revoked"))),
    "shouldReturnTcbRevokedOnLatestRevokedEqualPckTCB": (REVOKED, table((6, 13, "Revoked"))),
    "shouldReturnTcbRevokedWhenOnlyCpuSvnIsLower": (REVOKED, table((5, 13, "Revoked"))),
    "shouldReturnTcbRevokedWhenOnlyPcesvnIsLower": (REVOKED, table((6, 12, "Revoked"))),
    "shouldVerifySgxCorrectly": (UP, table((6, 13, "UpToDate"))),
}  # fmt: skip


@pytest.mark.parametrize("version", [3, 4, 5], ids=["V3", "V4", "V5"])
@pytest.mark.parametrize(("wanted", "change"), VERIFIED.values(), ids=VERIFIED)
def test_an_sgx_quote(expect, world, version, wanted, change):
    world.become(version, 1)
    expect(wanted, change)


@pytest.mark.parametrize("kind", TDX_KINDS.values(), ids=TDX_KINDS)
@pytest.mark.parametrize(
    ("wanted", "change"),
    [pytest.param(*row, id=case) for case, row in VERIFIED.items() if "Sgx" not in case and "V2" not in case
     and case != "shouldMatchToLowerTCBWhenBothSVNsAreLowerAndReturnOutOfDateConfigurationNeeded"],
)  # fmt: skip
def test_a_tdx_quote_obeys_the_same_rules(expect, world, kind, wanted, change):
    world.become(*kind)
    expect(wanted, change)


def svn(*first):
    return bytes(first) + bytes(16 - len(first))


def tdx_levels(world, *rows):
    """Set the TCB info to rows of (TDX components, status), all with the platform's own SGX components."""
    world.tcb_info["tcbLevels"] = [
        {"tcb": {"sgxtcbcomponents": [{"svn": sgx}] * 16, "pcesvn": sgx, "tdxtcbcomponents": [{"svn": x} for x in tdx]},
         "tcbDate": "2025-08-01T00:00:00Z", "tcbStatus": status}
        for sgx, tdx, status in rows
    ]  # fmt: skip


def launched(*rows, **fields):
    """Launch the trust domain anew with these fields, under these TCB levels."""

    def changed(world):
        body_type = 3 if len(world.body) == 648 else 2
        world.become(world.header[0], body_type, **fields)
        if rows:
            tdx_levels(world, *rows)

    return changed


TDX = {
    "shouldBackoffToLowerLevelBecauseNoAllSvnsAreHigher": (
        OLD, launched((10, svn(5, 0, 9), "UpToDate"), (10, svn(5, 0, 3), "OutOfDate"), tee_tcb_svn=svn(5, 0, 3))),
    "shouldBackoffToLowerLevelBecauseTdReportTeeSvnIsOutOfDate": (
        OLD, launched((10, svn(6), "UpToDate"), (9, svn(5), "OutOfDate"), tee_tcb_svn=svn(5, 0, 0))),
    "shouldReturnTcbNotSupportedIfNotMatchingTcbLevelIsFoundBecauseOfTDXSvnComponents": (
        "TCB_NOT_SUPPORTED", launched((10, svn(6), "UpToDate"), (9, svn(6), "OutOfDate"), tee_tcb_svn=svn(5))),
    "shouldReturnSatusTdxModuleMismatchWhenTdReportSeamAttributesNotZeroed": (
        "TDX_MODULE_MISMATCH", launched(seam_attributes=b"\1" + bytes(7), tee_tcb_svn=svn(5, 0, 3))),
    "shouldReturnStatusTdxModuleMismatchWhenSeamAttricutesNoZeroed": (
        "TDX_MODULE_MISMATCH", launched(seam_attributes=b"\1" + bytes(7), tee_tcb_svn=svn(5, 0, 3))),
    "shouldReturnStatusTdxModuleMismatchWhenTdReportMrsignerSeamDoesntMatchTdxModule": (
        "TDX_MODULE_MISMATCH", launched(mr_signer_seam=b"\1" * 48)),
    "shouldReturnStatusTdxModuleMismatchWhenTdReportSeamAttributesDoesntMatchTdxModule": (
        "TDX_MODULE_MISMATCH", launched(seam_attributes=b"\1" * 8)),
    "shouldReturnStatusQEIdentityMismatchWhenTdxQuoteAndEnclaveIdentityV2NotTD_QE": (
        "QE_IDENTITY_MISMATCH", lambda world: world.qe_identity.update(id="QE")),
    "shouldVerifyTdxCorrectly": (UP, NO_CHANGE),
    "shouldVerifyTdx10Correctly": (UP, NO_CHANGE),
    "shouldVerifyTdx15Correctly": (UP, NO_CHANGE),
    "shouldVerifyTdx15CorrectlyWhenTdxModuleVersionIsZero": (
        UP, launched((10, svn(5, 0, 3), "UpToDate"), tee_tcb_svn=svn(5, 0, 3))),
}  # fmt: skip


@pytest.mark.parametrize("kind", TDX_KINDS.values(), ids=TDX_KINDS)
@pytest.mark.parametrize(("wanted", "change"), TDX.values(), ids=TDX)
def test_tcb_03_a_tdx_quote(expect, world, kind, wanted, change):
    world.become(*kind)
    expect(wanted, change)


F0, ZERO = bytes([0xF0] * 16), bytes(16)


def module_81(world):
    """Say that the current module has SVN 81, one of SVN 2 is out of date."""
    identity = world.tcb_info["tdxModuleIdentities"][0]
    identity["tcbLevels"][0]["tcb"]["isvsvn"], identity["tcbLevels"][1]["tcb"]["isvsvn"] = 81, 2


def relaunch(lower, tee_tcb_svn, tee_tcb_svn2):
    """Follow their set-up: a top level that the launched module does not reach, one below, the module out of date."""

    def changed(world):
        tdx = svn(0x50, tee_tcb_svn2[1])
        launched((10, F0, "UpToDate"), (10, tdx, lower), tee_tcb_svn=tee_tcb_svn, tee_tcb_svn2=tee_tcb_svn2)(world)
        module_81(world)

    return changed


RELAUNCHED = {
    "shouldReturnStatusTcbTdRelaunchAdvisedWhenTdx15AndTdxModuleVersionIs0": (
        RELAUNCH, relaunch("OutOfDate", svn(0x50, 1, 0x41), svn(0xF0, 0, 0xF0))),
    "shouldReturnStatusTcbTdRelaunchAdvisedWhenTdx15AndTdxModuleVersionIs1": (
        RELAUNCH, relaunch("OutOfDate", svn(0x50, 1), svn(0x52, 1, 0xFD))),
    "shouldReturnStatusTcbTdRelaunchAdvisedConfigurationNeededWhenTdx15AndTdxModuleVersionIs0": (
        RELAUNCH_CONF, relaunch("OutOfDateConfigurationNeeded", svn(0x50, 1, 0x41), svn(0xF0, 0, 0xF0))),
    "shouldReturnStatusTcbTdRelaunchAdvisedConfigurationNeededWhenTdx15AndTdxModuleVersionIs1": (
        RELAUNCH_CONF, relaunch("OutOfDateConfigurationNeeded", svn(0x50, 1), svn(0x52, 1, 0xFD))),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "change"), RELAUNCHED.values(), ids=RELAUNCHED)
def test_tcb_04_a_trust_domain_that_has_to_be_launched_anew(expect, world, wanted, change):
    world.become(5, 3)
    expect(wanted, change)


# Latest and earliest level, module launched under, PCK and TEE at the latest or the earliest SVNs, quoting enclave.
STATUSES = [
    (UP, "UpToDate", "OutOfDate", "UpToDate", "latest", "latest", "UpToDate"),
    (UP, "UpToDate", "Revoked", "UpToDate", "latest", "latest", "UpToDate"),
    (REVOKED, "Revoked", "OutOfDate", "UpToDate", "latest", "latest", "UpToDate"),
    (REVOKED, "UpToDate", "OutOfDate", "Revoked", "latest", "latest", "UpToDate"),
    (REVOKED, "UpToDate", "OutOfDate", "UpToDate", "latest", "latest", "Revoked"),
    (OLD, "UpToDate", "OutOfDate", "OutOfDate", "earliest", "earliest", "UpToDate"),
    (OLD, "UpToDate", "OutOfDate", "UpToDate", "earliest", "latest", "UpToDate"),
    (OLD, "Revoked", "OutOfDate", "OutOfDate", "latest", "earliest", "UpToDate"),
    (OLD, "OutOfDate", "OutOfDate", "UpToDate", "latest", "latest", "UpToDate"),
    (OLD, "UpToDate", "OutOfDate", "UpToDate", "latest", "latest", "OutOfDate"),
    (SW, "SWHardeningNeeded", "OutOfDate", "UpToDate", "latest", "latest", "UpToDate"),
    (SW, "UpToDate", "SWHardeningNeeded", "UpToDate", "earliest", "latest", "UpToDate"),
    (CONF_SW, "ConfigurationAndSWHardeningNeeded", "OutOfDate", "UpToDate", "latest", "latest", "UpToDate"),
    (CONF_SW, "UpToDate", "ConfigurationAndSWHardeningNeeded", "UpToDate", "earliest", "latest", "UpToDate"),
    (RELAUNCH, "UpToDate", "OutOfDate", "OutOfDate", "latest", "earliest", "UpToDate"),
    (RELAUNCH_CONF, "UpToDate", "OutOfDateConfigurationNeeded", "OutOfDate", "latest", "earliest", "UpToDate"),
    (RELAUNCH_CONF, "ConfigurationNeeded", "OutOfDate", "OutOfDate", "latest", "earliest", "UpToDate"),
]


@pytest.mark.parametrize(("wanted", "given"), [(wanted, given) for wanted, *given in STATUSES])
def test_tcb_02_check_statuses(expect, world, lw, wanted, given):
    """QuoteVerifierTcbStatusUT.checkStatuses: two levels, the latest of F0 everywhere, the earliest of 0 everywhere.

    Their earliest TEE SVNs are of module version 0, which has levels in their tables alone; ours is of version 1.
    """
    latest, earliest, module, pck, tee, qe = given
    old = svn(0, 1)
    svn2 = old if pck == tee == "earliest" else F0
    world.become(5, 3, tee_tcb_svn=F0 if tee == "latest" else old, tee_tcb_svn2=svn2)
    world.tcb |= {f"2.{place}": lw.integer(0xF0 if pck == "latest" else 0) for place in range(1, 17)}
    world.tcb["2.17"] = lw.integer(10 if pck == "latest" else 5)
    tdx_levels(world, (0xF0, F0, latest), (0, ZERO, earliest))
    world.tcb_info["tcbLevels"][0]["tcb"]["pcesvn"] = 10
    world.tcb_info["tcbLevels"][1]["tcb"]["pcesvn"] = 5
    level = {"tcb": {"isvsvn": 0}, "tcbDate": "2025-01-01T00:00:00Z", "tcbStatus": module}
    world.tcb_info["tdxModuleIdentities"] = [
        {"id": name, **lw.module(), "tcbLevels": [level]} for name in ("TDX_F0", "TDX_01")
    ]
    world.qe_identity["tcbLevels"][0]["tcbStatus"] = qe
    expect(wanted, NO_CHANGE)
