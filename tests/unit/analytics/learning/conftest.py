"""Keys in files, a folder for a model, and MNIST's files in small."""

import struct

import numpy as np
import pytest

from strongroom.analytics.keys.files import FileKeyService, write_ring
from strongroom.datasets.key_ring import KeyRing


@pytest.fixture
def keys(tmp_path):
    """One primary key, `models`, and another, `others`."""
    for name in ("models", "others"):
        write_ring(tmp_path / "keys", KeyRing.fresh(name))
    return FileKeyService(tmp_path / "keys")


@pytest.fixture
def mnist_folder(tmp_path):
    """MNIST's four files with so many pictures: 12 to learn from, 5 to test."""

    def idx(array):
        return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    rng = np.random.default_rng(3)
    for prefix, count in (("train", 12), ("t10k", 5)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    return tmp_path
