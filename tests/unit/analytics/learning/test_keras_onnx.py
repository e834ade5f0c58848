"""A Keras model says the same as ONNX, and what ONNX has not is refused."""

import numpy as np
import onnxruntime
import pytest

from strongroom.analytics.learning import keras_onnx, needed
from strongroom.analytics.learning.keras_onnx import NoOnnxModel
from strongroom.analytics.learning.needed import LearningNotInstalled


@pytest.fixture(scope="module")
def keras():
    """Keras, which takes seconds to import."""
    return needed.keras()


@pytest.fixture(scope="module")
def small(keras):
    """A small network over pictures."""
    layers = keras.layers
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="tanh"), layers.MaxPooling2D(),
                             layers.Flatten(), layers.Dense(4, activation="softmax")])  # fmt: skip


def test_the_model_says_the_same_for_any_number_of_rows(small):
    session = onnxruntime.InferenceSession(keras_onnx.to_onnx(small, input_name="image", output_name="digit"))
    for rows in (1, 7):
        pictures = np.random.default_rng(rows).random((rows, 8, 8, 1), dtype=np.float32)
        assert np.allclose(session.run(["digit"], {"image": pictures})[0], small(pictures).numpy(), atol=1e-6)


def test_a_model_of_two_inputs_is_refused(keras):
    one, other = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([one, other], keras.layers.Dense(1)(keras.layers.Concatenate()([one, other])))
    with pytest.raises(NoOnnxModel) as refused:
        keras_onnx.to_onnx(model)
    assert refused.value.code == "SR-LEARN-ONNX"


def test_a_library_that_is_missing_is_named_with_the_extra():
    with pytest.raises(LearningNotInstalled) as refused:
        needed._found("strongroom_has_no_such_module")
    assert refused.value.code == "SR-LEARN-EXTRA"
    assert "make setup-all. Elsewhere: pip install 'strongroom[analytics,tensorflow]'" in refused.value.fix
