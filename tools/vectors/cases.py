"""The cases of tests/vectors/simulated_quotes: what is built or broken, and what a verifier must say of it.

Names follow the shared `sim-*` vectors where the case is theirs. What is expected is written down here by case, after
the specification, not taken from Strongroom's verifier. `peer` says how dcap-qvl 0.7.0 differs, if it does
(specification section 10.2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from strongroom.attestation import CertificationType, Collateral, SgxReport, TcbStatus, TdAttributes, TdReport, Tee
from strongroom.platforms.simulated import (
    CURRENT_MODULE,
    OLD_MODULE,
    EnclaveIdentity,
    Identity,
    QuoteFormat,
    Rehearsal,
    Revocation,
    TdIdentity,
    TdxModule,
    World,
)
from strongroom.platforms.simulated.signatures import raw_signature

AT: Final = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REPORT_DATA: Final = bytes(range(64))
ADVISORIES: Final = ("INTEL-SA-00615", "INTEL-SA-00657")
ENCLAVE: Final = EnclaveIdentity(mr_enclave=bytes(range(32)), mr_signer=bytes(range(32, 64)), isv_prod_id=3, isv_svn=7)
TD: Final = TdIdentity(
    mr_td=bytes(range(48)), rtmrs=(b"\x10" * 48, b"\x11" * 48, b"\x12" * 48, b"\x13" * 48), mr_owner=b"\x20" * 48
)
TD_1_5: Final = replace(TD, loaded=CURRENT_MODULE)
SGX_4: Final = QuoteFormat(version=4)
SGX_5: Final = QuoteFormat(version=5)
TDX_4: Final = QuoteFormat(tee=Tee.TDX, version=4)
TDX_5: Final = QuoteFormat(tee=Tee.TDX, version=5)
_AUTH: Final = {SGX_4: 48 + 384 + 4, SGX_5: 54 + 384 + 4, TDX_4: 48 + 584 + 4, TDX_5: 54 + 648 + 4}

Report: TypeAlias = SgxReport | TdReport
Change: TypeAlias = Callable[[bytes, "Kit", "Case"], bytes]
Reference: TypeAlias = Callable[[World, "Case"], Collateral]
Edit: TypeAlias = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, kw_only=True)
class Kit:
    """The worlds that cases are made of."""

    world: World
    processor: World
    other: World


def fresh(world: World, case: Case) -> Collateral:
    """Return the collateral that the case rehearses, with the PCK chain for quotes that do not carry theirs."""
    found = world.collateral_with_chain(AT, case.rehearsal, tee=case.form.tee)
    return found if case.chain else replace(found, pck_certificate_chain=None, pck_tcbm=None)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One vector: quote, collateral, time, and the verdict."""

    name: str
    note: str
    form: QuoteFormat = TDX_4
    identity: Identity = TD
    report: Callable[[Report], Report] | None = None  # what an owner of the machine has signed instead
    change: Change | None = None  # what happens to the signed quote
    rehearsal: Rehearsal = field(default_factory=Rehearsal)
    reference: Reference = fresh
    chain: bool = False
    processor: bool = False
    other_root: bool = False
    at: datetime = AT
    error: str | None = None
    status: str = "UpToDate"
    platform_status: str | None = None  # as `status` unless said
    qe_status: str = "UpToDate"
    module_status: str | None = None  # UpToDate for TDX unless said
    no_module: bool = False
    advisories: tuple[str, ...] = ()
    tcb_date: str = "2025-08-01T00:00:00Z"
    peer: Literal["same", "refuses", "accepts"] = "same"


# --- collateral -------------------------------------------------------------------------------------------------------


def resigned(*, info: Edit | None = None, identity: Edit | None = None, spaced: bool = False) -> Reference:
    """Return collateral whose documents were edited and signed again by the world's TCB signer."""

    def make(world: World, case: Case) -> Collateral:
        found, key = fresh(world, case), world.signers.tcb_signer.key
        if info is not None:
            text = _edited(found.tcb_info, info)
            found = replace(found, tcb_info=text, tcb_info_signature=raw_signature(key, text.encode()).hex())
        if identity is not None:
            text = _edited(found.qe_identity, identity)
            found = replace(found, qe_identity=text, qe_identity_signature=raw_signature(key, text.encode()).hex())
        return replace(found, qe_identity=found.qe_identity.replace(",", ", ")) if spaced else found

    return make


