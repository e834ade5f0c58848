"""Pictures of digits with what they show: MNIST's own files, or scikit-learn's digits where these are not there.

World: reads two files, writes Parquet. The four files of MNIST (IDX, http://yann.lecun.com/exdb/mnist) are each a magic
number, the sizes of its dimensions, and one byte a pixel or label.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

SIDE: Final = 28
PARTS: Final = {"train": "train", "test": "t10k"}
STAND_IN: Final = "scikit-learn's digits, shifted and scaled (a stand-in for MNIST)"
MAX_PICTURES: Final = 1_000_000
_UNSIGNED_BYTES: Final = 0x08
_SHIFTS: Final = [(down, right) for down in (-2, -1, 0, 1, 2) for right in (-2, -1, 0, 1, 2)]


class BadPictures(BadInput):
    """A file of pictures or labels is not in MNIST's form, or is cut."""

    code = "SR-LEARN-PICTURES"
    fix = "Give the folder with MNIST's four files, such as train-images-idx3-ubyte, unpacked or as .gz."


@dataclass(frozen=True, slots=True)
class Pictures:
    """Grey pictures, 0 to 255, and the digit in each. `images`: count x 28 x 28 bytes."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    source: str

    def taken(self, count: int | None) -> Pictures:
        """Return the first ones."""
        return Pictures(self.images[:count], self.labels[:count], self.source)

    def table(self) -> pa.Table:
        """Return columns `image` (784 bytes) and `digit`."""
        import pyarrow as pa

        flat = np.ascontiguousarray(self.images).reshape(len(self.images), -1)
        return pa.table({"image": pa.array([row.tobytes() for row in flat], pa.binary()),
                         "digit": pa.array(self.labels.astype(np.int32))})  # fmt: skip


def has_mnist(folder: Path) -> bool:
    """Whether a folder has MNIST's four files, here or one level further down."""
    return all(_place(folder, prefix, kind) is not None for prefix in PARTS.values() for kind in ("images", "labels"))


def mnist(folder: Path, part: str) -> Pictures:
    """Return MNIST's `train` or `test` pictures. Raises BadPictures."""
    images = _idx(folder, PARTS[part], "images", dimensions=3)
    labels = _idx(folder, PARTS[part], "labels", dimensions=1)
    if images.shape[1:] != (SIDE, SIDE) or len(images) != len(labels) or labels.max(initial=0) > 9:
        raise BadPictures(f"{part} has {len(images)} pictures of {images.shape[1:]} and {len(labels)} labels")
    return Pictures(images, labels, "MNIST")


def digits(part: str, *, seed: int = 0) -> Pictures:
    """Return scikit-learn's digits in MNIST's size: a fifth to test, the others in 25 places each."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    order = np.random.default_rng(seed).permutation(len(found.target))
    cut = len(order) // 5
    chosen = order[:cut] if part == "test" else order[cut:]
    small = (found.images[chosen] * (255 / 16)).astype(np.uint8)
    large = np.pad(np.kron(small, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))
    labels = found.target[chosen].astype(np.uint8)
    if part == "test":
        return Pictures(large, labels, STAND_IN)
    moved = np.concatenate([np.roll(large, shift, axis=(1, 2)) for shift in _SHIFTS])
    mixed = np.random.default_rng([seed, 1]).permutation(len(moved))
    return Pictures(moved[mixed], np.tile(labels, len(_SHIFTS))[mixed], STAND_IN)


def write_parquet(folder: Path, pictures: Pictures, *, files: int = 4) -> None:
    """Write pictures as a folder of Parquet files, which Spark reads side by side."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    table = pictures.table()
    share = -(-max(table.num_rows, 1) // files)
    for number in range(files):
        pq.write_table(table.slice(number * share, share), folder / f"part-{number}.parquet")


def _place(folder: Path, prefix: str, kind: str) -> Path | None:
    name = f"{prefix}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    tried = [place / (name + end) for place in (folder, folder / "data") for end in ("", ".gz")]
    return next((path for path in tried if path.is_file()), None)


def _idx(folder: Path, prefix: str, kind: str, *, dimensions: int) -> NDArray[np.uint8]:
    path = _place(folder, prefix, kind)
    if path is None:
        raise BadPictures(f"{folder} has no {prefix}-{kind} of MNIST")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        try:
            head = stream.read(4 + 4 * dimensions)
            if len(head) != 4 + 4 * dimensions or head[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions]):
                raise BadPictures(f"{path.name} does not begin as an IDX file of {dimensions} dimensions does")
            sizes = np.frombuffer(head[4:], dtype=">u4").astype(np.int64)
            if sizes[0] > MAX_PICTURES or any(size > SIDE for size in sizes[1:]):
                raise BadPictures(f"{path.name} announces {' x '.join(map(str, sizes))} bytes, more than is taken")
            data = stream.read(int(sizes.prod()) + 1)
        except (OSError, EOFError) as problem:
            raise BadPictures(f"{path.name} cannot be read: {problem}") from None
    if len(data) != int(sizes.prod()):
        raise BadPictures(f"{path.name} announces {int(sizes.prod())} bytes, which it does not have")
    return np.frombuffer(data, dtype=np.uint8).reshape(sizes)
