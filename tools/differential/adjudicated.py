"""Where the two verifiers may differ, and why: every entry stands in docs/adjudicated-differences.md under its id.

An entry matches two opinions as text ("accepts: STATUS ADVISORIES" or "refuses: ..."). Where the cause can be undone,
it also says how: with that one thing repaired, both must agree, or the entry does not explain the case. A difference
that no entry explains is a defect in one of the two, and the run fails until it is understood.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

import forge
from forge import Recipe
from judge import Opinion

Repair: TypeAlias = Callable[[Recipe], None]
Opinions: TypeAlias = tuple[Opinion, Opinion]  # ours, theirs


@dataclass(frozen=True)
class Difference:
    """One class of differences: patterns for the beginning of both opinions, and what undoes the difference."""

    id: str
    ours: str
    theirs: str
    repair: Repair | None = None

    def is_about(self, ours: Opinion, theirs: Opinion) -> bool:
        """Whether this entry is about such a pair of opinions."""
        return bool(re.match(self.ours, str(ours)) and re.match(self.theirs, str(theirs)))


_ACCEPTS: Final = "accepts: "
_THEY_FAIL: Final = "refuses: Verification failed: "


def _strict(name: str, ours: str) -> Difference:
    """Return an entry for what we refuse and they let pass."""
    return Difference(name, f"refuses: {ours}", _ACCEPTS)


def _lenient(name: str, theirs: str, repair: Repair | None = None) -> Difference:
    """Return an entry for sound evidence that they refuse."""
    return Difference(name, _ACCEPTS, _THEY_FAIL + theirs, repair)


def _usual_authentication_data(recipe: Recipe) -> None:
    recipe.quote.qe_auth = bytes(32)


def _usual_td(recipe: Recipe) -> None:
    body = recipe.quote.body
    if recipe.quote.tee == forge.SGX:  # where the one such attribute is DEBUG
        body[48] &= 0xFF ^ 0x02
        return
    body[120:128] = struct.pack("<Q", 1 << 28)
    if recipe.quote.body_type == 3:
        body[600:648] = bytes(48)


def _same_svn2(recipe: Recipe) -> None:
    recipe.quote.body[584:600] = recipe.quote.body[0:16]


def _usual_extension(recipe: Recipe) -> None:
    """Make the component SVNs and the CPUSVN bytes of the PCK certificate say the same."""
    pck = recipe.certificates["pck"]
    pck.edit = None
    pck.sgx = forge.sgx_extension(list(recipe.quote.qe_report[:16]), platform=" Platform " in pck.issuer)


def _usual_certificates(recipe: Recipe) -> None:
    for made in recipe.certificates.values():
        made.edit = None


def _a_second_earlier(recipe: Recipe) -> None:
    recipe.at -= timedelta(seconds=1)


def _nothing_revoked(recipe: Recipe) -> None:
    for levels in _level_lists(recipe):
        for level in levels:
            if level["tcbStatus"] == "Revoked":
                level["tcbStatus"] = "OutOfDate"


def _descending(recipe: Recipe) -> None:
    for levels in _level_lists(recipe):
        levels.sort(key=_rank, reverse=True)


def _rank(level: Any) -> tuple[Any, ...]:
    tcb = level["tcb"]
    if "isvsvn" in tcb:
        return (tcb["isvsvn"],)
    lists = ([part["svn"] for part in tcb.get(name, ())] for name in ("sgxtcbcomponents", "tdxtcbcomponents"))
    sgx, tdx = lists
    return (sgx, tcb["pcesvn"], tdx)


def _level_lists(recipe: Recipe) -> list[Any]:
    info: Any = recipe.documents["tcb_info"].value
    identity: Any = recipe.documents["qe_identity"].value
    modules = [module["tcbLevels"] for module in info.get("tdxModuleIdentities", ())]
    return [identity["tcbLevels"], *modules, info["tcbLevels"]]


def _advisories_once(recipe: Recipe) -> None:
    for levels in _level_lists(recipe):
        for level in levels:
            if "advisoryIDs" in level:
                level["advisoryIDs"] = list(dict.fromkeys(level["advisoryIDs"]))


def _td_1_0(recipe: Recipe) -> None:
    """Take away what relaunch advice depends on: the second half of a TD report 1.5."""
    if recipe.quote.version == 5 and recipe.quote.body_type == 3:
        recipe.quote.body_type = 2
        del recipe.quote.body[584:]


DIFFERENCES: Final = (
    # They accept what has to be refused.
    _strict("trailing-data", r"TRAILING_DATA: \d+ bytes that are not all zero follow"),
    _strict("auth-trailing", r"AUTH_TRAILING: (signature|outer certification) data: \d+ bytes are left over"),
    _strict("outer-type", r"V4_CERT_TYPE: the outer certification data are of type \d+, wanted 6"),
    _strict("body-type-4", r"UNSUPPORTED_BODY_TYPE: the body is of type 4,"),
    _strict("qe-report-data", r"INVALID_QE_REPORT_DATA: the quoting enclave vouches for ([0-9a-f]{64})[0-9a-f]{64}, the"
                              r" quote's attestation key makes \1"),  # the upper half alone differs
    _strict("chain-text", r"(PCK_CHAIN|TCB_SIGNING_CHAIN|MALFORMED): .*(other than PEM certificates at offset|holds no"
                          r" certificate|holds base64 that |PCK chain: |issuer_chain: )"),
    _strict("chain-length", r"PCK_CHAIN: the PCK chain has \d+ certificates, wanted leaf"),
    _strict("pck-root", r"PCK_CERT_CHAIN_UNTRUSTED: "),
    _strict("pck-issuer", r"PCK_INVALID_ISSUER: "),
    _strict("role-name", r"(SGX_PCK_MISSING|INTERMEDIATE_CA|TCB_SIGNING_CERT_MISSING): .*is named"),
    _strict("role-powers", r"(INVALID_PCK_CERT|INTERMEDIATE_CA|TCB_SIGNING_CERT_MISSING|ROOT_UNTRUSTED): .*"
                           r"(may not be used for|has path length|is not an authority)"),
    _strict("pck-is-ca", r"PCK_IS_CA: "),
    _strict("signer-chain", r"TCB_SIGNING_CHAIN: the TCB signer's chain has \d+ certificates, wanted signer and root"),
    _strict("signer-root", r"TCB_SIGNING_CHAIN_UNTRUSTED: "),
    _strict("root-checked", r"ROOT_EXPIRED: "),
    _strict("root-self-signed", r"ANCHOR: (the certificate is not signed with its own key|anchor: )"),
    _strict("crl-future", r"CRL_EXPIRED: the (root|PCK) CRL counts from"),
    _strict("crl-extensions", r"MALFORMED: (root|PCK) CRL: CRLNumber and AuthorityKeyIdentifier are not both there"),
    _strict("crl-form", r"MALFORMED: (root|PCK) CRL: "),
    _strict("pck-extension", r"INVALID_PCK_CERT: (SGX extension|the SGX (extension|type))"),
    _strict("pceid", r"TCB_INFO_MISMATCH: the quote's PCEID is"),
    _strict("tcb-type", r"TCB_TYPE: "),
    _strict("tcb-info-version", r"TCB_INFO_VERSION: the TCB info's version is \d+, wanted 2 or 3"),
    _strict("json-form", r"(TCB_INFO_FORMAT|MALFORMED): (TCB info|QE identity|a tcbDate is)"),
    _strict("tcb-info-form", r"TCB_INFO_FORMAT: (SGX TCB info describes|[a-z]+components has|the TCB info (has two"
                             r" equal levels|describes the TDX module))"),
    _strict("isv-status", r"TCB_UNRECOGNIZED_STATUS: .* is a platform's status, not an enclave's or a module's"),
    _strict("equal-levels", r"(MALFORMED|TCB_INFO_FORMAT): the .* has two levels of one SVN"),
    _strict("qe-attributes", r"QE_IDENTITY_MISMATCH: the quoting enclave's attributes"),
    # They refuse what is sound: policy inside their verifier, or support that is missing.
    _lenient("sgx-version", "SGX TEE quote must have version 3"),
    _lenient("qe-auth-length", "Invalid QE auth data length", _usual_authentication_data),
    _lenient("td-policy", "(Reserved bits in TD attributes are set|SEPT_VE_DISABLE is not enabled|TD migration is"
                          " enabled|Debug mode is enabled|TD profiling is enabled|SERVTD_EXT is enabled"
                          "|Invalid MR service TD)", _usual_td),
    _lenient("revoked", "TCB status is invalid: Revoked", _nothing_revoked),
    _lenient("last-second", "(CrlExpired|Failed to verify certificate chain|.*expired)", _a_second_earlier),
    _lenient("svn2", r"Failed to evaluate the current TDX TCB \(TEE_TCB_SVN2\)", _same_svn2),
    _lenient("pcesvn-length", "PceSvn length mismatch"),
    _lenient("unknown-extension", "Failed to (parse|decode).* certificate", _usual_certificates),
    # Both accept and say something else.
    Difference("components", _ACCEPTS, _ACCEPTS, _usual_extension),
    Difference("level-order", _ACCEPTS, _ACCEPTS, _descending),
    Difference("advisory-twice", _ACCEPTS, _ACCEPTS, _advisories_once),
    Difference("relaunch", _ACCEPTS, _ACCEPTS, _td_1_0),
)  # fmt: skip


def explanation(recipe: Recipe, opinions: Opinions, ask: Callable[[Recipe], Opinions]) -> tuple[Difference, ...]:
    """Return the entries that together explain why `opinions` of a recipe differ; nothing where they do not.

    `ask` renders a recipe and returns both opinions. Several causes are repaired one after the other.
    """
    for entry in DIFFERENCES:
        if not entry.is_about(*opinions):
            continue
        if entry.repair is None:
            return (entry,)
        repaired = recipe.copy()
        entry.repair(repaired)
        ours, theirs = after = ask(repaired)
        if agree(ours, theirs):
            return (entry,)
        if after != opinions:
            more = explanation(repaired, after, ask)
            if more:
                return (entry, *more)
    return ()


def agree(ours: Opinion, theirs: Opinion) -> bool:
    """Whether both refuse, or both accept with the same status and advisories."""
    return ours == theirs or (not ours.accepts and not theirs.accepts)
