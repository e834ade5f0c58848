"""Versions from plain folders and from sealed bundles: complete, of this name, by this owner, under this key."""

import importlib.util
import os
import shutil

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.bundles import BundleIncomplete, BundleSignatureInvalid, NotABundle, WrongBundle, WrongBundleKey
from strongroom.errors import StrongroomError
from strongroom.secret import Secret
from strongroom.serving.engines import EngineOptions, ModelNotLoadable
from strongroom.serving.models.loading import PlainLoader, SealedLoader
from strongroom.serving.models.versions import Candidate
from strongroom.tfserving.saved_model import BadSavedModel

OPTIONS = EngineOptions(intra_op_threads=1)


def answer(engine):
    return engine.run("serving_default", {"x": np.array([2.0], np.float32)}, ["y"])["y"].tolist()


@pytest.fixture
def load_sealed(sealed):
    def load(folder, version=1, **changes):
        values = {"model": "m", "key": sealed.key, "owner": sealed.owner, "options": OPTIONS, **changes}
        return SealedLoader(**values).load(Candidate(version, folder))

    return load


def test_a_plain_version_is_loaded(base):
    assert answer(PlainLoader(OPTIONS).load(Candidate(1, base.put(1)))) == [3.0]


def test_a_folder_without_a_model_is_refused(base):
    folder = base.put(1, name="notes.txt")
    with pytest.raises(ModelNotLoadable):
        PlainLoader(OPTIONS).load(Candidate(1, folder))


def test_bytes_that_are_no_saved_model_are_refused_before_tensorflow_is_asked(base):
    folder = base.put(1, b"\xff", name="saved_model.pb")
    with pytest.raises(BadSavedModel):
        PlainLoader(OPTIONS).load(Candidate(1, folder))


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.joblib", "model.npy", "model.h5"])
def test_kd_19_files_that_could_run_code_are_not_looked_at(base, name):
    folder = base.put(1, b"cos\nsystem\n(S'touch alarm'\ntR.", name=name)
    with pytest.raises(ModelNotLoadable):
        PlainLoader(OPTIONS).load(Candidate(1, folder))


def test_kd_20_a_link_out_of_the_folder_gives_no_file_to_anybody(base, tmp_path):
    """It is opened as a model and nothing else: what is no ONNX model is refused without a word of its content."""
    (tmp_path / "secret.txt").write_text("the operator's own file")
    (base.folder / "1").mkdir()
    (base.folder / "1" / "model.onnx").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ModelNotLoadable) as caught:
        PlainLoader(OPTIONS).load(Candidate(1, base.folder / "1"))
    assert "own file" not in caught.value.sentence


def test_a_pipe_in_place_of_a_model_does_not_hang(base):
    (base.folder / "1").mkdir()
    os.mkfifo(base.folder / "1" / "model.onnx")
    with pytest.raises(StrongroomError):
        PlainLoader(OPTIONS).load(Candidate(1, base.folder / "1"))


def test_a_sealed_version_is_loaded_from_memory(sealed, load_sealed, tmp_path):
    folder = sealed.publish()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert answer(load_sealed(folder)) == [3.0]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_sealed_version_of_another_name_is_never_loaded(sealed, load_sealed):
    folder = sealed.publish(name="other")
    with pytest.raises(WrongBundle):
        load_sealed(folder)
    with pytest.raises(WrongBundle):
        load_sealed(folder, model="other", version=2)


def test_a_sealed_version_under_another_key_or_owner_is_never_loaded(sealed, load_sealed):
    folder = sealed.publish()
    with pytest.raises(WrongBundleKey):
        load_sealed(folder, key=Secret(os.urandom(16)))
    with pytest.raises(BundleSignatureInvalid):
        load_sealed(folder, owner=Ed25519PrivateKey.generate().public_key())


def test_a_plain_version_is_never_loaded_where_sealed_ones_are_wanted(base, load_sealed):
    with pytest.raises(NotABundle):
        load_sealed(base.put(1))


def test_kd_10_an_upload_is_refused_at_every_step_until_it_is_whole(sealed, load_sealed, tmp_path):
    folder = sealed.publish()
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 3
    for order in (files, files[::-1]):
        target = tmp_path / "upload" / "1"
        target.mkdir(parents=True)
        for name in order:
            whole = (folder / name).read_bytes()
            for part in (0, len(whole) // 2, len(whole) - 1):
                (target / name).write_bytes(whole[:part])
                with pytest.raises(StrongroomError):
                    load_sealed(target)
            (target / name).write_bytes(whole)
        assert answer(load_sealed(target)) == [3.0]
        shutil.rmtree(target)


def test_a_file_too_many_is_refused(sealed, load_sealed):
    folder = sealed.publish()
    (folder / "more.onnx").write_bytes(b"")
    with pytest.raises(BundleIncomplete):
        load_sealed(folder)


def test_one_flipped_byte_is_refused_or_lies_where_nothing_is_read(sealed, load_sealed):
    folder = sealed.publish()
    path = folder / "model.onnx"
    whole = path.read_bytes()
    offsets, refused = range(0, len(whole), 199), 0
    for at in offsets:
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        try:
            engine = load_sealed(folder)
        except StrongroomError:
            refused += 1
        else:
            assert answer(engine) == [3.0]  # the rest of node 0, which the format leaves empty
    assert refused >= len(offsets) // 2


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed")
def test_a_sealed_saved_model_is_loaded_from_memory(sealed, load_sealed, shared_vectors, tmp_path):
    served = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/saved_model_half_plus_two_cpu/00000123"
    folder = sealed.publish(source=served)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    engine = load_sealed(folder)
    assert engine.description.startswith("TensorFlow")
    assert answer(engine) == [3.0]
    engine.close()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    (folder / "variables" / "variables.index").write_bytes(b"changed")
    with pytest.raises(BundleIncomplete):
        load_sealed(folder)


def test_an_engine_that_the_operator_names_goes_before_the_bundles(sealed, load_sealed):
    with pytest.raises(ModelNotLoadable, match=r"the engine tensorflow needs saved_model\.pb"):
        load_sealed(sealed.publish(), options=EngineOptions(engine="tensorflow"))
