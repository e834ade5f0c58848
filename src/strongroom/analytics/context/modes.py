"""Which ways to protect data go with which kinds of file. Pure."""

from __future__ import annotations

from strongroom.analytics.parquet.refusals import PARQUET_MODES
from strongroom.datasets.manifest import Kind
from strongroom.datasets.names import BadCryptoMode, CryptoMode

_CBC = (
    "AES/CBC/PKCS5Padding is neither written nor read here: BigDL's files of this mode do not show whether somebody "
    "changed them, and their keys hold 32 bits that cannot be guessed"
)


def mode_for(mode: CryptoMode | str, kind: Kind) -> CryptoMode:
    """Return how files of a kind are protected. Raises BadCryptoMode, saying why."""
    found = CryptoMode.parse(str(mode))
    if found is CryptoMode.AES_CBC_PKCS5PADDING:
        raise BadCryptoMode(
            _CBC, fix="Decrypt such files where they are trusted, and seal them anew: strongroom data seal."
        )
    if found in PARQUET_MODES and kind is not Kind.PARQUET:
        raise BadCryptoMode(f"{found} is Parquet's own encryption: {kind} files are protected by the mode sealed")
    return found
