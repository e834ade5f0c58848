"""ResNet50 v1.5 with weights from a fixed seed, in every form that converters and engines take.

`python bench/models/resnet50.py OUT` writes `OUT/resnet50.keras`, `OUT/resnet50-v15-fp32.pb` (frozen GraphDef, tensors
`input` and `predict`), `OUT/saved_model/1/` and `OUT/onnx/1/model.onnx` (both: signature `serving_default`, `input`
float32 [N,224,224,3], `predict` float32 [N,1000]). Names of forms after OUT write only those.

v1.5 differs from keras.applications' v1 in one place: where a stage halves the picture, the 3x3 convolution has the
stride, not the first 1x1. The weights are random (no package has ImageNet's), drawn by numpy, so that a seed gives the
same model with every version of TensorFlow: good for speed and for comparing engines, not for knowing cats.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

SEED: Final = 1234
CLASSES: Final = 1000
IMAGE: Final = (224, 224, 3)
STAGES: Final = ((64, 3), (128, 4), (256, 6), (512, 3))  # width of the bottleneck, blocks
RESIDUAL_GAIN: Final = 0.3  # of a block's last normalisation: activations stay in one order of magnitude
FORMS: Final = ("keras", "frozen", "saved_model", "onnx")


def build(*, seed: int = SEED, stages: tuple[tuple[int, int], ...] = STAGES, image: tuple[int, ...] = IMAGE) -> Any:  # noqa: ANN401  # keras has no types
    """Return the Keras model; fewer `stages` and a smaller `image` make a quick relative of it."""
    import keras
    from keras import layers

    def convolution(x: Any, filters: int, kernel: int, stride: int, *, relu: bool = True) -> Any:  # noqa: ANN401
        x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(epsilon=1e-5)(x)
        return layers.ReLU()(x) if relu else x

    def block(x: Any, width: int, stride: int, *, project: bool) -> Any:  # noqa: ANN401
        y = convolution(x, width, 1, 1)
        y = convolution(y, width, 3, stride)  # v1.5: the stride is here
        y = convolution(y, 4 * width, 1, 1, relu=False)
        shortcut = convolution(x, 4 * width, 1, stride, relu=False) if project else x
        return layers.ReLU()(layers.Add()([y, shortcut]))

    keras.utils.clear_session(free_memory=False)  # the names of layers start again at the same number
    pixels = keras.Input(image, name="input")
    x = convolution(pixels, 64, 7, 2)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for number, (width, blocks) in enumerate(stages):
        for index in range(blocks):
            x = block(x, width, 2 if number and not index else 1, project=not index)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, layers.Dense(CLASSES, activation="softmax", name="predict")(x), name="resnet50_v15")
    draw_weights(model, np.random.default_rng(seed))
    return model


def draw_weights(model: Any, entropy: np.random.Generator) -> None:  # noqa: ANN401
    """Give every layer its weights: He-normal kernels, near-identity normalisations."""
    for layer in model.layers:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if not shapes:
            continue
        if len(shapes) == 4:  # gamma, beta, mean, variance
            gain = RESIDUAL_GAIN if layer.output.shape[-1] >= 256 else 1.0
            drawn = [gain * entropy.uniform(0.8, 1.2, shapes[0]), *(entropy.normal(0, 0.05, s) for s in shapes[1:3])]
            drawn.append(entropy.uniform(0.8, 1.2, shapes[3]))
        else:  # kernel, perhaps bias
            scale = np.sqrt(2 / np.prod(shapes[0][:-1]))
            drawn = [entropy.normal(0, scale, shapes[0]), *(entropy.normal(0, 0.05, s) for s in shapes[1:])]
        layer.set_weights([values.astype(np.float32) for values in drawn])


def frozen_graph(model: Any) -> Any:  # noqa: ANN401
    """Return the model as a frozen GraphDef whose tensors are `input` and `predict`, as the reference solution's."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    pixels = tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="input")
    called = tf.function(lambda input: tf.identity(model(input, training=False), name="predict"))  # noqa: A006  # its name
    frozen = convert_variables_to_constants_v2(called.get_concrete_function(pixels))
    return frozen.graph.as_graph_def()


def write_saved_model(model: Any, folder: Path) -> None:  # noqa: ANN401
    """Write a SavedModel with the signature of the reference solution."""
    import keras
    import tensorflow as tf

    pixels = tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="input")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", lambda input: {"predict": model(input, training=False)}, [pixels])  # noqa: A006  # its name
    archive.write_out(str(folder), verbose=False)


def write_onnx(graph_def: Any, path: Path) -> None:  # noqa: ANN401
    """Write the frozen graph as ONNX, opset 17, with the names `input` and `predict`."""
    import tf2onnx.convert  # prints much, of which nothing is wanted here

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    renamed = {"input:0": "input", "predict:0": "predict"}
    path.parent.mkdir(parents=True, exist_ok=True)
    tf2onnx.convert.from_graph_def(
        graph_def, input_names=["input:0"], output_names=["predict:0"], tensors_to_rename=renamed, opset=17,
        output_path=str(path),
    )  # fmt: skip


def main(words: list[str]) -> int:
    """Write the forms asked for."""
    if not words or not set(words[1:]) <= set(FORMS):
        sys.stderr.write(f"usage: python bench/models/resnet50.py OUT [{' '.join(FORMS)}]\n")
        return 1
    out, forms = Path(words[0]), words[1:] or FORMS
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # nothing is computed here, and it prints a notice
    os.environ["KERAS_BACKEND"] = "tensorflow"
    model = build()
    if "keras" in forms:
        model.save(out / "resnet50.keras")
    if "saved_model" in forms:
        write_saved_model(model, out / "saved_model" / "1")
    if "frozen" in forms or "onnx" in forms:
        graph_def = frozen_graph(model)
        if "frozen" in forms:
            (out / "resnet50-v15-fp32.pb").write_bytes(graph_def.SerializeToString(deterministic=True))
        if "onnx" in forms:
            write_onnx(graph_def, out / "onnx" / "1" / "model.onnx")
    sys.stdout.writelines(f"{path}\n" for path in sorted(out.rglob("*")) if path.is_file())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
