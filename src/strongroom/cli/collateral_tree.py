"""Turn reference data into a tree with words: windows, numbers, the level that a quote reaches, advisories with links.

Pure. Signatures are not looked at: it shows what the texts say, and `strongroom quote verify` judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from strongroom.attestation import Collateral, EvidenceRefused, PckClaims, Quote, TcbStatus, TdReport
from strongroom.attestation.identity import EnclaveIdentity, parse_identity
from strongroom.attestation.isv_levels import IsvLevel
from strongroom.attestation.pck import read_pck_claims
from strongroom.attestation.status import MEANINGS
from strongroom.attestation.tcb import match_level, match_tdx_level
from strongroom.attestation.tcb_info import TcbInfo, TcbLevel, parse_tcb_info
from strongroom.attestation.validity import timestamp
from strongroom.attestation.verify import pck_chain_of
from strongroom.cli.advisory_links import link_of
from strongroom.cli.quote_tree import Node


def reference_node(collateral: Collateral, quote: Quote, now: datetime) -> Node:
    """Return the tree of the reference data in `collateral`, with what this quote reaches in them."""
    info, identity = _read(collateral)
    return Node("reference data", "", "unverified: signatures were not checked", (
        _tcb_info(info, quote, now),
        _identity(identity, quote, now),
    ))  # fmt: skip


def reference_object(collateral: Collateral, quote: Quote, now: datetime) -> dict[str, object]:
    """Return the same as a machine reads it; levels are null where the quote reaches none."""
    info, identity = _read(collateral)
    reached = [_reached(info, quote), _qe_reached(identity, quote)]
    levels = [
        {
            "tcb_date": timestamp(level.date),
            "tcb_status": level.status.value,
            "advisories": {advisory: link_of(advisory) for advisory in level.advisories},
        }
        if level is not None
        else None
        for level in reached
    ]
    return {
        "tcb_info": {**_facts(info, now), "fmspc": info.fmspc.hex().upper(), "level": levels[0]},
        "qe_identity": {**_facts(identity, now), "id": identity.name, "level": levels[1]},
    }


def _read(collateral: Collateral) -> tuple[TcbInfo, EnclaveIdentity]:
    return parse_tcb_info(collateral.tcb_info.encode()), parse_identity(collateral.qe_identity.encode())


def _facts(document: TcbInfo | EnclaveIdentity, now: datetime) -> dict[str, object]:
    return {
        "version": document.version,
        "tcb_eval_num": document.evaluation_number,
        "issue_date": timestamp(document.issued),
        "next_update": timestamp(document.next_update),
        "days_left": (document.next_update - now).days,
    }


def _tcb_info(info: TcbInfo, quote: Quote, now: datetime) -> Node:
    level = _reached(info, quote)
    rows = [_level_node(row, "this platform is here" if row is level else "") for row in info.levels]
    if level is None:
        rows.append(Node("none of them", "", "the platform in the quote is below every level, or of another family"))
    return Node("TCB info", f"version {info.version} for {info.tee.value}", "", (
        Node("FMSPC", info.fmspc.hex().upper()),
        *_window(info, now),
        Node("levels", str(len(info.levels)), "from high to low", tuple(rows)),
    ))  # fmt: skip


def _identity(identity: EnclaveIdentity, quote: Quote, now: datetime) -> Node:
    level = _qe_reached(identity, quote)
    rows = [_level_node(row, "the quoting enclave is here" if row is level else "") for row in identity.levels]
    return Node("QE identity", identity.name, "", (
        *_window(identity, now),
        Node("levels", str(len(identity.levels)), "from high to low", tuple(rows)),
    ))  # fmt: skip


def _window(document: TcbInfo | EnclaveIdentity, now: datetime) -> tuple[Node, ...]:
    left = (document.next_update - now).days
    words = f"{left} days left" if left >= 0 else f"ended {-left} days ago"
    return (
        Node("evaluation number", str(document.evaluation_number), "higher is newer"),
        Node("counts", f"{document.issued:%Y-%m-%d} to {document.next_update:%Y-%m-%d}", words),
    )


def _level_node(level: TcbLevel | IsvLevel, note: str) -> Node:
    links = tuple(Node(advisory, link_of(advisory)) for advisory in level.advisories) if note else ()
    count = f", {len(level.advisories)} advisories" if level.advisories and not note else ""
    meaning = f"{note}: {MEANINGS[TcbStatus(level.status)]}" if note else ""
    return Node(f"{level.date:%Y-%m-%d}", f"{level.status.value}{count}", meaning, links)


def _reached(info: TcbInfo, quote: Quote) -> TcbLevel | None:
    """Return the level that the platform in the quote's own certificate reaches; None where there is none."""
    try:
        claims = read_pck_claims(pck_chain_of(quote)[0])
        return _match(info.levels, claims, quote) if claims.fmspc == info.fmspc else None
    except EvidenceRefused:
        return None


def _match(levels: Sequence[TcbLevel], claims: PckClaims, quote: Quote) -> TcbLevel:
    if isinstance(quote.body, TdReport):
        return match_tdx_level(claims.components, claims.pce_svn, quote.body.tee_tcb_svn, levels)
    return match_level(claims.components, claims.pce_svn, levels)


def _qe_reached(identity: EnclaveIdentity, quote: Quote) -> IsvLevel | None:
    try:
        return identity.level_of(quote.qe_report)
    except EvidenceRefused:
        return None
