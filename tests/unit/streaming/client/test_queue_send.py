"""`strongroom queue send`: files in, results out."""

import json

import numpy as np
import pytest

from strongroom.cli import main


def words(bench):
    known = bench.options()
    known["password-file"] = known.pop("password_file")
    return [part for name, value in known.items() for part in (f"--{name}", str(value))]


def test_files_are_sent_and_results_printed_in_their_order(bench, tmp_path, capsys):
    bench.worker()
    np.save(tmp_path / "a.npy", np.ones(4, np.float32))
    np.savez(tmp_path / "b.npz", t=np.full(4, 2, np.float32))
    (tmp_path / "c.json").write_text('{"instances": [{"t": [3, 3, 3, 3]}]}')
    files = [str(tmp_path / name) for name in ("a.npy", "b.npz", "c.json")]
    assert main(["queue", "send", *words(bench), *files]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [each.partition(": ")[2] for each in said] == [f"y [4]: {at} {at} {at} {at}" for at in (2, 4, 6)]
    assert main(["queue", "send", *words(bench), "--json", files[0]]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outputs"] == {"y": {"shape": [4], "data": [2, 2, 2, 2]}}


def test_a_failed_record_sets_the_exit_status(bench, tmp_path, capsys):
    bench.worker()
    np.save(tmp_path / "a.npy", np.ones(5, np.float32))
    assert main(["queue", "send", *words(bench), str(tmp_path / "a.npy")]) == 2
    assert "SR-QUEUE-SHAPE" in capsys.readouterr().out
    assert main(["queue", "send", *words(bench), "--json", str(tmp_path / "a.npy")]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "SR-QUEUE-SHAPE"


def test_a_config_says_where_the_queue_is(bench, tmp_path, capsys):
    bench.worker()
    (tmp_path / "config.yaml").write_text(bench.redis.config_yaml("client"))
    np.save(tmp_path / "a.npy", np.ones(4, np.float32))
    assert main(["queue", "send", "-c", str(tmp_path / "config.yaml"), str(tmp_path / "a.npy")]) == 0
    assert "y [4]: 2 2 2 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (("a.npy", b"no array"), "SR-QUEUE-BAD-RECORD"),
        (("a.json", b"{"), "SR-QUEUE-BAD-RECORD"),
        (("a.jpg", b"no image"), "SR-QUEUE-BAD-IMAGE"),
        (("none.jpg", None), "none.jpg: no such file or directory"),
        (("none.npy", None), "none.npy: no such file or directory"),
        ((".", None), "is a directory"),
    ],
)
def test_files_that_hold_no_record_are_named(bench, tmp_path, capsys, file, code):
    name, content = file
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["queue", "send", *words(bench), str(tmp_path / name)]) == 2
    assert code in capsys.readouterr().err
