"""Turn a quote into a tree with words for each field: what it is, which flags are set, what the numbers mean.

Pure. Nothing here is verified; the tree says what the bytes claim (specification sections 2 and 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from typing import Final

from strongroom.attestation import CertificationType, EvidenceRefused, PckClaims, Quote, SgxReport, TdReport
from strongroom.attestation.certificates import Certificate
from strongroom.attestation.pck import read_pck_claims
from strongroom.attestation.report import Attributes
from strongroom.attestation.td_report import TdAttributes
from strongroom.attestation.verify import pck_chain_of

_LONG: Final = 64  # characters of a value
_SGX_FLAGS: Final = {
    Attributes.INIT: "INIT: initialised",
    Attributes.DEBUG: "DEBUG: the host can read and change this enclave's memory",
    Attributes.MODE64BIT: "MODE64BIT: 64-bit code",
    Attributes.PROVISION_KEY: "PROVISION_KEY: may derive provisioning keys",
    Attributes.EINITTOKEN_KEY: "EINITTOKEN_KEY: may launch other enclaves",
    Attributes.KSS: "KSS: key separation and sharing",
}
_TD_FLAGS: Final = {
    TdAttributes.DEBUG: "DEBUG: the host can read and change this trust domain's memory",
    TdAttributes.SEPT_VE_DISABLE: "SEPT_VE_DISABLE: no #VE on pages taken away, as a safe guest needs",
    TdAttributes.MIGRATABLE: "MIGRATABLE: may move to another machine",
    TdAttributes.PKS: "PKS: supervisor protection keys",
    TdAttributes.KL: "KL: key locker",
    TdAttributes.PERFMON: "PERFMON: performance counters inside the trust domain",
}
_XFEATURES: Final = {
    0: "x87", 1: "SSE", 2: "AVX", 3: "MPX", 4: "MPX", 5: "AVX-512", 6: "AVX-512", 7: "AVX-512", 8: "PT", 9: "PKRU",
    10: "PASID", 11: "CET user", 12: "CET supervisor", 14: "user interrupts", 15: "LBR", 17: "AMX", 18: "AMX",
}  # fmt: skip
_CERTIFICATION: Final = {
    CertificationType.PLAIN_PPID: "the platform's PPID in clear, for a PCK lookup",
    CertificationType.RSA_2048_PPID: "the platform's PPID under RSA-2048, for a PCK lookup",
    CertificationType.RSA_3072_PPID: "the platform's PPID under RSA-3072, for a PCK lookup",
    CertificationType.PCK_LEAF: "the PCK certificate alone",
    CertificationType.PCK_CHAIN: "the PCK certificate chain",
}
_SGX_TYPES: Final = ("standard", "scalable", "scalable with integrity")
_MEANINGS: Final = {
    "cpu_svn": "security versions of the CPU's parts, as the platform reports them",
    "mr_enclave": "measurement of code and initial data",
    "mr_signer": "SHA-256 of the key that signed the enclave",
    "isv_prod_id": "product number that the signer chose",
    "isv_svn": "security version that the signer chose",
    "config_id": "set at launch, not measured in mr_enclave",
    "report_data": "64 bytes that the program itself put in",
    "tee_tcb_svn": "TDX module SVN, module version, microcode SVN, 13 more",
    "tee_tcb_svn2": "the same, for the module that is loaded now",
    "mr_seam": "measurement of the TDX module",
    "mr_signer_seam": "signer of the TDX module; zeros mean Intel",
    "mr_td": "measurement of the trust domain's initial memory",
    "mr_config_id": "configuration that the owner chose, not measured in mr_td",
    "mr_owner": "the owner's identity, if set",
    "mr_owner_config": "the owner's configuration, if set",
    "rtmr0": "run-time measurement: firmware configuration",
    "rtmr1": "run-time measurement: boot loader and kernel",
    "rtmr2": "run-time measurement: command line and initrd, by convention",
    "rtmr3": "run-time measurement: left to the application",
    "mr_service_td": "measurement of a bound service TD; zeros mean none",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One line of the tree: a name, what is there, what it means, and what is below."""

    name: str
    value: str = ""
    note: str = ""
    children: tuple[Node, ...] = ()

    def lines(self, *, first: str = "", rest: str = "") -> Iterator[str]:
        """Yield the tree as text, with box-drawing characters."""
        yield first + _printable(self._line())
        if self._long:
            yield rest + ("│  " if self.children else "   ") + self.value
        for number, child in enumerate(self.children, 1):
            last = number == len(self.children)
            yield from child.lines(first=rest + ("└─ " if last else "├─ "), rest=rest + ("   " if last else "│  "))

    @property
    def _long(self) -> bool:
        """Whether the value is digits that get a line of their own, whole, so that they can be copied."""
        return len(self.value) > _LONG and self.value.isalnum()

    def _line(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        if self._long:
            return f"{self.name}{note}"
        return f"{self.name}{': ' if self.value else ''}{self.value}{note}"


def _printable(text: str) -> str:
    """Names in certificates are anybody's text: nothing of them may steer a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def tree_of(quote: Quote, size: int) -> Node:
    """Return the tree of a quote of `size` bytes."""
    return Node(
        f"{quote.tee.value} quote, version {quote.version}", f"{size} bytes", "unverified: anyone can write any quote",
        (
            _header(quote),
            body_node(quote),
            _signature(quote),
            Node("padding", f"{quote.trailing_len} bytes", "zeros behind the declared end"),
        )[: None if quote.trailing_len else 3],
    )  # fmt: skip


def _header(quote: Quote) -> Node:
    return Node("header", "48 bytes", "", (
        Node("attestation key", "ECDSA on P-256"),
        Node("quoting enclave SVN", str(quote.qe_svn), "informative; nobody signed it for the TCB"),
        Node("PCE SVN", str(quote.pce_svn), "informative"),
        Node("vendor", "Intel"),
        Node("QE ID", quote.user_data[:16].hex(), "names the quoting enclave's platform in a PCK lookup"),
    ))  # fmt: skip


def body_node(quote: Quote) -> Node:
    """Return the body's part of the tree."""
    if isinstance(quote.body, SgxReport):
        return _sgx_report("body: SGX report", quote.body)
    return _td_report(quote.body)


def _sgx_report(title: str, report: SgxReport) -> Node:
    fields = report.to_json_object()
    nodes = []
    for name, value in fields.items():
        if name == "attributes":
            nodes.append(Node(name, str(value), "", tuple(_attributes(report))))
        elif name in {"config_id", "config_svn", "isv_ext_prod_id", "isv_family_id", "misc_select"} and not _set(value):
            continue
        else:
            nodes.append(_field(name, value))
    return Node(title, f"{384} bytes", "" if report.reserved_clear else "reserved bytes are set", tuple(nodes))


def _attributes(report: SgxReport) -> Iterator[Node]:
    yield from _flags(report.flags, _SGX_FLAGS)
    yield Node("xfrm", _xfeatures(report.attributes[8:]), "processor state that the enclave may use")


def td_flag_names(report: TdReport) -> str:
    """Return the names of a trust domain's flags, in words."""
    return ", ".join(
        node.name + (f" {node.value}" if node.value else "") for node in _flags(report.attributes, _TD_FLAGS)
    )


def _td_report(report: TdReport) -> Node:
    nodes = []
    for name, value in report.to_json_object().items():
        if name == "td_attributes":
            nodes.append(Node(name, str(value), "", tuple(_flags(report.attributes, _TD_FLAGS))))
        elif name == "xfam":
            nodes.append(Node(name, str(value), _xfeatures(report.xfam)))
        elif name.startswith("tee_tcb_svn"):
            raw = bytes.fromhex(str(value))
            shown = f"module SVN {raw[0]}, module version {raw[1]}, microcode SVN {raw[2]}"
            nodes.append(Node(name, str(value), shown))
        else:
            nodes.append(_field(name, value))
    version = "1.0" if report.tee_tcb_svn2 is None else "1.5"
    return Node(f"body: TD report {version}", f"{len(report.to_bytes())} bytes", "", tuple(nodes))


def _field(name: str, value: object) -> Node:
    text = str(value)
    if isinstance(value, str) and len(value) > 8 and not _set(value):
        return Node(name, "zeros", _MEANINGS.get(name, ""))
    return Node(name, text, _MEANINGS.get(name, ""))


def _set(value: object) -> bool:
    return bool(value) and (not isinstance(value, str) or bool(value.strip("0")))


def _flags(flags: IntFlag, words: dict[Attributes, str] | dict[TdAttributes, str]) -> Iterator[Node]:
    known = 0
    for flag, text in words.items():
        known |= int(flag)
        if int(flag) & int(flags):
            name, _, note = text.partition(": ")
            yield Node(name, "", note)
    unknown = int(flags) & ~known
    if unknown:
        yield Node("unknown bits", hex(unknown), "a newer platform, or a forged quote")


def _xfeatures(mask: bytes) -> str:
    bits = int.from_bytes(mask, "little")
    names = dict.fromkeys(_XFEATURES.get(bit, f"bit {bit}") for bit in range(64) if bits >> bit & 1)
    return ", ".join(names) or "none"


def _signature(quote: Quote) -> Node:
    return Node("signature data", "", "", (
        Node("signature", quote.signature.hex(), "by the attestation key, over header and body"),
        Node("attestation key", quote.attestation_key.hex(), "x and y on P-256"),
        _sgx_report("report of the quoting enclave", quote.qe_report),
        Node("signature of that report", quote.qe_report_signature.hex(), "by the platform's PCK key"),
        Node("authentication data", f"{len(quote.qe_auth_data)} bytes", quote.qe_auth_data[:32].hex()),
        _certification(quote),
    ))  # fmt: skip


def _certification(quote: Quote) -> Node:
    kind = quote.certification_type
    try:
        if kind is CertificationType.PCK_CHAIN:
            children = chain_nodes(pck_chain_of(quote))
        elif kind is CertificationType.PCK_LEAF:
            children = (Node("certificate", f"{len(quote.certification_data)} bytes"),)
        else:
            ids = quote.platform_ids()
            children = (
                Node("PPID", ids.ppid.hex(), "encrypted for Intel" if ids.encrypted else "nobody signed it"),
                Node("CPUSVN", ids.cpu_svn.hex()),
                Node("PCESVN", str(ids.pce_svn)),
                Node("PCEID", ids.pce_id.hex()),
            )
    except EvidenceRefused as refused:
        children = (Node("unreadable", "", refused.sentence),)
    return Node("certification data", f"type {kind.value}", _CERTIFICATION[kind], children)


def chain_nodes(chain: Sequence[Certificate]) -> tuple[Node, ...]:
    """Return one node a certificate, the PCK certificate with its platform."""
    return tuple(_certificate(certificate) for certificate in chain)


def _certificate(certificate: Certificate) -> Node:
    children = [Node("valid", f"{_day(certificate.since)} to {_day(certificate.until)}"),
                Node("serial", f"{certificate.serial:x}")]  # fmt: skip
    if certificate.simulated:
        children.append(Node("marked as simulated", "", "a program made it; it proves nothing about hardware"))
    if certificate.sgx_extensions:
        try:
            children.append(platform_node(read_pck_claims(certificate)))
        except EvidenceRefused as refused:
            children.append(Node("platform", "", refused.sentence))
    return Node("certificate", certificate.common_name, "", tuple(children))


def platform_node(claims: PckClaims) -> Node:
    """Return what a PCK certificate says of its platform."""
    optional: Iterable[tuple[str, bool | None]] = (
        ("dynamic platform", claims.dynamic_platform),
        ("cached keys", claims.cached_keys),
        ("hyper-threading", claims.smt_enabled),
    )
    nodes = [
        Node("FMSPC", claims.fmspc.hex().upper(), "the platform family: its TCB info is filed under this"),
        Node("PPID", claims.ppid.hex(), "this one processor package"),
        Node("TCB components", " ".join(map(str, claims.components)), f"PCESVN {claims.pce_svn}"),
        Node("CPUSVN", claims.cpu_svn.hex()),
        Node("PCEID", claims.pce_id.hex()),
        Node("SGX type", _SGX_TYPES[claims.sgx_type]),
    ]
    if claims.platform_instance_id is not None:
        nodes.append(Node("platform instance", claims.platform_instance_id.hex()))
    nodes += [Node(name, "yes" if value else "no") for name, value in optional if value is not None]
    return Node("platform", "", "", tuple(nodes))


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
