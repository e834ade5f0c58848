"""Where evidence comes from: Gramine's device on SGX, or the simulated platform on machines without a TEE.

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
from strongroom.platforms.gramine_device import GramineDevice
from strongroom.platforms.simulated_client import SimulatedPlatform

__all__ = [
    "QUOTE_FD_VARIABLE",
    "GramineDevice",
    "Platform",
    "PlatformAbsent",
    "QuoteNotOurs",
    "QuoteUnavailable",
    "ReportDataSize",
    "SimulatedPlatform",
    "detect",
]
