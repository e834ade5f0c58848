"""The demo's model: what it answers for known photographs, and how it is cached."""

import numpy as np
import pytest

from strongroom.bundles.onnx_runtime import onnxruntime
from strongroom.client.extras import MissingExtra, locate
from strongroom.client.images import read_image
from strongroom.client.labels import read_labels, top_classes
from strongroom.demo.model import cache_folder, servable
from strongroom.demo.photos import own_photos, sample_photos


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    servable(folder)
    return folder


@pytest.fixture(scope="module")
def session(cache):
    return onnxruntime.InferenceSession(servable(cache) / "model.onnx", providers=["CPUExecutionProvider"])


def classify(session, image):
    return session.run(["predict"], {"input": image})[0]


@pytest.mark.parametrize(
    ("photo", "best"),
    [("china.jpg", [(698, 0.3596), (442, 0.1409), (663, 0.0822)]), ("flower.jpg", [(985, 0.3268), (947, 0.0483)])],
)
def test_known_photographs_get_their_known_probabilities(session, photo, best):
    path = next(sample.path for sample in sample_photos() if sample.path.name == photo)
    ranked = top_classes(classify(session, read_image(path))[0], read_labels("imagenet"), count=len(best))
    assert [each.index for each in ranked] == [index for index, _ in best]
    assert [each.probability for each in ranked] == pytest.approx([value for _, value in best], abs=1e-3)


def test_the_batch_is_free_and_rows_do_not_depend_on_each_other(session):
    images = np.concatenate([read_image(sample.path) for sample in sample_photos()])
    together = classify(session, images)
    assert together.shape == (2, 1000)
    assert together.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert np.abs(together[1] - classify(session, images[1:])[0]).max() < 1e-5


def test_the_servable_has_the_names_that_clients_of_the_reference_use(session):
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, given.type) == ("input", ["batch", 224, 224, 3], "tensor(float)")
    assert (made.name, made.shape, made.type) == ("predict", ["batch", 1000], "tensor(float)")


def test_a_cached_model_is_used_again_and_a_changed_one_is_built_anew(cache):
    model = servable(cache) / "model.onnx"
    good, built = model.read_bytes(), model.stat().st_mtime_ns
    assert servable(cache) / "model.onnx" == model
    assert model.stat().st_mtime_ns == built
    model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    servable(cache)
    assert model.read_bytes() == good
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]


def test_the_cache_follows_the_base_directory_specification(tmp_path):
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "strongroom"
    assert cache_folder({"HOME": str(tmp_path)}) == tmp_path / ".cache" / "strongroom"
    assert cache_folder({"HOME": str(tmp_path), "XDG_CACHE_HOME": "not/absolute"}) == tmp_path / ".cache" / "strongroom"


def test_a_missing_extra_is_one_sentence_with_the_command():
    with pytest.raises(MissingExtra, match="no-such-package is not installed") as caught:
        locate("no_such_package", extra="demo")
    assert caught.value.code == "SR-MISSING-EXTRA"
    assert caught.value.fix == "In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[demo]'"


def test_photographs_of_the_user_expect_nothing(tmp_path):
    (photo,) = own_photos([tmp_path / "mine.jpg"])
    assert photo.expected is None
