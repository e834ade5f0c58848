"""Commands on sealed files that are killed, really, before each thing that they do to the file system."""

import fcntl
import os
import re
import signal
import stat
from contextlib import contextmanager

import pytest

from strongroom import sealing
from strongroom.sealing import disk
from strongroom.secret import Secret

STEPS = ("open", "pwrite", "fsync", "fdatasync", "link", "replace", "unlink")
PART = re.compile(r"\.strongroom-[0-9a-f]{16}\.part")
OLD, NEW = b"what was there before" * 1000, b"what only its owner may read" * 20_000
KEY, OTHER = Secret(bytes(range(1, 17))), Secret(bytes(range(2, 18)))


@pytest.fixture(params=["nameless", "temporary name"])
def nameless(request, monkeypatch):
    """Run with O_TMPFILE, and as on a file system that has none; return whether with."""
    if request.param == "temporary name":
        monkeypatch.setattr(disk, "open_nameless", lambda _folder, _mode: None)
    return request.param == "nameless"


def in_a_process(do):
    """Fork, do it there, and return the status: 0, or 9 for who was killed."""
    if not (child := os.fork()):
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_before(step, do):
    """Do it in a process that is killed before change number `step` of the file system. Return whether it was."""

    def die():
        left = iter(range(step))

        def dying(function, name):
            def change(*args, **options):
                writes = name != "open" or args[1] & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY)
                if writes and next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **options)

            return change

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name), name))
        do()

    status = in_a_process(die)
    assert status in {0, -signal.SIGKILL}
    return status != 0


def sealed(path, data=NEW, key=KEY, stored="a/b"):
    """Write a sealed file."""
    path.write_bytes(sealing.seal_bytes(data, key, stored_path=stored, entropy=os.urandom))


def opened(path, key=KEY, stored="a/b"):
    """Return what a sealed file holds, None where it does not open so."""
    try:
        return sealing.unseal_bytes(path.read_bytes(), key, stored_path=stored)
    except (sealing.WrongKeyOrTampered, sealing.WrongPath):
        return None


def decrypt(folder):
    """Open `in` as `out`."""
    sealing.decrypt_file(folder / "in", folder / "out", KEY, stored_path="a/b")


def rekey(path):
    """Bring a file under the other key."""
    sealing.rewrite_file(path, path, KEY, new_key=OTHER)


def parts(folder):
    """Return the temporary names in a folder."""
    return [path for path in folder.iterdir() if PART.fullmatch(path.name)]


def each_step(tmp_path, prepare, do):
    """Kill a command before each of its steps, each time in a fresh folder; yield the folder, and whether killed."""
    for step in range(100):
        folder = tmp_path / str(step)
        folder.mkdir()
        prepare(folder)
        killed = killed_before(step, lambda folder=folder: do(folder))
        yield folder, killed
        if not killed:
            return
    pytest.fail("a command has fewer steps")


def test_kd_26_a_killed_decrypt_leaves_the_whole_output_or_nothing(tmp_path, nameless):
    seen = set()
    for folder, killed in each_step(tmp_path, lambda folder: sealed(folder / "in"), decrypt):
        whole = (folder / "out").exists()
        assert not whole or (folder / "out").read_bytes() == NEW
        left = parts(folder)
        assert not (nameless and left)
        assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in left)
        seen.add((killed, whole, bool(left)))
        assert in_a_process(lambda folder=folder: decrypt(folder)) == 0
        assert sorted(path.name for path in folder.iterdir()) == ["in", "out"]
    assert {(True, False, not nameless), (True, True, False), (False, True, False)} <= seen


def test_kd_26_a_killed_decrypt_over_a_file_leaves_the_old_one_or_the_new(tmp_path, nameless):
    def prepare(folder):
        sealed(folder / "in")
        (folder / "out").write_bytes(OLD)

    times = 0
    for folder, _ in each_step(tmp_path, prepare, decrypt):
        assert (folder / "out").read_bytes() in {OLD, NEW}
        left = parts(folder)
        times += bool(left)
        assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in left)
        sealed(folder / "other", b"x")
        assert in_a_process(lambda folder=folder: rekey(folder / "other")) == 0  # or what else writes there
        assert not parts(folder)
    assert times == 1 if nameless else times > 1  # in one moment, between two system calls


