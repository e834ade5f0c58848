"""Fixtures of the measurement tests: the published pairs, and a signer of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa


@pytest.fixture(scope="session")
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


@pytest.fixture(scope="session")
def sig_folder(shared_vectors: Path) -> Path:
    """Return the folder of .sig files that Gramine's own signer made."""
    return shared_vectors / "gramine" / "sig"


@pytest.fixture(scope="session")
def sig_cases(sig_folder: Path) -> list[dict[str, object]]:
    """Return what is expected of each pair."""
    return json.loads((sig_folder / "index.json").read_text(encoding="utf-8"))