def _edited(text: str, edit: Edit) -> str:
    document = json.loads(text)
    edit(document)
    return json.dumps(document, separators=(",", ":"))


def tampered(world: World, case: Case) -> Collateral:
    """Change a signed status without signing again."""
    found = fresh(world, case)
    return replace(found, tcb_info=found.tcb_info.replace('"OutOfDate"', '"UpToDate"'))


def signed_by_pck(world: World, case: Case) -> Collateral:
    """TCB info signed by the machine's own PCK key, under its chain: what a stolen PCK key could mint."""
    found, pck = fresh(world, case), world.signers.pck
    return replace(
        found, tcb_info_signature=raw_signature(pck.key, found.tcb_info.encode()).hex(),
        tcb_info_issuer_chain=world.pck_chain,
    )  # fmt: skip


def of_sgx(*, info: bool = False, identity: bool = False) -> Reference:
    """TDX collateral with a document of SGX in it."""

    def make(world: World, case: Case) -> Collateral:
        found, sgx = fresh(world, case), world.collateral(AT)
        if info:
            found = replace(found, tcb_info=sgx.tcb_info, tcb_info_signature=sgx.tcb_info_signature)
        if identity:
            found = replace(found, qe_identity=sgx.qe_identity, qe_identity_signature=sgx.qe_identity_signature)
        return found

    return make


def _lower_tdx_level(info: dict[str, Any]) -> None:
    """Ask for newer microcode in the first level: SGX reaches it, TDX only the next one."""
    info["tcbLevels"][0]["tcb"]["tdxtcbcomponents"][2]["svn"] += 1


def _only_first_level(info: dict[str, Any]) -> None:
    info["tcbLevels"] = info["tcbLevels"][:1]
    _lower_tdx_level(info)


def _set(**values: object) -> Edit:
    return lambda document: document.update(values)


def _unknown_status(info: dict[str, Any]) -> None:
    info["tcbLevels"][0]["tcbStatus"] = "BothDays"


def _fifteen(info: dict[str, Any]) -> None:
    info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"].pop()


# --- quotes -----------------------------------------------------------------------------------------------------------


def flipped(offset: int) -> Change:
    """Flip one bit."""
    return lambda quote, _kit, _case: quote[:offset] + bytes([quote[offset] ^ 1]) + quote[offset + 1 :]


def put(offset: int, data: bytes) -> Change:
    """Overwrite bytes."""
    return lambda quote, _kit, _case: quote[:offset] + data + quote[offset + len(data) :]


def cut(length: int) -> Change:
    """Keep the first bytes, or all but the last ones."""
    return lambda quote, _kit, _case: quote[:length]


def followed_by(data: bytes) -> Change:
    """Append bytes behind the declared end."""
    return lambda quote, _kit, _case: quote + data


def spliced(start: int, end: int) -> Change:
    """Take a part of the signature data from another enclave's quote over the same report."""

    def make(quote: bytes, kit: Kit, case: Case) -> bytes:
        second = kit.world.quoting_enclave(case.form).quote(case.identity, REPORT_DATA)
        at = _AUTH[case.form]
        return quote[: at + start] + second[at + start : at + end] + quote[at + end :]

    return make


def grown(quote: bytes, _kit: Kit, case: Case) -> bytes:
    """Append bytes inside the outer certification data, every length around them counted up."""
    at = _AUTH[case.form]
    quote = _counted_up(_counted_up(quote, at - 4), at + 130)
    return quote + b"junk"


def _counted_up(quote: bytes, at: int) -> bytes:
    size = int.from_bytes(quote[at : at + 4], "little") + 4
    return quote[:at] + size.to_bytes(4, "little") + quote[at + 4 :]


def _td(**values: object) -> Callable[[Report], Report]:
    return lambda report: replace(report, **values)  # type: ignore[arg-type]  # the cases name fields of TD reports


# --- the table --------------------------------------------------------------------------------------------------------


def every_case() -> Iterator[Case]:
    """Yield all cases."""
    yield from _formats()
    yield from _statuses()
    yield from _modules()
    yield from _relaunch()
    yield from _policy_matters()
    yield from _collateral()
    yield from _broken_quotes()
    yield from _certification()


