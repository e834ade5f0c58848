"""Where the signed reference data for a quote come from: a folder, Intel's service, any PCCS, and a shared cache.

Law of this room: a source finds collateral and its word is never final. Every part is signed and the verifier checks
all of it, so a hostile source can only withhold; what enters the cache is verified first, so that it cannot displace a
good part either. What is missing is said with the FMSPC, the places asked, and the next step.
"""

from strongroom.attestation.rollback import CollateralRollback
from strongroom.collateral.folder import CollateralSource, CollateralUnavailable, Folder
from strongroom.collateral.opening import open_sources
from strongroom.collateral.parts import CollateralTooOld
from strongroom.collateral.refresher import Refresher
from strongroom.collateral.seen import ClockBehind
from strongroom.collateral.settings import CollateralSettings
from strongroom.collateral.sources import LiveSource

__all__ = [
    "ClockBehind",
    "CollateralRollback",
    "CollateralSettings",
    "CollateralSource",
    "CollateralTooOld",
    "CollateralUnavailable",
    "Folder",
    "LiveSource",
    "Refresher",
    "open_sources",
]
