"""What Parquet's encryption refuses, and which ways to protect data are its own. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.datasets.names import BadCryptoMode, CryptoMode
from strongroom.errors import Tampered

PARQUET_MODES: Final = frozenset({CryptoMode.AES_GCM_V1, CryptoMode.AES_GCM_CTR_V1})


class ParquetNotOpened(Tampered):
    """An encrypted Parquet file does not open: bytes were changed or cut, or it is no such file."""

    code = "SR-PARQUET-TAMPERED"
    fix = "Take the file from where it was written; somebody changed this copy."


def parquet_mode(mode: CryptoMode) -> CryptoMode:
    """Return a mode of Parquet's own encryption. Raises BadCryptoMode."""
    if mode not in PARQUET_MODES:
        raise BadCryptoMode(f"{mode} is no mode of Parquet's own encryption")
    return mode
