"""The 22 steps of verification, in the order that decides which refusal comes first (specification section 5).

A verdict has passed steps 1 to 21; a refusal knows the step it came from. `checks_of_refusal` and `checks_of_verdict`
say for each step whether it passed, failed or was not looked at, which is not a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Final

from strongroom.attestation.codes import EvidenceCode as C
from strongroom.attestation.codes import EvidenceRefused
from strongroom.attestation.quote import Tee

EXCUSABLE: Final = {3: "root CRL", 6: "TCB info", 7: "QE identity", 11: "PCK CRL"}  # what a grace may excuse
MODULE_STEP: Final = 15
POLICY_STEP: Final = 22


class Outcome(StrEnum):
    """What a check came to; `unknown` means that nobody looked, and never counts as a pass."""

    PASS = "pass"  # noqa: S105  # not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its number, its name, and the codes that it can refuse with."""

    number: int
    name: str
    codes: tuple[C, ...]


@dataclass(frozen=True, slots=True)
class StepCheck:
    """What one step came to, and why."""

    step: int
    name: str
    outcome: Outcome
    detail: str

    def to_json_object(self) -> dict[str, object]:
        """Return the check as a machine reads it."""
        return {"step": self.step, "name": self.name, "outcome": self.outcome.value, "detail": self.detail}


_FORMAT: Final = (
    C.TOO_LARGE, C.MALFORMED, C.QUOTE_TRUNCATED, C.UNSUPPORTED_QUOTE_VERSION, C.V3_NOT_SGX, C.UNSUPPORTED_TEE,
    C.UNSUPPORTED_AK_TYPE, C.UNKNOWN_QE_VENDOR, C.UNSUPPORTED_BODY_TYPE, C.BODY_TEE_MISMATCH, C.BODY_SIZE,
    C.V4_CERT_TYPE, C.AUTH_TRAILING, C.CERT_TYPE, C.TRAILING_DATA, C.CERT_TYPE_UNSUPPORTED,
)  # fmt: skip
_CRL: Final = (C.CRL_MISSING, C.MALFORMED, C.CRL_UNKNOWN_ISSUER, C.CRL_INVALID_SIGNATURE, C.CRL_EXPIRED)
_SIGNER_CHAIN: Final = (C.TCB_SIGNING_CHAIN, C.TCB_SIGNING_CHAIN_UNTRUSTED, C.SIMULATED_EVIDENCE, C.TCB_SIGNING_EXPIRED)
_SIGNER: Final = (
    C.TCB_SIGNING_CERT_MISSING, C.TCB_SIGNING_INVALID_ISSUER, C.TCB_SIGNING_EXPIRED, C.TCB_SIGNING_REVOKED
)  # fmt: skip
_TCB_INFO: Final = (
    C.TCB_INFO_INVALID_SIGNATURE, C.TCB_INFO_VERSION, C.TCB_TYPE, C.TCB_INFO_FORMAT, C.TCB_UNRECOGNIZED_STATUS,
    C.TCB_INFO_EXPIRED,
)  # fmt: skip
_QE_IDENTITY: Final = (
    C.QE_IDENTITY_INVALID_SIGNATURE, C.MALFORMED, C.TCB_UNRECOGNIZED_STATUS, C.QE_IDENTITY_EXPIRED
)  # fmt: skip

