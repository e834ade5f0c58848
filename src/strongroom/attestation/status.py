"""The words that say how current a platform is, and how two of them become one (specification sections 4.4 and 6.3)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused


class TcbStatus(StrEnum):
    """Status words of signed reference data, in Intel's spelling."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    TD_RELAUNCH_ADVISED = "TDRelaunchAdvised"  # ours to conclude (section 6.4): reference data never use these two
    TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED = "TDRelaunchAdvisedConfigurationNeeded"
    REVOKED = "Revoked"


MEANINGS: Final = {
    TcbStatus.UP_TO_DATE: "The platform has every security update that Intel lists.",
    TcbStatus.SW_HARDENING_NEEDED: "The platform is current; the software in the enclave must mitigate the advisories.",
    TcbStatus.CONFIGURATION_NEEDED: "The platform is current, but a setting (such as hyper-threading) needs a change.",
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: "A setting needs a change, and enclave software must mitigate.",
    TcbStatus.OUT_OF_DATE: "The platform lacks security updates: known attacks may work.",
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: "The platform lacks security updates and a setting needs a change.",
    TcbStatus.TD_RELAUNCH_ADVISED: "The TDX module is current, but this trust domain started under an older one.",
    TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED: (
        "The TDX module is current, but this trust domain started under an older one; a setting needs a change."
    ),
    TcbStatus.REVOKED: "Intel has revoked this level: the platform's keys may be out.",
}

ADVICE: Final = {
    TcbStatus.UP_TO_DATE: "Nothing; compare the measurement with the build you trust.",
    TcbStatus.SW_HARDENING_NEEDED: "Read the advisories; accept them by name if the enclave's software mitigates them.",
    TcbStatus.CONFIGURATION_NEEDED: "Read the advisories and have the operator change the BIOS setting they name.",
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: "Have the setting changed; mitigate the advisories in software.",
    TcbStatus.OUT_OF_DATE: "Have the operator update microcode, BIOS and SGX software, then attest again.",
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: "Have the operator update and change the setting, then attest again.",
    TcbStatus.TD_RELAUNCH_ADVISED: "Have the operator start the trust domain anew, then attest again.",
    TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED: (
        "Have the operator change the setting and start the trust domain anew, then attest again."
    ),
    TcbStatus.REVOKED: "Release nothing to this platform.",
}

NAMES_CONFIGURATION: Final = frozenset(
    {
        TcbStatus.CONFIGURATION_NEEDED,
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
        TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
    }
)
_RELAUNCH: Final = frozenset({TcbStatus.TD_RELAUNCH_ADVISED, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED})
_WORDS: Final = {status.value: status for status in TcbStatus if status not in _RELAUNCH}


def parse_status(word: str) -> TcbStatus:
    """Return the status that reference data name; raise EvidenceRefused (TCB_UNRECOGNIZED_STATUS) for other words."""
    status = _WORDS.get(word)
    if status is None:
        raise EvidenceRefused(f"{word[:64]!r} is no TCB status", reason=EvidenceCode.TCB_UNRECOGNIZED_STATUS)
    return status


def converge(own: TcbStatus, other: TcbStatus) -> TcbStatus:
    """Return a status once another part's is counted in, the TDX module's or the QE's: the table of section 6.3."""
    if TcbStatus.REVOKED in (own, other):
        return TcbStatus.REVOKED
    if other is not TcbStatus.OUT_OF_DATE:
        return own
    return TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED if own in NAMES_CONFIGURATION else TcbStatus.OUT_OF_DATE
