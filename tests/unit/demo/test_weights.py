"""The weights file is checked before it is walked, and its unpickler knows four names."""

import contextlib
import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.demo import weights
from strongroom.demo.weights import BadWeights, parse_state_dict, read_weights, weights_path

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Named:
    """Pickles as a bare global, as torch's classes do in its files."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Stored:
    def __init__(self, *pid):
        self.pid = pid


class Rebuilt:
    def __init__(self, *arguments):
        self.arguments = arguments


class TorchPickler(pickle._Pickler):  # the Python one: its `save` can write names of modules that are not installed
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Stored) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Rebuilt):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


FLOAT = Named("torch", "FloatStorage")


def torch_file(tensors, storages, *, magic=MAGIC, keys=None):
    out = io.BytesIO()
    keys = list(storages) if keys is None else keys
    for part in (magic, PROTOCOL, {"little_endian": True}, OrderedDict(tensors), keys):
        TorchPickler(out, 2).dump(part)
    for numbers in storages.values():
        out.write(struct.pack("<q", len(numbers)) + np.asarray(numbers, "<f4").tobytes())
    return out.getvalue()


def tensor(*, key="a", count=6, offset=0, shape=(2, 3), stride=(3, 1), dtype=FLOAT):
    return Rebuilt(Stored("storage", dtype, key, "cpu", count, None), offset, shape, stride, False, OrderedDict())


SIX = {"a": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}


def test_a_small_file_reads_as_written():
    state = parse_state_dict(torch_file({"w": tensor(), "t": tensor(shape=(3, 2), stride=(1, 3))}, SIX))
    assert state["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["t"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_packaged_weights_have_the_pinned_digest_and_all_tensors():
    state = read_weights(weights_path())
    assert len(state) == 296
    assert sum(values.size for values in state.values()) == 4_694_073


def test_a_changed_weights_file_is_refused_before_it_is_unpickled(tmp_path, monkeypatch):
    changed = bytearray(weights_path().read_bytes())
    changed[-1] ^= 1
    path = tmp_path / "weights.pth"
    path.write_bytes(changed)
    with pytest.raises(BadWeights, match="wanted 5793") as caught:
        read_weights(path)
    assert caught.value.code == "SR-WEIGHTS"


def test_a_pickle_that_would_run_a_command_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    with pytest.raises(BadWeights, match="which no weights need"):
        parse_state_dict(pickle.dumps(Bomb(), 2))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        torch_file({}, {}, magic=1),
        torch_file({"w": tensor(count=7)}, SIX),
        torch_file({"w": tensor(shape=(2, 4))}, SIX),
        torch_file({"w": tensor(offset=1)}, SIX),
        torch_file({"w": tensor(offset=-1)}, SIX),
        torch_file({"w": tensor(stride=(-3, 1))}, SIX),
        torch_file({"w": tensor(shape=(2,))}, SIX),
        torch_file({"w": tensor(dtype=Named("torch", "HalfStorage"))}, SIX),
        torch_file({"w": tensor(key="b")}, SIX),
        torch_file({"w": tensor()}, SIX)[:-1],
        torch_file({"w": tensor()}, SIX) + b"\0",
    ],
    ids=["empty", "magic", "count", "shape", "offset", "negative offset", "negative stride", "rank", "type",
         "missing storage", "truncated", "trailing"],
)  # fmt: skip
def test_a_damaged_file_is_one_catalogued_error(data):
    with pytest.raises(BadWeights):
        parse_state_dict(data)


@given(cut=st.integers(0, 400), flip=st.integers(0, 400), value=st.integers(0, 255))
def test_no_small_damage_escapes_the_error_tree(cut, flip, value):
    data = bytearray(torch_file({"w": tensor()}, SIX))
    data[flip % len(data)] = value
    with contextlib.suppress(BadWeights):
        parse_state_dict(bytes(data[: len(data) - cut % 40]))


def test_the_digest_is_the_one_of_the_specification():
    assert weights.WEIGHTS_SHA256 == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
