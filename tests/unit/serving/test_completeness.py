"""Versions that are still being copied: seen twice, with everything that they name, or by the owner's manifest."""

import os
import shutil

import pytest

from strongroom.serving.models import completeness
from strongroom.serving.models.completeness import (
    LOOK_AGAIN_S,
    QUIET_S,
    STILL_CHANGING,
    PlainGate,
    SealedGate,
    last_change_s,
    missing_shards,
)
from strongroom.serving.models.versions import Candidate
from strongroom.tfserving.messages import SavedModel


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(clock):
    """A gate for which every folder changed just now, by the wall clock."""
    return PlainGate(clock=clock, wall=lambda: 0.0)


def candidate(folder):
    return Candidate(1, folder)


def saved_model(*operations, assets=()):
    model = SavedModel()
    graph = model.meta_graphs.add()
    for number, operation in enumerate(operations):
        graph.graph_def.node.add(name=f"n{number}", op=operation)
    for name in assets:
        graph.asset_file_def.add(filename=name)
    return model.SerializeToString()


def test_a_folder_that_rests_is_whole_at_the_first_look(base):
    folder = base.put(1)
    gate = PlainGate(wall=lambda: folder.stat().st_ctime + 1 + QUIET_S)
    assert gate.unfinished(candidate(folder)) is None


def test_a_folder_that_changed_just_now_is_looked_at_twice(base, gate, clock):
    folder = base.put(1)
    assert gate.unfinished(candidate(folder)) == STILL_CHANGING
    clock.now += LOOK_AGAIN_S / 2
    assert gate.unfinished(candidate(folder)) == STILL_CHANGING
    clock.now += LOOK_AGAIN_S
    assert gate.unfinished(candidate(folder)) is None


def test_kd_10_whatever_grows_between_two_looks_is_not_served(base, gate, clock):
    folder = base.put(1)
    for size in range(5):
        (folder / "model.onnx").write_bytes(bytes(size))
        assert gate.unfinished(candidate(folder)) == STILL_CHANGING
        clock.now += 60
    assert gate.unfinished(candidate(folder)) is None
    (folder / "more").write_bytes(b"")
    assert gate.unfinished(candidate(folder)) == STILL_CHANGING


def test_a_clock_that_is_wrong_makes_nobody_trust_a_young_folder(base, clock):
    folder = base.put(1)
    os.utime(folder / "model.onnx", (0, 0))  # what cp -p does: the change time tells
    assert PlainGate(clock=clock, wall=lambda: folder.stat().st_ctime).unfinished(candidate(folder)) == STILL_CHANGING


MISSING = [
    ({}, "none of model.onnx, saved_model.pb, model.xml is there yet"),
    ({"notes.txt": b""}, "none of model.onnx, saved_model.pb, model.xml is there yet"),
    ({"model.onnx": b"x"}, None),
    ({"model.xml": b"x"}, "model.bin is not there yet"),
    ({"model.xml": b"x", "model.bin": b""}, None),
    ({"saved_model.pb": saved_model("Const")}, None),
    ({"saved_model.pb": b"\xff"}, None),  # the loader says what is wrong with it
    ({"saved_model.pb": saved_model("VarHandleOp")},
     "the graph has variables, and variables/variables.index is not there yet"),
    ({"saved_model.pb": saved_model("VariableV2"), "variables/variables.index": b""},
     "variables/variables.data is not there yet"),
    ({"saved_model.pb": saved_model("Const"), "variables/variables.data-00000-of-00001": b""},
     "variables/variables.index is not there yet"),
    ({"saved_model.pb": saved_model("VarHandleOp"), "variables/variables.index": b"",
      "variables/variables.data-00000-of-00002": b""}, "variables/variables.data-00001-of-00002 is not there yet"),
    ({"saved_model.pb": saved_model("VarHandleOp"), "variables/variables.index": b"",
      "variables/variables.data-00000-of-00001": b""}, None),
    ({"saved_model.pb": saved_model("Const", assets=["words.txt"])}, "assets/words.txt is not there yet"),
    ({"saved_model.pb": saved_model("Const", assets=["words.txt"]), "assets/words.txt": b""}, None),
]  # fmt: skip


@pytest.mark.parametrize(("files", "missing"), MISSING, ids=range(len(MISSING)))
def test_kd_10_what_a_version_names_has_to_be_there(tmp_path, gate, clock, files, missing):
    folder = tmp_path / "1"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    gate.unfinished(candidate(folder))
    clock.now += 60
    assert gate.unfinished(candidate(folder)) == missing


def test_a_copy_in_any_order_is_whole_at_its_end_alone(tmp_path, gate, clock):
    source = tmp_path / "source"
    (source / "variables").mkdir(parents=True)
    (source / "saved_model.pb").write_bytes(saved_model("VarHandleOp"))
    names = ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00002",
             "variables/variables.data-00001-of-00002"]  # fmt: skip
    for name in names[1:]:
        (source / name).write_bytes(b"x")
    for number, order in enumerate((names, names[::-1], names[1:] + names[:1])):
        folder = tmp_path / str(number)
        for done, name in enumerate(order, start=1):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, folder / name)
            gate.unfinished(candidate(folder))
            clock.now += 60  # the copy stalls for a minute after each file
            assert (gate.unfinished(candidate(folder)) is None) == (done == len(order)), (order, name)


def test_a_great_number_of_shards_costs_nothing():
    assert "00001-of-99999" in missing_shards(["variables/variables.data-00000-of-99999"])


def test_a_folder_that_goes_away_is_not_whole(tmp_path, gate):
    assert gate.unfinished(candidate(tmp_path / "gone")) is not None


def test_a_complete_bundle_is_believed_at_once(sealed, gate):
    folder = sealed.publish()
    assert SealedGate(sealed.owner, gate).unfinished(candidate(folder)) is None


def test_kd_10_a_bundle_in_flight_waits_and_one_that_stays_short_is_left_to_the_loader(sealed, gate, clock):
    folder = sealed.publish()
    (folder / "model.onnx").unlink()
    sealed_gate = SealedGate(sealed.owner, gate)
    assert sealed_gate.unfinished(candidate(folder)) == STILL_CHANGING
    clock.now += 60
    assert sealed_gate.unfinished(candidate(folder)) is None  # and the loader refuses it: SR-BUNDLE-INCOMPLETE


def test_a_folder_of_more_entries_than_a_model_has_is_not_walked_to_its_end(tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / str(number)).mkdir()
    monkeypatch.setattr(completeness, "MAX_ENTRIES", 10)
    assert last_change_s(tmp_path) == float("inf")
