"""Evidence and collateral that nobody has seen yet: odd and sound, odd and not, several faults at once."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from strongroom.attestation import Anchor, Collateral, EvidenceCode, EvidenceRefused, TcbStatus, verify
from strongroom.attestation.collateral import CollateralUnreadable
from strongroom.attestation.validity import timestamp

UP, OLD = TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE
DAY = timedelta(days=1)
END = "-----END CERTIFICATE-----\n"
LATER = datetime(2060, 2, 29, 23, 59, 59, tzinfo=UTC)


def refused(judge, world, code, step=None, **options):
    with pytest.raises(EvidenceRefused) as caught:
        judge(world, **options)
    assert caught.value.reason == EvidenceCode[code], caught.value.sentence
    assert step in {None, caught.value.step}
    caught.value.sentence.encode()  # it can be printed
    return caught.value


def compact(document):
    return json.dumps(document, separators=(",", ":"))


# --- numbers, words and dates in signed JSON ---------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 0, 1, 4, 2**31, 2**64, 10**4000])
def test_ev_08_any_other_version_of_tcb_info_is_named_as_such(judge, world, number):
    world.tcb_info["version"] = number
    refused(judge, world, "TCB_INFO_VERSION", 6)


@pytest.mark.parametrize("number", [-1, 1, 255, 2**31, 2**64, 10**4000])
def test_sc_09_any_other_tcb_type_is_named_as_such(judge, world, number):
    world.tcb_info["tcbType"] = number
    refused(judge, world, "TCB_TYPE", 6)


@pytest.mark.parametrize("name", ["version", "tcbType", "tcbEvaluationDataNumber"])
@pytest.mark.parametrize("value", ["3", True, None, [3], 3.0, 0.0, {}])
def test_ev_08_a_number_is_a_whole_number(judge, world, name, value):
    world.tcb_info[name] = value
    refused(judge, world, "TCB_INFO_FORMAT", 6)


@pytest.mark.parametrize("spelled", ["1e1", "10.0", "010", "+10", "0x0A", "-10", "Infinity", "1_0"])
@pytest.mark.parametrize("name", ["svn", "pcesvn"])
def test_ev_08_only_plain_digits_spell_a_number(judge, world, spelled, name):
    world.tcb_info_text = compact(world.tcb_info).replace(f'"{name}":10', f'"{name}":{spelled}', 1)
    refused(judge, world, "TCB_INFO_FORMAT", 6)


@pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
@pytest.mark.parametrize("number", [-1, 2**31, 2**63])
def test_tcb_08_an_evaluation_number_is_no_larger_than_intels(judge, world, document, number):
    getattr(world, document)["tcbEvaluationDataNumber"] = number
    refused(judge, world, "TCB_INFO_FORMAT" if document == "tcb_info" else "MALFORMED")


@pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
@pytest.mark.parametrize(
    "word", ["\ud800", "\x1b[31mINTEL", "INTEL-SA-1\nstatus: UpToDate", "\x00", "INTEL\u202e", "é"]
)
def test_ev_08_an_advisory_that_cannot_be_shown_is_refused(judge, world, document, word):
    getattr(world, document)["tcbLevels"][1]["advisoryIDs"] = ["INTEL-SA-00615", word]
    refused(judge, world, "TCB_INFO_FORMAT" if document == "tcb_info" else "MALFORMED")


@pytest.mark.parametrize("word", ["\ud800", "uptodate", "UpToDate ", "UpToDate\u0000", "", "TDRelaunchAdvised", "Ok"])
def test_ev_08_an_odd_status_word_is_no_status(judge, world, word):
    world.tcb_info["tcbLevels"][0]["tcbStatus"] = word
    refused(judge, world, "TCB_UNRECOGNIZED_STATUS", 6)


NO_DAYS = """
2026-05-31T24:00:00Z 2026-05-31T23:60:00Z 2026-05-31T23:59:60Z 2023-02-29T00:00:00Z 2100-02-29T00:00:00Z
0000-01-01T00:00:00Z 2026-13-01T00:00:00Z 2026-05-31t00:00:00z 2026-05-31T00:00:00 2026-05-31T00:00:00.0Z
٢٠٢٦-05-31T00:00:00Z 2026-W22-7T00:00:00Z 2026-05-31T00:00:00+00:00 20260531T000000Z 2026-05-31
""".split()  # noqa: SIM905  # fifteen words, not fifteen lines


@pytest.mark.parametrize(
    "day", [*NO_DAYS, "", "2026-05-31 00:00:00Z", "2026-05-31T00:00:00Z\n", " 2026-05-31T00:00:00Z"]
)
def test_ev_08_a_day_that_does_not_exist_or_is_spelled_otherwise_is_refused(judge, world, day):
    world.tcb_info["issueDate"] = day
    refused(judge, world, "TCB_INFO_FORMAT", 6)


@pytest.mark.parametrize("day", ["2024-02-29T23:59:59Z", "2000-02-29T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_days_that_exist_are_read(judge, world, day):
    world.tcb_info["issueDate"] = day
    assert timestamp(judge(world).collateral_issued)[-15:] == day[-15:]


def test_a_mark_of_byte_order_is_no_json(judge, world):
    world.tcb_info_text = "\ufeff" + compact(world.tcb_info)
    refused(judge, world, "TCB_INFO_FORMAT", 6)
    with pytest.raises(CollateralUnreadable):
        Collateral.from_json(b"\xef\xbb\xbf" + json.dumps(world.collateral()).encode())


def test_sc_08_what_was_signed_may_be_pretty_and_what_was_not_may_not(judge, world):
    world.tcb_info_text = json.dumps(world.tcb_info, indent=2)
    assert judge(world).status is UP
    world.collateral_edits["tcb_info"] = compact(world.tcb_info)
    refused(judge, world, "TCB_INFO_INVALID_SIGNATURE", 6)


def test_members_that_nobody_knows_may_hold_anything_that_is_json(judge, world):
    odd = {"\ud800": ["\ud800", -1.5e300, 2**70, None, {"": {}}], "component": "x"}
    world.tcb_info["more"] = odd
    for level in world.tcb_info["tcbLevels"]:
        level["tcb"]["sgxtcbcomponents"] = [
            {**entry, "category": 7, "type": None} for entry in level["tcb"]["sgxtcbcomponents"]
        ]
    world.qe_identity["more"] = odd
    assert judge(world).status is UP


@pytest.mark.parametrize("name", ["fmspc", "pceId"])
def test_hex_may_be_of_either_case(judge, world, name):
    world.tcb_info[name] = world.tcb_info[name].lower()
    world.qe_identity["mrsigner"] = world.qe_identity["mrsigner"].lower()
    assert judge(world).fmspc == "F0A1B2C3D4E5"


# --- version 2 of the TCB info -----------------------------------------------------------------------------------


def second_version(world):
    """Spell the TCB info as version 3 of the service did."""
    world.tcb_info["version"] = 2
    del world.tcb_info["id"]
    for level in world.tcb_info["tcbLevels"]:
        svns = level["tcb"].pop("sgxtcbcomponents")
        level["tcb"].update({f"sgxtcbcomp{place:02}svn": entry["svn"] for place, entry in enumerate(svns, 1)})


def test_version_2_may_say_that_it_is_for_sgx(judge, world):
    second_version(world)
    assert judge(world).status is UP
    world.tcb_info["id"] = "SGX"
    assert judge(world).status is UP


@pytest.mark.parametrize(
    "more", [{"id": "TDX"}, {"id": "sgx"}, {"id": None}, {"tdxModule": {}}, {"tdxModuleIdentities": []}]
)
def test_sc_09_version_2_is_never_for_tdx(judge, world, more):
    second_version(world)
    world.tcb_info |= more
    refused(judge, world, "TCB_INFO_FORMAT", 6)


@pytest.mark.parametrize("place", range(1, 17))
def test_ev_08_version_2_has_all_its_components_in_range(judge, world, place):
    second_version(world)
    tcb = world.tcb_info["tcbLevels"][0]["tcb"]
    tcb[f"sgxtcbcomp{place:02}svn"] = 256
    refused(judge, world, "TCB_INFO_FORMAT", 6)
    del tcb[f"sgxtcbcomp{place:02}svn"]
    refused(judge, world, "TCB_INFO_FORMAT", 6)


def test_sc_09_a_trust_domain_under_version_2_is_refused(judge, world):
    world.become(4, 2)
    del world.tcb_info["tdxModule"], world.tcb_info["tdxModuleIdentities"]
    second_version(world)
    refused(judge, world, "TCB_INFO_MISMATCH", 14)


# --- the nine strings --------------------------------------------------------------------------------------------

HEX = {"tcb_info_signature": "TCB_INFO_INVALID_SIGNATURE", "qe_identity_signature": "QE_IDENTITY_INVALID_SIGNATURE",
       "root_ca_crl": "MALFORMED", "pck_crl": "MALFORMED"}  # fmt: skip


@pytest.mark.parametrize("name", HEX)
def test_hex_strings_may_be_upper_case(judge, world, name):
    world.collateral_edits[name] = world.collateral()[name].upper()
    assert judge(world).status is UP


SPOILED_HEX = {
    "newline": lambda text: text + "\n",
    "space before": lambda text: " " + text,
    "space between": lambda text: text[:2] + " " + text[2:],
    "0x": lambda text: "0x" + text,
    "odd": lambda text: text[:-1],
    "NUL": lambda text: text + "\0",
    "other digits": lambda text: text[:-1] + "٣",
    "surrogates": lambda text: text[:-2] + "\ud800\ud800",
}


@pytest.mark.parametrize("name", HEX)
@pytest.mark.parametrize("spoil", SPOILED_HEX.values(), ids=SPOILED_HEX)
def test_ev_08_hex_strings_are_hex_and_nothing_else(judge, world, name, spoil):
    world.collateral_edits[name] = spoil(world.collateral()[name])
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason in {EvidenceCode[HEX[name]], EvidenceCode.MALFORMED}


CHAINS = ["tcb_info_issuer_chain", "qe_identity_issuer_chain", "pck_crl_issuer_chain"]


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize(
    "dress",
    [lambda text: "\n \r\n\t" + text, lambda text: text + "\r\n\n", lambda text: text.replace(END, END + "\n\n"),
     lambda text: text.replace("\n", "\r\n"), lambda text: text.strip(), lambda text: text + "\0",
     lambda text: text.replace(END, END.strip())],
    ids=["space before", "space behind", "empty lines", "CRLF", "no last newline", "NUL of a C string", "side by side"],
)  # fmt: skip
def test_ev_09_white_space_around_blocks_says_nothing(judge, world, name, dress):
    world.collateral_edits[name] = dress(world.collateral()[name])
    assert judge(world).status is UP


SPOILED_CHAINS = {
    "BOM": lambda text: "\ufeff" + text,
    "NUL inside": lambda text: text.replace("\n", "\n\0", 1),
    "NUL between": lambda text: text.replace(END, END + "\0", 1),
    "space in base64": lambda text: text.replace("MI", "M I", 1),
    "tab in base64": lambda text: text.replace("MI", "M\tI", 1),
    "letter before": lambda text: "x" + text,
    "text between": lambda text: text.replace(END, END + "subject=/CN=x\n", 1),
    "label": lambda text: text.replace("BEGIN CERT", "BEGIN  CERT", 1),
    "other label": lambda text: text.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
    "more padding": lambda text: text.replace("\n" + END, "=\n" + END, 1),
    "four dashes": lambda text: text.replace("-----BEGIN", "----BEGIN", 1),
}


@pytest.mark.parametrize("spoil", SPOILED_CHAINS.values(), ids=SPOILED_CHAINS)
def test_ev_09_anything_else_in_a_chain_is_refused(judge, world, spoil):
    world.collateral_edits["tcb_info_issuer_chain"] = spoil(world.collateral()["tcb_info_issuer_chain"])
    refused(judge, world, "TCB_SIGNING_CHAIN", 4)


@pytest.mark.parametrize("crl", ["root_ca_crl", "pck_crl"])
def test_a_revocation_list_in_pem_is_for_the_client_to_decode(judge, world, crl):
    body = base64.encodebytes(bytes.fromhex(world.collateral()[crl])).decode()
    world.collateral_edits[crl] = f"-----BEGIN X509 CRL-----\n{body}-----END X509 CRL-----\n"
    refused(judge, world, "MALFORMED", 3 if crl == "root_ca_crl" else 11)


# --- time --------------------------------------------------------------------------------------------------------


def everything_until(world, moment):
    for recipe in world.recipes.values():
        recipe.until = moment
    for crl in world.crls.values():
        crl["until"] = moment
    world.tcb_info["nextUpdate"] = world.qe_identity["nextUpdate"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "end", [datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC), LATER]
)
def test_sc_12_dates_of_both_encodings_end_at_their_last_second(judge, world, end):
    everything_until(world, end)
    verdict = judge(world, at=end)
    assert (verdict.earliest_expiration, verdict.status) == (end, UP)
    refused(judge, world, "ROOT_EXPIRED", 2, at=end + timedelta(seconds=1))


def test_sc_12_a_fraction_of_a_second_behind_the_end_is_behind_it(judge, world):
    end = world.crls["root"]["until"]
    assert judge(world, at=end).status is UP
    refused(judge, world, "CRL_EXPIRED", 3, at=end + timedelta(microseconds=1))


WINDOWS = {
    "root": ("ROOT_EXPIRED", 2), "signer": ("TCB_SIGNING_EXPIRED", 5), "ca": ("PCK_CHAIN_EXPIRED", 10),
    "leaf": ("PCK_CHAIN_EXPIRED", 10), "root CRL": ("CRL_EXPIRED", 3), "PCK CRL": ("CRL_EXPIRED", 11),
    "tcb_info": ("TCB_INFO_EXPIRED", 6), "qe_identity": ("QE_IDENTITY_EXPIRED", 7),
}  # fmt: skip


@pytest.mark.parametrize("part", WINDOWS)
def test_sc_12_every_window_holds_both_its_ends_and_no_second_more(judge, world, part):
    since, until = world.now - timedelta(hours=1), world.now + timedelta(hours=1)
    if part in world.recipes:
        world.recipes[part].since, world.recipes[part].until = since, until
    elif part.endswith("CRL"):
        world.crls[part.split()[0].lower()].update(since=since, until=until)
    else:
        getattr(world, part).update(issueDate=timestamp(since), nextUpdate=timestamp(until))
    code, step = WINDOWS[part]
    for inside in (since, until):
        assert judge(world, at=inside).status is UP
    for outside in (since - timedelta(seconds=1), until + timedelta(seconds=1)):
        refused(judge, world, code, step, at=outside)


@pytest.mark.parametrize("hours", [-14, 0, 14])
def test_the_ends_of_the_calendar_are_times_too(judge, world, hours):
    zone = timezone(timedelta(hours=hours))
    for moment in (datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone)):
        refused(judge, world, "ROOT_EXPIRED", 2, at=moment)


def test_a_window_that_ends_before_it_starts_holds_nothing(judge, world):
    world.recipes["leaf"].since, world.recipes["leaf"].until = world.now - DAY, world.now - DAY
    refused(judge, world, "PCK_CHAIN_EXPIRED", 10)
    world.recipes["leaf"].until = world.now + DAY
    world.tcb_info["nextUpdate"] = timestamp(world.now - 2 * DAY)
    for at in (world.now, world.now - timedelta(hours=23)):
        refused(judge, world, "TCB_INFO_EXPIRED", 6, at=at)


# --- chains ------------------------------------------------------------------------------------------------------


def two_roots(lw, world):
    """Return another certificate of the same root key, as Intel issued: same serial number, other dates."""
    older = lw.LittleWorld()
    older.recipes["root"].until = world.now + 30 * DAY
    older.recipes["root"].since = world.now - 4000 * DAY
    return older


@pytest.mark.parametrize("where", [*CHAINS, "quote"])
def test_sc_01_a_chain_may_end_at_the_other_certificate_of_the_root_key(judge, world, lw, where):
    other = two_roots(lw, world)
    if where == "quote":
        blocks = [lw.pem(world.certificate(role)) for role in ("leaf", "ca")] + [lw.pem(other.certificate("root"))]
        world.cert_data = "".join(blocks).encode()
    else:
        first = world.collateral()[where].split(END)[0] + END
        world.collateral_edits[where] = first + lw.pem(other.certificate("root"))
    anchor = Anchor.from_certificate(world.root_der())
    assert judge(world, anchors=[anchor]).status is UP
    assert judge(world, anchors=[Anchor.from_certificate(other.root_der())]).root_key_id == anchor.root_key_id


@pytest.mark.parametrize("where", CHAINS)
def test_sc_12_the_other_certificate_of_the_root_must_be_valid_too(judge, world, lw, where):
    other = two_roots(lw, world)
    other.recipes["root"].until = world.now - DAY
    first = world.collateral()[where].split(END)[0] + END
    world.collateral_edits[where] = first + lw.pem(other.certificate("root"))
    code = (
        "ROOT_EXPIRED" if where == "pck_crl_issuer_chain" else "TCB_SIGNING_EXPIRED"
    )  # the first is where it is found
    refused(judge, world, code, anchors=[Anchor.from_certificate(world.root_der())])


OTHER_ORDERS = (
    "root ca leaf",
    "ca leaf root",
    "leaf root ca",
    "leaf ca",
    "leaf",
    "root",
    "leaf ca ca root",
    "leaf leaf root",
)


@pytest.mark.parametrize("roles", OTHER_ORDERS)
def test_sc_03_a_chain_in_another_order_or_number_is_refused(judge, world, roles):
    world.pck_chain = roles.split()
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.step in {8, 9}


@pytest.mark.parametrize(
    "chain", [("ca", "root"), ("root", "ca"), ("leaf", "ca", "root"), ("root",), ("signer", "root")]
)
def test_sc_11_the_chain_beside_the_pck_crl_lends_it_nothing(judge, world, lw, chain):
    """The list is judged by the PCK CA of the quote's own chain, whatever stands beside it."""
    world.crl_chain = chain
    assert judge(world).status is UP
    world.crls["pck"]["key"] = lw.KEYS["signer"]
    refused(judge, world, "CRL_INVALID_SIGNATURE", 11)


