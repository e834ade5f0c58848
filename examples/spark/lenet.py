"""Train LeNet on pictures of digits, on all cores of the job, and test it after each epoch.

usage: lenet.py DATA [--epochs 2] [--format parquet|sealed] [--save FOLDER --key NAME]

DATA has two folders, train and test, with columns image (28 x 28 bytes) and digit. With --format sealed they are sealed
data sets, whose keys this job was given; the model is written to FOLDER as ONNX, sealed under the primary key NAME.
"""

import argparse
import os
import time

import keras
from keras import layers
from pyspark.sql import SparkSession

from strongroom.analytics.keys.opening import default_keys
from strongroom.analytics.learning import keras_onnx, models
from strongroom.analytics.learning.keras_training import evaluate, train

COLUMNS = {"features": "image", "label": "digit", "scale": 1 / 255}


def lenet() -> keras.Model:
    """Return LeNet-5's shape: two convolutions, each halved, and two full layers."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 5, activation="tanh"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(100, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )


parser = argparse.ArgumentParser(description="Train LeNet on pictures of digits.")
parser.add_argument("data")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--format", default="parquet")
parser.add_argument("--save")
parser.add_argument("--key")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

spark = SparkSession.builder.appName("LeNet").getOrCreate()
pictures = {part: spark.read.format(args.format).load(f"{args.data}/{part}") for part in ("train", "test")}

keras.utils.set_random_seed(args.seed)
model = lenet()
model.compile(keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
begin = time.perf_counter()
for epoch in train(model, pictures["train"], epochs=args.epochs, seed=args.seed, **COLUMNS):
    print(f"epoch {epoch.number}: {epoch.score.count} pictures on {epoch.tasks} tasks, loss {epoch.score.loss:.4f}")
    print(evaluate(model, pictures["test"], **COLUMNS), flush=True)
print(f"### train optimized, used {(time.perf_counter() - begin) * 1000:.0f} ms")

if args.save:
    written = models.save(
        args.save, default_keys(os.environ), {"model.onnx": keras_onnx.to_onnx(model)}, name="lenet", key=args.key
    )
    print(f"### model saved: {args.save}, generation {written.generation}, sealed under {written.key_id}")
spark.stop()