def _formats() -> Iterator[Case]:
    yield Case(name="sgx-uptodate", note="a healthy platform", form=QuoteFormat(), identity=ENCLAVE)
    for form in (SGX_4, SGX_5):
        yield Case(name=f"sgx-v{form.version}", note="a healthy platform", form=form, identity=ENCLAVE, peer="refuses")
    yield Case(name="tdx-uptodate", note="a healthy platform")
    yield Case(name="tdx10-in-v5", note="a TD report of version 1.0 in a quote of version 5", form=TDX_5)
    yield Case(name="tdx15-uptodate", note="a TD report of version 1.5", form=TDX_5, identity=TD_1_5)
    yield Case(name="tdx-uptodate-processor-ca", note="a PCK certificate of the processor CA", processor=True)
    yield Case(name="tdx-other-root", note="judged under another world's root", other_root=True, error="ROOT_UNTRUSTED")


def _statuses() -> Iterator[Case]:
    for status in TcbStatus:
        if status is TcbStatus.UP_TO_DATE or "Relaunch" in status:
            continue
        yield Case(
            name=f"tdx-{status.value}", note="the platform's level", advisories=ADVISORIES, status=status.value,
            rehearsal=Rehearsal(status=status, advisories=ADVISORIES),
            peer="refuses" if status is TcbStatus.REVOKED else "same",
        )  # fmt: skip
    for own, converged in (("UpToDate", "OutOfDate"), ("ConfigurationNeeded", "OutOfDateConfigurationNeeded")):
        yield Case(
            name=f"tdx-conv-{own}-qe-OutOfDate", note="with an old quoting enclave", status=converged,
            platform_status=own, qe_status="OutOfDate", advisories=ADVISORIES[:1],
            rehearsal=Rehearsal(
                status=TcbStatus(own), qe_status=TcbStatus.OUT_OF_DATE, qe_advisories=ADVISORIES[:1]
            ),
        )  # fmt: skip
    yield Case(
        name="tdx-sgx-level-differs-from-tdx-level", note="SGX reaches the first level, TDX the last",
        status="OutOfDate", reference=resigned(info=_lower_tdx_level), tcb_date="2023-02-15T00:00:00Z",
    )  # fmt: skip
    yield Case(name="tdx-comp2-low", note="old microcode", reference=resigned(info=_only_first_level),
               error="TCB_NOT_SUPPORTED")  # fmt: skip
    yield Case(name="tdx-no-level", note="all levels are ahead", rehearsal=Rehearsal(unsupported=True),
               error="TCB_NOT_SUPPORTED")  # fmt: skip


def _modules() -> Iterator[Case]:
    yield Case(
        name="tdx-module-outofdate", note="a platform status of its own, the module's below", status="OutOfDate",
        module_status="OutOfDate", advisories=ADVISORIES[1:],
        rehearsal=Rehearsal(module_status=TcbStatus.OUT_OF_DATE, module_advisories=ADVISORIES[1:]),
    )  # fmt: skip
    yield Case(name="tdx-module-below-all", note="an SVN below every level", error="TCB_NOT_SUPPORTED",
               identity=replace(TD, module=TdxModule(svn=1)))  # fmt: skip
    yield Case(name="tdx-module-unknown-version", note="no identity for version 3", error="TDX_MODULE_MISMATCH",
               identity=replace(TD, module=TdxModule(version=3)))  # fmt: skip
    yield Case(name="tdx-module-v0-ok", note="version 0 has no identity", no_module=True,
               identity=replace(TD, module=TdxModule(version=0)))  # fmt: skip
    yield Case(name="tdx-module-v0-comp0-checked", note="of version 0, the SVN is a component", status="OutOfDate",
               identity=replace(TD, module=TdxModule(version=0, svn=4)), no_module=True,
               tcb_date="2023-02-15T00:00:00Z")  # fmt: skip
    yield Case(name="tdx-comp0-skipped-when-module", note="of version 1, it is not", status="OutOfDate",
               platform_status="OutOfDate", module_status="OutOfDate",
               identity=replace(TD, module=OLD_MODULE))  # fmt: skip
    yield Case(name="tdx-mrsignerseam-mismatch", note="another signer of the module", error="TDX_MODULE_MISMATCH",
               report=_td(mr_signer_seam=b"\1" * 48))  # fmt: skip
    yield Case(name="tdx-seamattributes-nonzero", note="a debug module", error="TDX_MODULE_MISMATCH",
               report=_td(seam_attributes=b"\1" + bytes(7)))  # fmt: skip
    yield Case(name="tdx-module-identities-missing", note="TCB info without the list", error="TCB_INFO_MISMATCH",
               rehearsal=Rehearsal(tdx_modules=None))  # fmt: skip