STEPS: Final = tuple(
    Step(number, name, codes)
    for number, (name, codes) in enumerate(
        (
            ("structure of the quote", _FORMAT),
            ("root certificate", (C.ROOT_UNTRUSTED, C.SIMULATED_EVIDENCE, C.ROOT_EXPIRED)),
            ("root CRL", (*_CRL, C.ROOT_REVOKED)),
            ("chain of the TCB signer", _SIGNER_CHAIN),
            ("TCB signer", _SIGNER),
            ("TCB info", _TCB_INFO),
            ("QE identity", (*_SIGNER_CHAIN, *_SIGNER, *_QE_IDENTITY)),
            ("PCK chain", (C.PCK_CHAIN, C.PCK_CERT_CHAIN_UNTRUSTED, C.SIMULATED_EVIDENCE, C.PCK_CHAIN_EXPIRED)),
            ("roles in the PCK chain", (C.SGX_PCK_MISSING, C.INTERMEDIATE_CA)),
            (
                "signatures and dates of the PCK chain",
                (C.INTERMEDIATE_INVALID_ISSUER, C.PCK_INVALID_ISSUER, C.PCK_CHAIN_EXPIRED, C.INTERMEDIATE_CA,
                 C.PCK_IS_CA, C.INVALID_PCK_CERT),
            ),
            ("PCK CRL", _CRL),
            ("revocation in the PCK chain", (C.INTERMEDIATE_REVOKED, C.PCK_REVOKED)),
            ("SGX extension of the PCK certificate", (C.INVALID_PCK_CERT, C.CERT_TYPE_UNSUPPORTED)),
            ("TCB info is for this platform", (C.TCB_INFO_MISMATCH,)),
            ("TDX module", (C.TCB_INFO_MISMATCH, C.TDX_MODULE_MISMATCH)),
            ("signature of the QE report", (C.INVALID_QE_REPORT_SIGNATURE,)),
            ("attestation key in the QE report", (C.INVALID_QE_REPORT_DATA,)),
            ("identity of the quoting enclave", (C.QE_IDENTITY_MISMATCH,)),
            ("level of the quoting enclave", (C.TCB_NOT_SUPPORTED,)),
            ("signature of the quote", (C.UNSUPPORTED_QUOTE_FORMAT, C.INVALID_QUOTE_SIGNATURE)),
            ("level of the platform", (C.TCB_NOT_SUPPORTED, C.TDX_MODULE_MISMATCH)),
            ("policy", ()),
        ),
        start=1,
    )
)  # fmt: skip

Checks = tuple[StepCheck, ...]


class _AtStep:
    """A context that writes its step into a refusal that passes by without one. It keeps nothing: one serves all."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(problem, EvidenceRefused) and problem.step is None:
            problem.step = self._number


_AT_STEPS: Final = tuple(_AtStep(number) for number in range(len(STEPS) + 1))


def at_step(number: int) -> _AtStep:
    """Return the context in which refusals are of that step: `with at_step(3):`."""
    return _AT_STEPS[number]


def checks_of_verdict(tee: Tee, in_grace: Sequence[str] = ()) -> Checks:
    """Return the checks behind a verdict; `in_grace` names the expired collateral that a grace let pass."""
    excused = {
        number: f"passed in the grace: the {name} has expired" for number, name in EXCUSABLE.items() if name in in_grace
    }
    return tuple(_passed(step, tee, excused.get(step.number, "")) for step in STEPS)


def checks_of_refusal(refused: EvidenceRefused, tee: Tee | None) -> Checks:
    """Return the checks behind a refusal: all before its step passed, none behind it was looked at.

    `tee` is what the quote's header says, None where it cannot be read.
    """
    failed = refused.step or 1
    return tuple(
        _passed(step, tee, "")
        if step.number < failed
        else StepCheck(step.number, step.name, Outcome.FAIL, f"{refused.reason.value}: {refused.sentence}")
        if step.number == failed
        else StepCheck(step.number, step.name, Outcome.UNKNOWN, f"not looked at: step {failed} failed")
        for step in STEPS
    )


def _passed(step: Step, tee: Tee | None, excused: str) -> StepCheck:
    if step.number == MODULE_STEP and tee is not Tee.TDX:
        return StepCheck(step.number, step.name, Outcome.UNKNOWN, "skipped: only TDX has a module")
    if step.number == POLICY_STEP:
        return StepCheck(step.number, step.name, Outcome.UNKNOWN, "skipped: a policy decides, not a verdict")
    return StepCheck(step.number, step.name, Outcome.PASS, excused)
