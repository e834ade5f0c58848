"""Verdicts and refusals for a person: what was proved, or which step failed, what that means and what to do."""

from __future__ import annotations

from strongroom.attestation import EvidenceRefused, Quote, SgxReport, TdReport, TrustDomain, Verdict
from strongroom.attestation.codes import meaning_of
from strongroom.attestation.status import ADVICE, MEANINGS
from strongroom.attestation.steps import Outcome, StepCheck, checks_of_refusal
from strongroom.cli.advisory_links import link_of
from strongroom.cli.quote_tree import Node, td_flag_names

# With every pass that rests on hardware (threat PL-09): no verifier can tell.
PHYSICAL_ACCESS = (
    "Not proved: that nobody opened the machine. Who can may read its memory or steal its attestation key."
)
_MARKS = {Outcome.PASS: "passed", Outcome.FAIL: "FAILED", Outcome.UNKNOWN: "not looked at"}


def text_of(node: Node) -> str:
    """Return a tree as lines."""
    return "".join(f"{line}\n" for line in node.lines())


def refusal_node(refused: EvidenceRefused, quote: Quote | None) -> Node:
    """Return a refusal as a tree: steps up to the one that failed, and how many nobody looked at."""
    checks = checks_of_refusal(refused, quote.tee if quote else None)
    looked_at = [check for check in checks if check.outcome is not Outcome.UNKNOWN]
    later = len(checks) - len(looked_at)
    steps = [_step_node(check, refused) for check in looked_at]
    if later:
        steps.append(Node(f"{later} more steps", "", "not looked at"))
    what = f"{quote.tee.value} quote of version {quote.version}" if quote else "no quote that can be read"
    return Node("refused", what, "", tuple(steps))


def _step_node(check: StepCheck, refused: EvidenceRefused) -> Node:
    if check.outcome is not Outcome.FAIL:
        return Node(f"{check.step:>2} {check.name}", _MARKS[check.outcome])
    return Node(f"{check.step:>2} {check.name}", _MARKS[check.outcome], "", (
        Node("error", refused.reason.value, meaning_of(refused.reason)),
        Node("seen", refused.sentence),
        Node("what to do", refused.fix),
    ))  # fmt: skip


def card(verdict: Verdict) -> str:
    """Return a verdict as a person reads it."""
    left = (verdict.earliest_expiration - verdict.verified_at).days
    days = "day" if left == 1 else "days"
    lines = [f"  ! {warning}" for warning in _warnings(verdict)]
    rows = (
        ("verdict", "sound: signatures, chains, revocation and dates hold"),
        ("evidence", f"{verdict.tee.value} quote of version {verdict.quote_version}"),
        ("trust domain", f"{verdict.trust_domain.value} (root key {verdict.root_key_id[:16]}…)"),
        ("status", verdict.status.value),
        ("", MEANINGS[verdict.status]),
        ("what to do", ADVICE[verdict.status]),
        ("platform", f"{verdict.platform_status.value}, level of {verdict.tcb_date:%Y-%m-%d}, FMSPC {verdict.fmspc}"),
        ("platform flags", _flags(verdict)),
        *([("TDX module", verdict.module_status.value)] if verdict.module_status else []),
        ("quoting enclave", verdict.qe_status.value),
        *_advisory_rows(verdict),
        *_identity_rows(verdict.body),
        ("report data", _hex(verdict.body.report_data)),
        ("debug", "yes" if verdict.debug else "no"),
        ("judged at", f"{verdict.verified_at:%Y-%m-%d %H:%M:%S} UTC"),
        (
            "counts until",
            f"{verdict.earliest_expiration:%Y-%m-%d %H:%M:%S} UTC, {left} {days} left",
        ),
        ("collateral of", f"{verdict.collateral_issued:%Y-%m-%d}, numbers {verdict.tcb_eval} and {verdict.qe_eval}"),
    )
    lines += [f"{name:>16}  {value}" for name, value in rows]
    lines.append("\nA verdict is not a decision: whether this is enough is for a policy to say.")
    if verdict.trust_domain is TrustDomain.INTEL:
        lines.append(PHYSICAL_ACCESS)
    return "\n".join(lines) + "\n"


def _flags(verdict: Verdict) -> str:
    """Return Intel's three flags of the platform, which policies judge; undefined is neither yes nor no."""
    words = {None: "undefined", True: "yes", False: "no"}
    flags = (("dynamic", verdict.pck.dynamic_platform), ("cached keys", verdict.pck.cached_keys),
             ("hyper-threading", verdict.pck.smt_enabled))  # fmt: skip
    return ", ".join(f"{name} {words[flag]}" for name, flag in flags)


def _advisory_rows(verdict: Verdict) -> list[tuple[str, str]]:
    rows = [("", f"{advisory}  {link_of(advisory)}") for advisory in verdict.advisories]
    return [("advisories", rows[0][1]), *rows[1:]] if rows else [("advisories", "none")]


def _identity_rows(body: SgxReport | TdReport) -> list[tuple[str, str]]:
    """Return the fields that say which code runs."""
    if isinstance(body, SgxReport):
        return [
            ("mr_enclave", _hex(body.mr_enclave)),
            ("mr_signer", _hex(body.mr_signer)),
            ("product, SVN", f"{body.isv_prod_id}, {body.isv_svn}"),
        ]
    names = ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id", "mr_owner"]
    rows = [(name, _hex(getattr(body, name))) for name in names]
    rows += [("td_attributes", f"{body.td_attributes.hex()} {td_flag_names(body)}"), ("xfam", body.xfam.hex())]
    return [*rows, ("mr_service_td", _hex(body.mr_service_td))] if body.mr_service_td else rows


def _hex(value: bytes) -> str:
    return value.hex() if any(value) else "zeros"


def _warnings(verdict: Verdict) -> list[str]:
    warnings = []
    if verdict.trust_domain is TrustDomain.SIMULATED:
        warnings.append("SIMULATED: this platform is a program; the quote proves nothing about hardware.")
    if verdict.debug:
        what = "enclave" if isinstance(verdict.body, SgxReport) else "trust domain"
        warnings.append(f"DEBUG: the host can read and change this {what}'s memory.")
    warnings += [f"GRACE: the {name} has expired; --collateral-grace excuses it." for name in verdict.in_grace]
    return warnings
