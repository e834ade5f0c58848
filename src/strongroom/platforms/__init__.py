"""Where evidence comes from: Gramine's device on SGX, configfs-tsm in a TDX guest, or the simulated platform.

Law of this room: a platform takes 64 bytes of report data and returns a quote over exactly these; it never says which
trust domain it belongs to, because only the verifier's anchors decide that. Framing what the 64 bytes mean belongs to
`attestation.binding`. `platforms.simulated` makes whole worlds and launches programs in them; a replica needs only
`detect`.
"""

from strongroom.platforms.detection import QUOTE_FD_VARIABLE, detect
from strongroom.platforms.evidence import (
    Platform,
    PlatformAbsent,
    QuoteNotOurs,
    QuoteUnavailable,
    ReportDataSize,
)
from strongroom.platforms.gramine_device import GramineDevice, GramineKeys, GramineKeyUnusable
from strongroom.platforms.simulated_client import SimulatedPlatform
from strongroom.platforms.tdx import TdxGuest
from strongroom.platforms.tsm_reports import ConfigfsReports, Reports

__all__ = [
    "QUOTE_FD_VARIABLE",
    "ConfigfsReports",
    "GramineDevice",
    "GramineKeyUnusable",
    "GramineKeys",
    "Platform",
    "PlatformAbsent",
    "QuoteNotOurs",
    "QuoteUnavailable",
    "ReportDataSize",
    "Reports",
    "SimulatedPlatform",
    "TdxGuest",
    "detect",
]
