"""An owner's own Python runs only if it was measured, and its failures are the record's."""

import hashlib

import numpy as np
import pytest

from strongroom.clusterserving.faults import ModelError
from strongroom.streaming.images.hook import MAX_HOOK_BYTES, Hook, HookChanged, HookUnusable


@pytest.fixture
def hooked(tmp_path):
    def load(source: str) -> Hook:
        path = tmp_path / "hook.py"
        path.write_text(source)
        return Hook.load(path, hashlib.sha256(source.encode()).hexdigest())

    return load


def test_a_hook_changes_inputs_and_outputs(hooked):
    hook = hooked("def prepare(inputs): return {'x': inputs['t'] * 2}\ndef answer(outputs): return 'done'\n")
    assert hook.prepares
    assert np.array_equal(hook.prepare({"t": np.ones(3)})["x"], [2, 2, 2])
    assert hook.answer({"y": np.ones(1)}) == "done"


def test_a_side_without_a_function_changes_nothing(hooked):
    hook = hooked("def answer(outputs): return {'z': outputs['y'] + 1}\n")
    inputs = {"t": np.ones(1)}
    assert not hook.prepares
    assert hook.prepare(inputs) is inputs
    assert hook.answer({"y": np.ones(1)})["z"] == 2


def test_a_hook_of_another_digest_does_not_run(tmp_path):
    path = tmp_path / "hook.py"
    path.write_text("raise SystemExit('it ran')")
    with pytest.raises(HookChanged) as caught:
        Hook.load(path, "00" * 32)
    assert caught.value.code == "SR-QUEUE-HOOK-DIGEST"
    assert hashlib.sha256(path.read_bytes()).hexdigest() in caught.value.sentence


def test_a_hook_without_a_digest_does_not_run(tmp_path):
    path = tmp_path / "hook.py"
    path.write_text("raise SystemExit('it ran')")
    with pytest.raises(HookUnusable) as caught:
        Hook.load(path, "")
    assert caught.value.code == "SR-QUEUE-HOOK"


@pytest.mark.parametrize("source", ["x = 1", "prepare = 3", "import nothing_of_that_name", "def", "raise ValueError"])
def test_a_hook_that_cannot_be_loaded_stops_the_start(hooked, source):
    with pytest.raises(HookUnusable):
        hooked(source)


def test_a_missing_or_endless_hook_is_refused(tmp_path):
    with pytest.raises(HookUnusable, match="cannot be read"):
        Hook.load(tmp_path / "none.py", "00" * 32)
    (tmp_path / "long.py").write_bytes(b"#" * (MAX_HOOK_BYTES + 1))
    with pytest.raises(HookUnusable, match="longer"):
        Hook.load(tmp_path / "long.py", "00" * 32)


def test_an_05_what_a_hook_raises_is_the_record_s_error_without_its_data(hooked, caplog):
    caplog.set_level("DEBUG")
    hook = hooked("def prepare(inputs): raise ValueError(inputs)\ndef answer(outputs): raise KeyError(outputs)\n")
    with pytest.raises(ModelError) as caught:
        hook.prepare({"secret-input": np.ones(1)})
    assert caught.value.sentence == "the hook's prepare failed: ValueError"
    assert "secret-input" not in caplog.text
    with pytest.raises(ModelError, match="answer failed: KeyError"):
        hook.answer({"y": np.ones(1)})


@pytest.mark.parametrize("value", ["None", "{}", "[1]", "{1: 2}"])
def test_a_hook_returns_values_by_name(hooked, value):
    hook = hooked(f"def prepare(inputs): return {value}\ndef answer(outputs): return {value}\n")
    with pytest.raises(ModelError):
        hook.prepare({})
    with pytest.raises(ModelError):
        hook.answer({})
