"""What a rollout remembers: read back as it was written, refused where somebody else wrote it."""

import json
import stat

import pytest

from strongroom.deploy.cluster.rollout_plan import Position, Step
from strongroom.deploy.cluster.rollout_settling import with_version
from strongroom.deploy.cluster.rollout_state import (
    FILE,
    RolloutState,
    RolloutStateMalformed,
    RolloutUnderWay,
    load,
    save,
)

STATE = RolloutState(
    label="v2", position=Position(step=Step.WATCH, why=""), old={"spec": {"replicas": 2}}, new={"spec": {}},
    images={"model-server": "r/x:v2"}, old_measurements=("ab" * 32,), new_measurement="cd" * 32, rules=("a", "b"),
    ledger_seq=17,
)  # fmt: skip


def test_it_is_read_back_as_it_was_written(tmp_path):
    save(tmp_path, STATE)
    assert load(tmp_path) == STATE
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_one_that_has_ended_is_forgotten(tmp_path):
    save(tmp_path, STATE)
    save(tmp_path, STATE.at(Position(step=Step.FINISHED)))
    assert load(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"position": {"step": "dance", "why": ""}}, {"rules": [1]}, {"more": 1}, {"ledger_seq": True},
     {"images": {"model-server": 1}}, {"label": None},
     {"new_measurement": "xy"}, {"old_measurements": ["abc"]}, {"build": {"mrtd": "zz"}}],
)  # fmt: skip
def test_anything_else_is_refused(tmp_path, change):
    (tmp_path / FILE).write_text(json.dumps({**json.loads(STATE.to_json()), **change}))
    with pytest.raises(RolloutStateMalformed) as caught:
        load(tmp_path)
    assert caught.value.code == "SR-ROLLOUT-STATE"


def test_two_rollouts_at_a_time_are_refused_by_name():
    assert RolloutUnderWay("x").code == "SR-ROLLOUT-UNDER-WAY"


HEAD = "version = 1\n[deploy]"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version = 1\n", 'version = 1\n\n[deploy]\nversion = "v2"\n'),
        (f'{HEAD}\nversion = "v1" # x\nreplicas = 2\n', f'{HEAD}\nversion = "v2"\nreplicas = 2\n'),
        (f"{HEAD}\nreplicas = 2\n[broker]\n", f'{HEAD}\nversion = "v2"\nreplicas = 2\n[broker]\n'),
        (f'{HEAD}  # us\n[[deploy.model]]\nname = "m"\n',
         f'{HEAD}  # us\nversion = "v2"\n[[deploy.model]]\nname = "m"\n'),
    ],
)  # fmt: skip
def test_strongroom_toml_says_what_runs_and_all_else_as_before(before, after):
    assert with_version(before, "v2") == after


def test_a_file_that_a_program_cannot_change_safely_is_left_alone():
    assert with_version('version = 1\ndeploy = { version = "v1" }\n', "v2") is None
