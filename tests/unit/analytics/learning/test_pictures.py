"""MNIST's files are read strictly, and scikit-learn's digits stand in for them by name."""

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from strongroom.analytics.learning import pictures
from strongroom.analytics.learning.pictures import BadPictures


def test_the_four_files_are_read(mnist_folder):
    assert pictures.has_mnist(mnist_folder)
    train, test = pictures.mnist(mnist_folder, "train"), pictures.mnist(mnist_folder, "test")
    assert train.images.shape == (12, 28, 28)
    assert test.labels.tolist() == [0, 1, 2, 3, 4]
    assert train.source == "MNIST"


def test_they_may_lie_one_level_down_and_be_packed(mnist_folder):
    (mnist_folder / "data").mkdir()
    for path in list(mnist_folder.glob("*-ubyte")):
        (mnist_folder / "data" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert len(pictures.mnist(mnist_folder, "test").labels) == 5


def test_a_folder_without_them_is_told(tmp_path):
    assert not pictures.has_mnist(tmp_path)
    with pytest.raises(BadPictures) as refused:
        pictures.mnist(tmp_path, "train")
    assert refused.value.code == "SR-LEARN-PICTURES"


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:7], lambda data: b"\0\0\x09\3" + data[4:],
     lambda data: data[:4] + b"\xff" * 12 + data[16:], lambda data: b""],
    ids=["cut", "longer", "no head", "another kind", "huge", "empty"],
)  # fmt: skip
def test_a_file_in_another_form_is_refused_before_it_is_taken(mnist_folder, change):
    path = mnist_folder / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BadPictures):
        pictures.mnist(mnist_folder, "train")


def test_a_cut_packed_file_is_refused(mnist_folder):
    path = mnist_folder / "t10k-images-idx3-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (mnist_folder / f"{path.name}.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(BadPictures):
        pictures.mnist(mnist_folder, "test")


def test_labels_that_are_no_digits_are_refused(mnist_folder):
    path = mnist_folder / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(BadPictures):
        pictures.mnist(mnist_folder, "train")


def test_the_stand_in_has_mnists_form_says_what_it_is_and_keeps_the_test_apart():
    train, test = pictures.digits("train"), pictures.digits("test")
    assert train.images.shape == (1438 * 25, 28, 28)
    assert test.images.shape == (359, 28, 28)
    assert "stand-in" in train.source
    assert set(train.labels.tolist()) == set(range(10))
    seen = {image.tobytes() for image in train.images}
    assert sum(image.tobytes() in seen for image in test.images) == 0
    assert np.array_equal(pictures.digits("test").images, test.images)
    assert not np.array_equal(pictures.digits("test", seed=1).images, test.images)


def test_pictures_are_written_as_parquet_and_none_is_lost(tmp_path, mnist_folder):
    found = pictures.mnist(mnist_folder, "train").taken(10)
    pictures.write_parquet(tmp_path / "out", found, files=4)
    table = pq.read_table(tmp_path / "out")
    assert table.column_names == ["image", "digit"]
    assert sorted(table["image"].to_pylist()) == sorted(image.tobytes() for image in found.images)