def _relaunch() -> Iterator[Case]:
    before = replace(TD_1_5, module=OLD_MODULE)
    late = Case(name="", note="", form=TDX_5, identity=before, module_status="OutOfDate", platform_status="OutOfDate")
    yield replace(late, name="tdx15-relaunch-advised", note="the loaded module is current, the launch was not",
                  status="TDRelaunchAdvised")  # fmt: skip
    yield replace(late, name="tdx15-relaunch-advised-conf", note="and the platform needs configuration",
                  status="TDRelaunchAdvisedConfigurationNeeded", platform_status="OutOfDateConfigurationNeeded",
                  rehearsal=Rehearsal(status=TcbStatus.CONFIGURATION_NEEDED))  # fmt: skip
    yield replace(late, name="tdx15-no-relaunch-svn2-old", note="the loaded module is old too", status="OutOfDate",
                  identity=replace(before, loaded=OLD_MODULE))  # fmt: skip


def _policy_matters() -> Iterator[Case]:
    """Sound evidence that dcap-qvl refuses by policy."""
    debug = TdAttributes.SEPT_VE_DISABLE | TdAttributes.DEBUG
    yield Case(name="tdx-debug", note="a debug domain", identity=replace(TD, attributes=debug), peer="refuses")
    yield Case(name="tdx-no-sept-ve-disable", note="SEPT_VE_DISABLE is clear", peer="refuses",
               identity=replace(TD, attributes=TdAttributes(0)))  # fmt: skip
    yield Case(name="tdx15-service-td", note="a service TD is bound", form=TDX_5, peer="refuses",
               identity=replace(TD_1_5, mr_service_td=b"\1" * 48))  # fmt: skip


def _collateral() -> Iterator[Case]:
    for name, revoked, error in (
        ("pck", Revocation.PCK, "PCK_REVOKED"),
        ("pck-ca", Revocation.PCK_CA, "INTERMEDIATE_REVOKED"),
        ("tcb-signer", Revocation.TCB_SIGNER, "TCB_SIGNING_REVOKED"),
    ):
        yield Case(name=f"tdx-{name}-revoked", note="on a revocation list", error=error,
                   rehearsal=Rehearsal(revoked=frozenset({revoked})))  # fmt: skip
    yield Case(name="tdx-tcbinfo-expired", note="issued 31 days before", error="TCB_INFO_EXPIRED",
               rehearsal=Rehearsal(age=timedelta(days=31)))  # fmt: skip
    yield Case(name="tdx-time-before-issue", note="judged a week before", at=AT - timedelta(days=7),
               error="ROOT_EXPIRED")  # fmt: skip
    yield Case(name="tdx-time-after-everything", note="judged two years later", at=AT + timedelta(days=730),
               error="CRL_EXPIRED")  # fmt: skip
    for name, note, reference, error in (
        ("tcbinfo-tampered", "a status changed, not signed again", tampered, "TCB_INFO_INVALID_SIGNATURE"),
        ("qeidentity-reformatted", "spaces in signed text", resigned(spaced=True), "QE_IDENTITY_INVALID_SIGNATURE"),
        ("fmspc-mismatch", "of another family", resigned(info=_set(fmspc="F0FFFFFFFFFF")), "TCB_INFO_MISMATCH"),
        ("unknown-status", "a word nobody knows", resigned(info=_unknown_status), "TCB_UNRECOGNIZED_STATUS"),
        ("15-components", "one is missing", resigned(info=_fifteen), "TCB_INFO_FORMAT"),
        ("with-sgx-tcbinfo", "the TCB info of SGX", of_sgx(info=True), "TCB_INFO_MISMATCH"),
        ("with-sgx-qe-identity", "the identity of SGX's enclave", of_sgx(identity=True), "QE_IDENTITY_MISMATCH"),
        ("qe-id-qve", "the identity of a verifying enclave", resigned(identity=_set(id="QVE")), "QE_IDENTITY_MISMATCH"),
        ("qe-isv_prod_id-mismatch", "another product", resigned(identity=_set(isvprodid=9)), "QE_IDENTITY_MISMATCH"),
    ):
        yield Case(name=f"tdx-{name}", note=note, reference=reference, error=error)
    for name, note, reference, error in (
        ("pceid-mismatch", "of another PCE", resigned(info=_set(pceId="FFFF")), "TCB_INFO_MISMATCH"),
        ("tcbtype-nonzero", "a type nobody knows", resigned(info=_set(tcbType=1)), "TCB_TYPE"),
        ("tcbinfo-signed-by-pck", "a PCK leaf signed it", signed_by_pck, "TCB_SIGNING_CHAIN"),
    ):
        yield Case(name=f"tdx-{name}", note=note, reference=reference, error=error, peer="accepts")


