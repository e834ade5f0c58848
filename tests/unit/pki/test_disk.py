"""Files are written whole, for their owner alone, and never over something."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.errors import StrongroomError
from strongroom.pki import disk
from strongroom.secret import Secret


def refused(action, code):
    with pytest.raises(StrongroomError) as caught:
        action()
    assert caught.value.code == code
    return caught.value


def test_a_secret_is_its_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        disk.write_secret(tmp_path / "key", Secret(b"k" * 16))
        disk.write_public(tmp_path / "cert", b"c")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "cert").stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cert", "key"]


def test_what_is_there_stays(tmp_path):
    (tmp_path / "key").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("key", "link"):
        refused(lambda name=name: disk.write_secret(tmp_path / name, Secret(b"new")), "SR-ALREADY-THERE")
    assert (tmp_path / "key").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "link"]


def fill(target, action):
    with disk.new_folder(target) as new:
        action(new)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "folder"
    with disk.new_folder(target) as new:
        (new / "a").write_text("a")
        assert not target.exists()
    assert (target / "a").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        fill(tmp_path / "other", lambda new: (new / "a").write_text("a") and (new / "missing").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]


def test_a_folder_replaces_an_empty_one_and_nothing_else(tmp_path):
    (tmp_path / "empty").mkdir()
    with disk.new_folder(tmp_path / "empty") as new:
        (new / "a").write_text("a")
    for name in ("empty", "file", "link"):
        if name == "file":
            (tmp_path / name).write_text("x")
        if name == "link":
            (tmp_path / name).symlink_to(tmp_path / "nowhere")
        refused(lambda name=name: fill(tmp_path / name, lambda _: None), "SR-ALREADY-THERE")


def test_a_folder_filled_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "t"

    def somebody_was_faster(_):
        target.mkdir()
        (target / "mine").write_text("x")

    with pytest.raises(disk.AlreadyThere):
        fill(target, somebody_was_faster)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert [path.name for path in target.iterdir()] == ["mine"]


FILLING = """\
import os, signal, sys
from pathlib import Path
from strongroom.pki import disk

with disk.new_folder(Path(sys.argv[1])) as new:
    (new / "rows.csv").write_text("canary")
    print(new.name, flush=True)
    signal.pause()
"""


def on_its_way(target):
    """Start a process that fills a folder; return it with the folder's name meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", FILLING, target], stdout=subprocess.PIPE, text=True)
    return process, target.parent / process.stdout.readline().strip()


def killed(process):
    process.kill()
    process.wait()
    process.stdout.close()
    return process.returncode


def test_kd_26_what_a_killed_process_leaves_of_a_folder_goes_with_the_next_and_what_is_being_filled_stays(tmp_path):
    dead, left = on_its_way(tmp_path / "opened")
    alive, filled = on_its_way(tmp_path / "other")
    try:
        assert killed(dead) == -signal.SIGKILL
        assert (left / "rows.csv").read_text() == "canary"
        assert stat.S_IMODE(left.stat().st_mode) == 0o700
        with disk.new_folder(tmp_path / "next"):
            assert not left.exists()
            assert (filled / "rows.csv").read_text() == "canary"
    finally:
        killed(alive)
    with disk.new_folder(tmp_path / "last"):
        assert not filled.exists()


def test_kd_26_a_sweep_takes_no_file_no_link_and_no_folder_of_another_form_or_user(tmp_path):
    form = ".{}.0123456789abcdef.partial"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("a")
    (tmp_path / form.format("link")).symlink_to(tmp_path / "mine")
    (tmp_path / form.format("file")).write_text("of another kind, with locks of its own")
    for name in (
        form.format("left"),
        form.format("x").upper(),
        ".0123456789abcdef.partial",
        "a.0123456789abcdef.partial",
    ):
        (tmp_path / name).mkdir()
    if os.geteuid() == 0:
        (tmp_path / form.format("theirs")).mkdir()
        os.chown(tmp_path / form.format("theirs"), 65534, 65534)
    before = {path.name for path in tmp_path.iterdir()}
    fill(tmp_path / "next", lambda _: None)
    assert before - {path.name for path in tmp_path.iterdir()} == {form.format("left")}
    assert (tmp_path / "mine" / "a").read_text() == "a"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_kd_21_a_secret_that_others_can_read_is_refused_with_the_fix(mode, tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"k" * 16)
    path.chmod(mode)
    error = refused(lambda: disk.read_secret(path, limit=16), "SR-LOOSE-PERMISSIONS")
    assert error.fix == f"Run: chmod 0600 '{path}'"
    path.chmod(0o600)
    assert disk.read_secret(path, limit=16) == Secret(b"k" * 16)


def test_reading_is_bounded_and_wants_a_file(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert disk.read_bounded(path, limit=5) == b"12345"
    refused(lambda: disk.read_bounded(path, limit=4), "SR-FILE-TOO-LONG")
    os.mkfifo(tmp_path / "pipe")
    refused(lambda: disk.read_bounded(tmp_path / "pipe", limit=4), "SR-FILE-TOO-LONG")


def test_a_folder_is_no_file_and_its_descriptor_is_given_back(tmp_path):
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(disk.FileTooLong, match="is not a regular file"):
            disk.read_bounded(tmp_path, limit=10)
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_nobody_is_told_to_close_a_device_to_everybody_else():
    with pytest.raises(disk.LoosePermissions) as refused:
        disk.read_secret(Path("/dev/null"), limit=10)
    assert "chmod" not in (refused.value.fix or "")
