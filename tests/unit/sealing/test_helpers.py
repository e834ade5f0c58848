"""Large files: the work is shared by processes, the result is the same, and none of them outlives the run."""

import os
import select
import signal
import subprocess
import sys

import pytest

from strongroom import sealing

SIZE = 3072 + 200 * 96 * 4096 + 17  # 79 MB: seven chunks
PATIENCE_S = 30

# A run that stops after its first chunk, says so together with its helpers, and waits to be killed.
STOPS_MIDWAY = """
import os, sys
from pathlib import Path
from strongroom import sealing
from strongroom.secret import Secret

def stop(done, total):
    print(Path(f"/proc/self/task/{{os.getpid()}}/children").read_text(), flush=True)
    sys.stdin.read()

key = Secret(bytes(range(1, 17)))
sealing.{verb}_file(Path("in"), Path("out"), key, stored_path="x", workers={workers}, progress=stop)
"""


@pytest.fixture
def large(tmp_path):
    """A file of SIZE bytes that takes no space: zeros, but for its two ends."""
    with (tmp_path / "in").open("wb") as stream:
        stream.write(b"first")
        stream.truncate(SIZE - 4)
        stream.seek(0, os.SEEK_END)
        stream.write(b"last")
    return tmp_path / "in"


@pytest.fixture
def large_sealed(large, key):
    sealing.encrypt_file(large, large.with_name("sealed"), key, stored_path="x", workers=2)
    large.with_name("sealed").replace(large)
    return large


def test_helpers_and_a_single_process_understand_each_other(large, key, tmp_path, children_of_this_test):
    for seal_workers, open_workers in ((3, 1), (1, 2)):
        sealed = sealing.encrypt_file(large, tmp_path / "sealed", key, stored_path="x", workers=seal_workers)
        assert sealing.verify_file(tmp_path / "sealed", key, stored_path="x", workers=open_workers) == sealed
        sealing.decrypt_file(tmp_path / "sealed", tmp_path / "out", key, stored_path="x", workers=open_workers)
        subprocess.run(["cmp", large, tmp_path / "out"], check=True)
    assert children_of_this_test() == set()


def test_more_helpers_than_chunks_do_no_harm(tmp_path, key, children_of_this_test):
    (tmp_path / "in").write_bytes(b"small" * 2000)
    sealing.encrypt_file(tmp_path / "in", tmp_path / "sealed", key, stored_path="x", workers=4)
    assert sealing.unseal_bytes((tmp_path / "sealed").read_bytes(), key, stored_path="x") == b"small" * 2000
    assert children_of_this_test() == set()


def test_a_helper_that_is_killed_ends_the_run_and_nothing_is_left(large, key, tmp_path, children_of_this_test):
    def kill_one(_done, _total):
        for child in list(children_of_this_test())[:1]:
            os.kill(child, signal.SIGKILL)

    with pytest.raises(sealing.HelperLost) as caught:
        sealing.encrypt_file(large, tmp_path / "out", key, stored_path="x", workers=2, progress=kill_one)
    assert caught.value.code == "SR-SEALING-HELPER"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert children_of_this_test() == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_takes_its_helpers_along(large, key, tmp_path, children_of_this_test, error):
    seen = []

    def interrupt(_done, _total):
        seen.extend(children_of_this_test())
        raise error

    with pytest.raises(error):
        sealing.encrypt_file(large, tmp_path / "out", key, stored_path="x", workers=2, progress=interrupt)
    assert len(seen) == 2
    assert children_of_this_test() == set()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_a_helper_refuses_is_refused_with_the_same_words(large_sealed, key, tmp_path, children_of_this_test):
    with large_sealed.open("r+b") as stream:
        stream.seek(-4096 * 500, os.SEEK_END)
        old = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([old[0] ^ 1]))
    said = set()
    for workers in (1, 2):
        with pytest.raises(sealing.DataTampered) as caught:
            sealing.decrypt_file(large_sealed, tmp_path / "out", key, stored_path="x", workers=workers)
        said.add(caught.value.sentence)
    assert len(said) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert children_of_this_test() == set()


def test_a_helper_never_sees_the_wrap_key(large, key, tmp_path, children_of_this_test):
    """Neither its arguments nor its environment hold it; what it gets through the pipe has no field for it."""
    seen = []

    def look(_done, _total):
        for child in children_of_this_test():
            for name in ("cmdline", "environ"):
                with open(f"/proc/{child}/{name}", "rb") as stream:  # noqa: PTH123 - a pseudo-file
                    seen.append(stream.read())

    sealing.encrypt_file(large, tmp_path / "out", key, stored_path="x", workers=2, progress=look)
    assert seen
    with key.reveal() as raw:
        assert not any(raw in each or raw.hex().encode() in each for each in seen)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("verb", ["encrypt", "decrypt"])
def test_a_run_that_is_killed_leaves_no_file_and_no_helper(request, tmp_path, verb, workers):
    request.getfixturevalue("large" if verb == "encrypt" else "large_sealed")
    program = STOPS_MIDWAY.format(verb=verb, workers=workers)
    run = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    helpers = [os.pidfd_open(int(child)) for child in run.stdout.readline().split()]
    assert len(helpers) == (0 if workers == 1 else workers)
    run.kill()
    run.communicate(timeout=PATIENCE_S)
    for helper in helpers:  # readable when the process has ended
        assert select.select([helper], [], [], PATIENCE_S)[0] == [helper]
        os.close(helper)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