def _broken_quotes() -> Iterator[Case]:
    for name, form, identity, body in (
        ("sgx-v4", SGX_4, ENCLAVE, 48 + 320), ("sgx-v5", SGX_5, ENCLAVE, 54 + 320),
        ("tdx", TDX_4, TD, 48 + 520), ("tdx15", TDX_5, TD_1_5, 54 + 520),
    ):  # fmt: skip
        yield Case(name=f"{name}-report-data-flipped", note="one bit", form=form, identity=identity,
                   change=flipped(body), error="INVALID_QUOTE_SIGNATURE")  # fmt: skip
        yield Case(name=f"{name}-auth-internal-trailing", note="junk inside declared data", form=form,
                   identity=identity, change=grown, error="AUTH_TRAILING",
                   peer="accepts" if form.tee is Tee.TDX else "same")  # fmt: skip
    for name, note, change, error in (
        ("mr-td-flipped", "one bit of mr_td", flipped(48 + 136), "INVALID_QUOTE_SIGNATURE"),
        ("header-userdata-flipped", "one bit of the QE id", flipped(28), "INVALID_QUOTE_SIGNATURE"),
        ("quote-signed-by-other-ak", "another enclave's signature", spliced(0, 64), "INVALID_QUOTE_SIGNATURE"),
        ("qe-report-signed-by-other-key", "another signature", spliced(518, 582), "INVALID_QE_REPORT_SIGNATURE"),
        ("qe-report-data-wrong-hash", "other authentication data", spliced(584, 616), "INVALID_QE_REPORT_DATA"),
        ("vendor-unknown", "another vendor", flipped(12), "UNKNOWN_QE_VENDOR"),
        ("ak-type-3", "P-384 on paper", put(2, b"\3"), "UNSUPPORTED_AK_TYPE"),
        ("v3-tee-tdx", "TDX in version 3", put(0, b"\3"), "V3_NOT_SGX"),
        ("version-6", "a version nobody knows", put(0, b"\6"), "UNSUPPORTED_QUOTE_VERSION"),
        ("truncated-1", "the last byte is gone", cut(-1), "QUOTE_TRUNCATED"),
        ("truncated-400", "cut in the body", cut(400), "QUOTE_TRUNCATED"),
        ("cert-type-7", "a platform manifest", put(636 + 616, b"\7"), "CERT_TYPE"),
    ):  # fmt: skip
        yield Case(name=f"tdx-{name}", note=note, change=change, error=error)
    yield Case(name="tdx-trailing-zeros", note="padding, as real guests have it", change=followed_by(bytes(70)))
    yield Case(name="tdx-outer-cert-type-5", note="said not to be nested, and nested", error="V4_CERT_TYPE",
               change=put(636 + 128, b"\5"), peer="accepts")  # fmt: skip
    yield Case(name="tdx-trailing-data", note="bytes behind the end", change=followed_by(b"\0\1"),
               error="TRAILING_DATA", peer="accepts")  # fmt: skip
    for name, note, change, error in (
        ("body-type-4", "TD 1.5Ex", put(48, b"\4"), "UNSUPPORTED_BODY_TYPE"),
        ("body-size", "one byte less", put(50, (647).to_bytes(4, "little")), "BODY_SIZE"),
        ("body-tee-mismatch", "a body of SGX", put(48, b"\1"), "BODY_TEE_MISMATCH"),
    ):
        yield Case(name=f"tdx15-{name}", note=note, form=TDX_5, identity=TD_1_5, change=change, error=error)


def _certification() -> Iterator[Case]:
    for kind in (CertificationType.RSA_2048_PPID, CertificationType.RSA_3072_PPID, CertificationType.PCK_LEAF):
        form = replace(TDX_4, certification=kind)
        yield Case(name=f"tdx-cert-type-{kind.value}", note="without a chain", form=form, error="CERT_TYPE_UNSUPPORTED")
        yield Case(
            name=f"tdx-cert-type-{kind.value}-with-chain", note="with the looked-up chain", form=form, chain=True
        )
