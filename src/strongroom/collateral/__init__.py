"""Where the signed reference data for a quote come from: here, a folder with one file per platform family.

Law of this room: a source finds collateral and judges nothing. Every part is signed and the verifier checks all of it,
so a hostile source can only withhold. What is missing is said with the FMSPC, the place looked at, and the next step.
"""

from strongroom.collateral.folder import CollateralSource, CollateralUnavailable, Folder

__all__ = ["CollateralSource", "CollateralUnavailable", "Folder"]