def test_ev_07_long_revocation_lists_are_read_whole(judge, world):
    others = [10**40 + number for number in range(3000)]
    world.crls["pck"]["revoked"] = others
    assert judge(world).status is UP
    world.crls["pck"]["revoked"] = [*others, world.recipes["leaf"].serial]
    refused(judge, world, "PCK_REVOKED", 12)


def test_sc_11_a_revocation_list_without_its_next_date_never_ends_and_is_refused(judge, world, lw):
    encoded = bytes.fromhex(world.collateral()["pck_crl"])
    stamp = world.crls["pck"]["until"].strftime("%y%m%d%H%M%SZ").encode()
    element = b"\x17" + bytes([len(stamp)]) + stamp
    assert encoded.count(element) == 1
    shorter = encoded.replace(element, b"")
    size, inner = int.from_bytes(shorter[2:4], "big"), int.from_bytes(shorter[6:8], "big")
    lost = len(element)
    shorter = (
        shorter[:2] + (size - lost).to_bytes(2, "big") + shorter[4:6] + (inner - lost).to_bytes(2, "big") + shorter[8:]
    )
    world.collateral_edits["pck_crl"] = shorter.hex()
    refused(judge, world, "MALFORMED", 11)


# --- quotes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "body_type"), [(3, 1), (4, 1), (5, 1), (4, 2), (5, 2), (5, 3)])
def test_every_kind_of_quote_goes_with_either_pck_ca(judge, world, version, body_type):
    world.become(version, body_type)
    world.recipes["ca"].name = "PCK Processor CA"
    world.sgx["5"], world.sgx["6"], world.sgx["7"] = b"\x0a\x01\x00", None, None
    verdict = judge(world)
    assert (verdict.ca_type, verdict.status, verdict.pck.dynamic_platform) == ("processor", UP, None)


