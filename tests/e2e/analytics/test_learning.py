"""Learning in a trusted session with real Spark: the way of a model from sealed data to a server, and what is refused.

The examples that learn are run among the others.
"""

import shutil

import numpy as np
import pytest

pytest.importorskip("pyspark")
pytest.importorskip("keras")
if shutil.which("java") is None:
    pytest.skip("there is no Java", allow_module_level=True)

from strongroom.analytics.learning import keras_onnx, models, needed, pictures
from strongroom.analytics.learning.keras_training import CannotTrain, evaluate, train
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.analytics.submit.collective import OpenCollective
from strongroom.cli import main
from strongroom.datasets.manifest import Kind
from strongroom.serving import engines
from strongroom.serving.engines.base import EngineOptions
from strongroom.serving.engines.files import FolderFiles

pytestmark = pytest.mark.filterwarnings("ignore:.*pandas.*:FutureWarning")

COLUMNS = {"features": "image", "label": "digit", "scale": 1 / 255}


@pytest.fixture(scope="module")
def keys(primary_keys):
    """The owner's keys."""
    from strongroom.analytics.keys.files import FileKeyService

    return FileKeyService(primary_keys)


@pytest.fixture(scope="module")
def sealed_pictures(tmp_path_factory, keys):
    """A sealed data set of 1,200 pictures in two files, under primary key `people`."""
    folder = tmp_path_factory.mktemp("pictures")
    pictures.write_parquet(folder / "plain", pictures.digits("train").taken(1_200), files=2)
    with DatasetWriter(folder / "sealed", keys, name="pictures", key="people", kind=Kind.PARQUET) as writer:
        for path in sorted((folder / "plain").iterdir()):
            writer.add(path, path.name)
        writer.commit()
    return folder / "sealed"


@pytest.fixture
def small():
    """A small network that learns fast."""
    keras = needed.keras()
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.AveragePooling2D(2), layers.Flatten(),
                              layers.Dense(48, activation="tanh"), layers.Dense(10, activation="softmax")])  # fmt: skip
    model.compile(keras.optimizers.Adam(5e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.full  # LeNet among the examples learns, and the walk-through's model is served, wherever this is not run
def test_a_model_that_learned_from_sealed_data_is_published_and_says_the_same_where_it_is_served(
    trusted_session, sealed_pictures, keys, small, here
):
    # 1. The job reads sealed pictures, and averages over two tasks.
    rows = trusted_session.spark.read.format("sealed").load(str(sealed_pictures))
    (epoch,) = train(small, rows, epochs=1, batch_size=32, meetings=2, workers=2, **COLUMNS)
    assert (epoch.number, epoch.tasks, epoch.score.count) == (1, 2, 1_200)
    assert evaluate(small, rows, **COLUMNS).accuracy > 0.6
    # 2. The model leaves it sealed, under another owner's key.
    models.save(here / "out", keys, {"model.onnx": keras_onnx.to_onnx(small)}, name="digits", key="other")
    # 3. That owner opens and publishes it.
    for words in (
        "init owner",
        f"data open out --out plain --keys file:{keys.folder}",
        "model publish plain/1 --name digits --version 1 --workspace owner",
    ):
        assert main(words.split()) == 0, words
    assert (here / "models" / "digits" / "1" / "bundle.json").is_file()
    # 4. The engine of the model server says what Keras says.
    engine = engines.load("onnx", FolderFiles(here / "plain" / "1"), EngineOptions())
    image = pictures.digits("test").images[:3, ..., None].astype(np.float32) / 255
    answer = engine.run("serving_default", {"input": image}, ["output"])
    assert np.allclose(answer["output"], small(image).numpy(), atol=1e-5)


def test_a1_pictures_that_were_changed_are_not_learned_from(trusted_session, sealed_pictures, small, tmp_path):
    changed = shutil.copytree(sealed_pictures, tmp_path / "changed")
    path = sorted(changed.glob("part-*"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    rows = trusted_session.spark.read.format("sealed").load(str(changed))
    with pytest.raises(Exception, match=r"part-1\.parquet"):
        list(train(small, rows, epochs=1, workers=2, **COLUMNS))


@pytest.mark.full
def test_rows_there_have_to_be(trusted_session, small):
    rows = trusted_session.spark.createDataFrame([], "image binary, digit int")
    with pytest.raises(CannotTrain) as refused:
        evaluate(small, rows, **COLUMNS)
    assert refused.value.code == "SR-LEARN-MODEL"


def test_a_model_that_is_not_compiled_is_refused_before_anything_runs(trusted_session):
    keras = needed.keras()
    rows = trusted_session.spark.createDataFrame([], "image binary, digit int")
    with pytest.raises(CannotTrain):
        list(train(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), rows, epochs=1, **COLUMNS))


def test_an_09_xgboost_with_several_workers_is_refused_in_a_trusted_session(trusted_session):
    from pyspark.ml.linalg import Vectors
    from xgboost.spark import SparkXGBRegressor

    rows = trusted_session.spark.createDataFrame([(Vectors.dense(1.0), 2.0)], ["features", "label"])
    with pytest.raises(OpenCollective):
        SparkXGBRegressor(num_workers=2).fit(rows)
