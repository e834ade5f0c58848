"""Evidence: read quotes, verify them against collateral, and appraise what they prove.

Law of this room: pure. Bytes, collateral, anchors and a time come in; a verdict comes out, or one refusal with a code
of the specification. Evidence is not policy: a sound quote always gets a `Verdict`, bad news included, and only
`appraise` says whether it is enough. Trust starts at pinned root keys and nowhere else; the simulated platform takes
the same path as Intel's. Quotes of SGX and TDX are verified, versions 3, 4 and 5.
"""

from strongroom.attestation.anchors import INTEL, Anchor, AnchorUnusable, TrustDomain
from strongroom.attestation.binding import Binding, BindingKind, NonceTooShort, report_data_for
from strongroom.attestation.certification import CertificationType, PckLookup
from strongroom.attestation.claims import Claims, EvidenceSource, claims_of
from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.attestation.collateral import Collateral, CollateralUnreadable
from strongroom.attestation.pck import PckClaims
from strongroom.attestation.policy import (
    DEFAULT_MAX_COLLATERAL_AGE,
    Check,
    Decision,
    EnrolledPlatform,
    KssFields,
    Outcome,
    Policy,
    PolicyCode,
    PolicyUnusable,
    Reason,
    appraise,
)
from strongroom.attestation.quote import Body, BodyType, Quote, Tee, parse_quote, pck_lookup_of
from strongroom.attestation.report import Attributes, SgxReport
from strongroom.attestation.status import TcbStatus
from strongroom.attestation.td_report import TdAttributes, TdReport
from strongroom.attestation.verdict import Verdict
from strongroom.attestation.verifier import Verifier
from strongroom.attestation.verify import fmspc_of, verify

__all__ = [
    "DEFAULT_MAX_COLLATERAL_AGE",
    "INTEL",
    "Anchor",
    "AnchorUnusable",
    "Attributes",
    "Binding",
    "BindingKind",
    "Body",
    "BodyType",
    "CertificationType",
    "Check",
    "Claims",
    "Collateral",
    "CollateralUnreadable",
    "Decision",
    "EnrolledPlatform",
    "EvidenceCode",
    "EvidenceRefused",
    "EvidenceSource",
    "KssFields",
    "NonceTooShort",
    "Outcome",
    "PckClaims",
    "PckLookup",
    "Policy",
    "PolicyCode",
    "PolicyUnusable",
    "Quote",
    "Reason",
    "SgxReport",
    "TcbStatus",
    "TdAttributes",
    "TdReport",
    "Tee",
    "TrustDomain",
    "Verdict",
    "Verifier",
    "appraise",
    "claims_of",
    "fmspc_of",
    "parse_quote",
    "pck_lookup_of",
    "report_data_for",
    "verify",
]