@pytest.mark.parametrize("what", ["rekey", "rename"])
def test_kd_26_a_killed_rekey_or_rename_leaves_the_file_as_it_was_or_as_it_is_to_be(tmp_path, nameless, what):
    new = {"rekey": {"new_key": OTHER}, "rename": {"stored_path": "c"}}[what]
    after = {"rekey": {"key": OTHER}, "rename": {"stored": "c"}}[what]
    seen = []
    for folder, _ in each_step(
        tmp_path,
        lambda folder: sealed(folder / "in"),
        lambda folder: sealing.rewrite_file(folder / "in", folder / "in", KEY, **new),
    ):
        before_holds, after_holds = opened(folder / "in") == NEW, opened(folder / "in", **after) == NEW
        assert before_holds != after_holds
        seen.append(after_holds)
        assert not any(NEW[:28] in path.read_bytes() for path in folder.iterdir())
    assert seen == sorted(seen)
    assert seen[-1]


def test_kd_26_a_killed_encrypt_leaves_a_whole_sealed_file_or_none(tmp_path, nameless):
    for folder, _ in each_step(
        tmp_path,
        lambda folder: (folder / "plain").write_bytes(NEW),
        lambda folder: sealing.encrypt_file(folder / "plain", folder / "out", KEY, stored_path="a/b"),
    ):
        assert not (folder / "out").exists() or opened(folder / "out") == NEW
        assert not any(NEW[:28] in path.read_bytes() for path in folder.iterdir() if path.name != "plain")


def test_kd_26_verifying_changes_nothing(tmp_path):
    steps = each_step(
        tmp_path,
        lambda folder: sealed(folder / "in"),
        lambda folder: sealing.verify_file(folder / "in", KEY, stored_path="a/b"),
    )
    assert [killed for _, killed in steps] == [False]


@contextmanager
def half_done(folder):
    """Open `in` as `first` in a process that waits in the middle until this ends."""
    at, go_on = os.pipe(), os.pipe()

    def wait(done, total):
        if done < total:
            os.write(at[1], b"x")
            os.read(go_on[0], 1)

    def do():
        sealing.decrypt_file(folder / "in", folder / "first", KEY, stored_path="a/b", workers=1, progress=wait)

    if not (child := os.fork()):
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    os.read(at[0], 1)
    yield
    os.write(go_on[1], b"xxx")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for descriptor in (*at, *go_on):
        os.close(descriptor)


def test_what_a_living_process_writes_is_not_taken_for_left(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "open_nameless", lambda _folder, _mode: None)
    whole = os.urandom(40 * 96 * 4096)
    sealed(tmp_path / "in", whole)
    with half_done(tmp_path):
        [part] = parts(tmp_path)
        assert in_a_process(lambda: decrypt(tmp_path)) == 0
        assert parts(tmp_path) == [part]
    assert (tmp_path / "first").read_bytes() == (tmp_path / "out").read_bytes() == whole
    assert not parts(tmp_path)


NAME = ".strongroom-0123456789abcdef.part"


@pytest.mark.parametrize("planted", ["link", "folder", "fifo", "locked", "other name"])
def test_what_is_not_ours_to_remove_stays(tmp_path, planted):
    sealed(tmp_path / "in")
    (tmp_path / "victim").write_bytes(b"victim")
    place = tmp_path / (f"{NAME}x" if planted == "other name" else NAME)
    if planted == "link":
        place.symlink_to(tmp_path / "victim")
    elif planted == "folder":
        place.mkdir()
    elif planted == "fifo":
        os.mkfifo(place)
    else:
        place.write_bytes(b"x")
    with (tmp_path / "victim" if planted in {"link", "folder", "fifo"} else place).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert in_a_process(lambda: decrypt(tmp_path)) == 0
    assert os.path.lexists(place)
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert (tmp_path / "out").read_bytes() == NEW


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_of_that_name_stays(tmp_path):
    sealed(tmp_path / "in")
    (tmp_path / NAME).write_bytes(b"x")
    os.chown(tmp_path / NAME, 65534, 65534)
    decrypt(tmp_path)
    assert (tmp_path / NAME).exists()
