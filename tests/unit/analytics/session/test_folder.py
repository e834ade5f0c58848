"""A session's folder: its owner's alone, in memory, and gone at the end, also after a session that was killed."""

import signal
import ssl
import subprocess
import sys

import pytest

from strongroom.analytics.session import folder as folders
from strongroom.analytics.session.folder import SessionFolder, sweep
from strongroom.sparkjobs import defaults_file

HOLDER = """
import sys
from strongroom.analytics.session.folder import SessionFolder
print(SessionFolder.create(insecure=True).path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(folders, "is_in_memory", lambda _: True)
    made = SessionFolder.create()
    yield made
    made.remove()


def test_everything_in_it_is_the_owners_alone(folder):
    password = folder.write_stores(("localhost", "127.0.0.1"))
    folder.write_settings({"spark.a": "1"}, {"spark.a": "1"})
    assert len(password) >= 20
    assert folder.path.stat().st_mode & 0o777 == 0o700
    for path in folder.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert defaults_file.parse((folder.conf / "spark-defaults.conf").read_bytes()) == {"spark.a": "1"}


def test_the_authority_is_fresh_and_its_key_is_nowhere(folder):
    folder.write_stores(("localhost",))
    context = ssl.create_default_context(cafile=folder.path / "ca.crt")
    context.load_cert_chain(folder.path / "driver.pem")
    assert (folder.path / "driver.pem").read_bytes().count(b"PRIVATE KEY-----") == 2  # one key: BEGIN and END
    holding = [path.name for path in folder.path.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]
    assert holding == ["driver.pem"]


def test_it_is_removed_once_and_for_all(folder):
    folder.remove()
    assert not folder.path.exists()
    folder.remove()


def test_what_a_killed_session_left_goes_and_what_a_running_one_has_stays(folder):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as it:
        left = SessionFolder(folder.path.__class__(it.stdout.readline().strip()))
        sweep(left.path.parent)
        assert left.path.is_dir()  # it runs
        it.send_signal(signal.SIGKILL)
    sweep(left.path.parent)
    assert not left.path.exists()
    sweep(folder.path.parent)
    assert folder.path.is_dir()


def test_without_memory_there_is_no_session(monkeypatch, on_disk):
    monkeypatch.setattr(folders, "SHARED_MEMORY", on_disk / "absent")
    monkeypatch.setattr(folders.tempfile, "tempdir", str(on_disk))
    with pytest.raises(folders.DiskInTheClear, match="neither"):
        SessionFolder.create()