@pytest.mark.parametrize(("version", "body_type"), [(3, 1), (4, 1), (5, 1), (4, 2), (5, 2), (5, 3)])
def test_tcb_02_an_old_quoting_enclave_is_told_for_every_kind_of_quote(judge, world, version, body_type):
    world.become(version, body_type)
    world.qe_fields["isv_svn"] = 7
    assert judge(world).status is OLD
    world.qe_fields["isv_svn"] = 5
    refused(judge, world, "TCB_NOT_SUPPORTED", 19)


def test_tcb_03_a_module_identity_may_be_named_in_lower_case_once(judge, world):
    world.become(5, 3)
    identity = world.tcb_info["tdxModuleIdentities"][0]
    identity["id"] = "tdx_01"
    assert judge(world).status is UP
    world.tcb_info["tdxModuleIdentities"].append({**identity, "id": "TDX_01"})
    refused(judge, world, "TCB_INFO_FORMAT", 6)


@pytest.mark.parametrize("version", [0x0A, 0x10, 0xFF])
def test_tcb_03_a_module_version_is_spelled_with_two_hex_digits(judge, world, version):
    world.become(5, 3, tee_tcb_svn=bytes([5, version, 3]) + bytes(13))
    refused(judge, world, "TDX_MODULE_MISMATCH", 15)
    world.tcb_info["tdxModuleIdentities"][0]["id"] = f"TDX_{version:02x}"
    assert judge(world).status is UP


