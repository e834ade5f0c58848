"""Evidence of other kinds, endorsements without their signature, and what native code reads any of it."""

import subprocess
import sys

import pytest

from strongroom.attestation import EvidenceCode, EvidenceRefused, parse_quote

END = "-----END CERTIFICATE-----\n"
REPORT_BYTES = 1184  # of an SEV-SNP report
REPORTED_TCB = 0x180  # where it states its own TCB


def recorded(shared_vectors):
    """Return recorded evidence of kinds that are not verified here, by name: SNP, Nitro, HCL, event logs, GPUs."""
    folder = shared_vectors / "other-tee"
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    del found["az-tdx-vtpm/quote.bin"]  # a TDX quote, which Azure hands out beside the HCL report
    return found


def test_ev_13_evidence_of_other_kinds_is_refused_and_never_taken_for_a_quote(shared_vectors):
    evidence = recorded(shared_vectors)
    assert {name.split("/")[0] for name in evidence} >= {"sev-snp", "nitro", "az-snp-vtpm", "nvidia-h100", "tdx-ccel"}
    for name, data in evidence.items():
        with pytest.raises(EvidenceRefused) as caught:
            parse_quote(data)
        wanted = {EvidenceCode.UNSUPPORTED_QUOTE_VERSION, EvidenceCode.TOO_LARGE, EvidenceCode.QUOTE_TRUNCATED}
        # An SNP report of version 3 starts like a version 3 quote; its next field is not the ECDSA key type.
        assert caught.value.reason in wanted | {EvidenceCode.UNSUPPORTED_AK_TYPE, EvidenceCode.V3_NOT_SGX}, name


def test_ev_13_cut_or_mutated_they_are_refused_just_the_same(shared_vectors):
    for data in recorded(shared_vectors).values():
        for at in (0, 1, 2, 4, 8, len(data) // 2):
            for changed in (data[at:], data[:at], data[:at] + b"\xff" + data[at + 1 :]):
                with pytest.raises(EvidenceRefused):
                    parse_quote(changed)


@pytest.mark.parametrize("version", range(8))
def test_tcb_15_an_sev_snp_report_gets_no_verdict_whatever_tcb_it_reports(version):
    """Its TCB is the VCEK's to state. Until that is verified here, no report is accepted at all."""
    for tcb in (bytes(8), b"\xff" * 8):
        report = bytearray(REPORT_BYTES)
        report[0:4] = version.to_bytes(4, "little")
        report[REPORTED_TCB : REPORTED_TCB + 8] = tcb
        with pytest.raises(EvidenceRefused) as caught:
            parse_quote(bytes(report))
        assert caught.value.step is None
        assert caught.value.reason in {
            EvidenceCode.UNSUPPORTED_QUOTE_VERSION, EvidenceCode.UNSUPPORTED_AK_TYPE, EvidenceCode.UNKNOWN_QE_VENDOR
        }  # fmt: skip


# --- endorsements ------------------------------------------------------------------------------------------------


def flipped(text, at):
    """Return hex with one bit of one byte flipped."""
    data = bytearray.fromhex(text)
    data[at] ^= 1
    return data.hex()


DOCUMENTS = {"tcb_info": "TCB_INFO_INVALID_SIGNATURE", "qe_identity": "QE_IDENTITY_INVALID_SIGNATURE"}
LISTS = {"root_ca_crl": "root", "pck_crl": "pck"}
ISSUED = {"leaf": "PCK_INVALID_ISSUER", "ca": "INTERMEDIATE_INVALID_ISSUER", "signer": "TCB_SIGNING_INVALID_ISSUER"}


def refused(judge, world, code):
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason == EvidenceCode[code], caught.value.sentence


@pytest.mark.parametrize("name", DOCUMENTS)
def test_sc_15_a_document_with_a_flipped_byte_another_signer_or_no_signature_endorses_nothing(judge, world, lw, name):
    parts = world.collateral()
    for change in (
        {name: parts[name].replace("UpToDate", "UpToDatf", 1)},
        {f"{name}_signature": flipped(parts[f"{name}_signature"], 63)},
        {f"{name}_signature": ""},
        {f"{name}_signature": "00" * 64},
    ):
        world.collateral_edits = change
        refused(judge, world, DOCUMENTS[name])
    world.collateral_edits = {}
    world.tcb_signing_key = world.qe_signing_key = None
    setattr(world, "tcb_signing_key" if name == "tcb_info" else "qe_signing_key", lw.KEYS["other"])
    refused(judge, world, DOCUMENTS[name])


@pytest.mark.parametrize("name", LISTS)
def test_sc_15_a_list_with_a_flipped_byte_or_another_signer_endorses_nothing(judge, world, lw, name):
    text = world.collateral()[name]
    world.collateral_edits[name] = flipped(text, -1)
    refused(judge, world, "CRL_INVALID_SIGNATURE")
    number = bytes([0x02, 0x01, world.crls[LISTS[name]]["number"]])
    place = bytes.fromhex(text).rindex(lw.oid("2.5.29.20")[2:]) + 3
    assert bytes.fromhex(text)[place:].startswith(b"\x04\x03" + number)
    world.collateral_edits[name] = flipped(text, place + 4)
    refused(judge, world, "CRL_INVALID_SIGNATURE")
    world.collateral_edits = {}
    world.crls[LISTS[name]]["key"] = lw.KEYS["other"]
    refused(judge, world, "CRL_INVALID_SIGNATURE")


@pytest.mark.parametrize("role", ISSUED)
def test_sc_15_a_certificate_of_another_signer_endorses_nothing(judge, world, lw, role):
    world.recipes[role].signed_by = lw.KEYS["other"]
    refused(judge, world, ISSUED[role])


# --- native code -------------------------------------------------------------------------------------------------

IMPORTS = """
import importlib, pkgutil, sys, sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
import strongroom.attestation, strongroom.broker, strongroom.cli.broker_serve
for room in (strongroom.attestation, strongroom.broker):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
shipped = sysconfig.get_path("stdlib")
for name, module in sorted(sys.modules.items()):
    path = str(getattr(module, "__file__", None) or "")
    if path.endswith(tuple(EXTENSION_SUFFIXES)) and not (path.startswith(shipped) and "site-packages" not in path):
        print(name)
"""
NATIVE = {"_cffi_backend", "cryptography.hazmat.bindings._rust"}  # `cryptography`, in Rust, and the way to its OpenSSL


# What a whole broker loads besides, by top-level package, each because somebody well known keeps it.
NATIVE_AROUND = {
    "httptools": "heads of HTTP requests: the parser of Node.js",
    "uvloop": "the event loop over libuv, of Node.js as well",
    "markupsafe": "escaping of the console's pages",
    "psycopg_binary": "the driver of PostgreSQL, only where the store is one",
    "pkcs11": "tokens, only where the root key is in one",
}


def test_ev_11_nothing_native_but_cryptography_judges_evidence():
    """Quotes, certificates, lists and JSON are read by Python; the standard library's own modules come with it."""
    core = IMPORTS.replace("(strongroom.attestation, strongroom.broker)", "(strongroom.attestation, strongroom.pki)")
    core = core.replace("strongroom.cli.broker_serve", "strongroom.broker.service, strongroom.broker.kbs_service")
    found = subprocess.run([sys.executable, "-c", core], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) <= NATIVE


def test_ev_11_sa_06_what_is_native_in_a_whole_broker_is_on_a_list():
    found = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    beyond = {name.partition(".")[0] for name in set(found.stdout.split()) - NATIVE}
    assert beyond <= NATIVE_AROUND.keys()
