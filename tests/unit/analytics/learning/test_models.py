"""Models leave a job sealed, come back whole or not at all, and no plain byte of them lies in the folder."""

import pytest

from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.learning import models
from strongroom.analytics.learning.models import ModelNotInMemory, NotAModel
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.analytics.session.storage import SHARED_MEMORY, is_in_memory
from strongroom.datasets.manifest import DataSetOld, Kind
from strongroom.errors import StrongroomError

FILES = {"model.onnx": b"canary weights " * 9000, "notes/columns.json": b"[]"}


def test_a_model_comes_back_as_it_was_saved(tmp_path, keys):
    written = models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    assert (written.kind, written.generation, written.key_id.name) == (Kind.FILE, 1, "models")
    assert models.load(tmp_path / "out", keys) == FILES


def test_no_plain_byte_of_it_is_in_the_folder(tmp_path, keys):
    models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    assert all(b"canary" not in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_training_again_is_one_generation_more_and_the_older_model_can_be_refused(tmp_path, keys):
    models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    again = models.save(tmp_path / "out", keys, {"model.onnx": b"new"}, name="lenet", key="models")
    assert again.generation == 2
    assert models.load(tmp_path / "out", keys, min_generation=2) == {"model.onnx": b"new"}
    with pytest.raises(DataSetOld):
        models.load(tmp_path / "out", keys, min_generation=3)


def test_an_10_a_job_without_the_key_saves_nothing(tmp_path, keys):
    with pytest.raises(KeyNotGranted):
        models.save(tmp_path / "out", keys, FILES, name="lenet", key="nobodys")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("offset", [0, 100, 5000, -1])
def test_a1_a_changed_byte_is_refused_and_nothing_is_handed_out(tmp_path, keys, offset):
    models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    path = tmp_path / "out" / "1" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(StrongroomError):
        models.load(tmp_path / "out", keys)


def test_a_file_that_no_generation_holds_is_no_model(tmp_path, keys):
    with DatasetWriter(tmp_path / "out", keys, name="people", key="others", kind=Kind.FILE) as writer:
        with writer.create("notes.txt") as stream:
            stream.write(b"no model")
            writer.adopt(stream.finish(), at=writer.staged("notes.txt"))
        writer.commit()
    with pytest.raises(NotAModel):
        models.load(tmp_path / "out", keys)


def test_a_data_set_that_is_no_model_is_told(tmp_path, keys):
    with DatasetWriter(tmp_path / "out", keys, name="people", key="others", kind=Kind.CSV) as writer:
        writer.commit()
    with pytest.raises(NotAModel) as refused:
        models.load(tmp_path / "out", keys)
    assert refused.value.code == "SR-LEARN-NO-MODEL"


def test_a_model_is_looked_at_in_a_private_folder_in_memory_that_does_not_stay(tmp_path, keys):
    models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    with models.opened_in_memory(tmp_path / "out", keys) as folder:
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert (found, folder.stat().st_mode & 0o777) == (FILES, 0o700)
        assert is_in_memory(folder)
    assert not folder.exists()


def test_a1_nothing_of_a_changed_model_stays_in_memory(tmp_path, keys):
    models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    path = tmp_path / "out" / "1" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[-5000] ^= 1
    path.write_bytes(data)
    before = set(SHARED_MEMORY.glob("strongroom-model-*"))
    with pytest.raises(StrongroomError, match=r"model\.onnx"), models.opened_in_memory(tmp_path / "out", keys):
        pytest.fail("it was opened")
    assert set(SHARED_MEMORY.glob("strongroom-model-*")) <= before


def test_an_older_copy_is_not_opened(tmp_path, keys):
    models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    with pytest.raises(DataSetOld), models.opened_in_memory(tmp_path / "out", keys, min_generation=2):
        pytest.fail("it was opened")


def test_without_a_folder_in_memory_no_model_is_opened(tmp_path, keys):
    models.save(tmp_path / "out", keys, FILES, name="lenet", key="models")
    with (
        pytest.raises(ModelNotInMemory) as refused,
        models.opened_in_memory(tmp_path / "out", keys, memory=tmp_path / "nowhere"),
    ):
        pytest.fail("it was opened")
    assert refused.value.code == "SR-LEARN-MEMORY"