# --- several faults at once --------------------------------------------------------------------------------------


@pytest.fixture
def anchor(world):
    return Anchor.from_certificate(world.root_der())


def test_of_several_faults_the_first_step_speaks(world, anchor, lw):
    """One fault at each step, repaired from the first on; a warm verifier would have to say the same."""
    world.become(5, 3)
    world.header = world.header[:2] + b"\x03" + world.header[3:]
    faults = [
        ("UNSUPPORTED_AK_TYPE", 1, lambda: setattr(world, "header", lw.header(5, 0x81))),
        ("CRL_MISSING", 3, lambda: world.collateral_edits.pop("root_ca_crl")),
        ("TCB_SIGNING_CHAIN", 4, lambda: setattr(world, "tcb_chain", ("signer", "root"))),
        ("TCB_SIGNING_REVOKED", 5, lambda: world.crls["root"].update(revoked=[1002])),
        ("TCB_INFO_INVALID_SIGNATURE", 6, lambda: setattr(world, "tcb_signing_key", None)),
        ("TCB_INFO_VERSION", 6, lambda: world.tcb_info.update(version=3)),
        ("TCB_TYPE", 6, lambda: world.tcb_info.update(tcbType=0)),
        ("QE_IDENTITY_INVALID_SIGNATURE", 7, lambda: setattr(world, "qe_signing_key", None)),
        ("PCK_CHAIN", 8, lambda: setattr(world, "pck_chain", ("leaf", "ca", "root"))),
        ("INTERMEDIATE_CA", 9, lambda: setattr(world.recipes["ca"], "name", "PCK Platform CA")),
        ("PCK_INVALID_ISSUER", 10, lambda: setattr(world.recipes["leaf"], "signed_by", None)),
        ("PCK_IS_CA", 10, lambda: setattr(world.recipes["leaf"], "ca", False)),
        ("CRL_INVALID_SIGNATURE", 11, lambda: world.crls["pck"].update(key=None)),
        ("INTERMEDIATE_REVOKED", 12, lambda: world.crls["root"].update(revoked=[])),
        ("PCK_REVOKED", 12, lambda: world.crls["pck"].update(revoked=[])),
        ("INVALID_PCK_CERT", 13, lambda: setattr(world, "sgx_extensions", 1)),
        ("TCB_INFO_MISMATCH", 14, lambda: world.tcb_info.update(fmspc="F0A1B2C3D4E5")),
        ("TDX_MODULE_MISMATCH", 15, lambda: setattr(world, "body", lw.td_report(with_1_5=True))),
        ("INVALID_QE_REPORT_SIGNATURE", 16, lambda: setattr(world, "qe_report_key", None)),
        ("INVALID_QE_REPORT_DATA", 17, lambda: setattr(world, "qe_report_data", None)),
        ("QE_IDENTITY_MISMATCH", 18, lambda: world.qe_identity.update(id="TD_QE")),
        ("TCB_NOT_SUPPORTED", 19, lambda: world.qe_fields.update(isv_svn=8)),
        ("INVALID_QUOTE_SIGNATURE", 20, lambda: setattr(world, "attestation_point", None)),
        ("TCB_NOT_SUPPORTED", 21, lambda: world.tcb.update({"2.17": lw.integer(13)})),
    ]  # fmt: skip
    other = lw.KEYS["other"]
    world.collateral_edits["root_ca_crl"] = ""
    world.tcb_chain, world.pck_chain = ("signer",), ("leaf", "root")
    world.crls["root"]["revoked"] = [1002, 1004]
    world.tcb_signing_key = world.qe_signing_key = world.qe_report_key = other
    world.tcb_info.update(version=9, tcbType=9, fmspc="000000000000")
    world.recipes["ca"].name = "PCK CA"
    world.recipes["leaf"].signed_by, world.recipes["leaf"].ca, world.sgx_extensions = other, True, 0
    world.crls["pck"].update(key=other, revoked=[1003])
    world.body = lw.td_report(with_1_5=True, mr_signer_seam=b"\1" * 48)
    world.qe_report_data, world.attestation_point = bytes(64), lw.raw_point(other)
    world.qe_identity["id"] = "QE"
    world.qe_fields["isv_svn"] = 0
    world.tcb["2.17"] = lw.integer(0)
    for code, step, repair in faults:
        with pytest.raises(EvidenceRefused) as caught:
            verify(world.quote(), Collateral(**world.collateral()), anchors=[anchor], at=world.now)
        assert (caught.value.reason, caught.value.step) == (code, step), caught.value.sentence
        repair()
    assert verify(world.quote(), Collateral(**world.collateral()), anchors=[anchor], at=world.now).status is UP
