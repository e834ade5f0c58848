"""Test keys in files, references to keys, and what the owner's commands make of both."""

import logging
import pickle
import subprocess
import sys

import pytest

from strongroom.analytics.keys.agent import AgentKeys
from strongroom.analytics.keys.files import TOLD_VARIABLE, FileKeyService, NoKeyFiles, read_ring, write_ring
from strongroom.analytics.keys.opening import AGENT_VARIABLE, BadKeysReference, default_keys, open_keys
from strongroom.analytics.keys.owner import Change, change_file
from strongroom.analytics.keys.service import KeyNotGranted, there_are
from strongroom.datasets.key_ring import BadKeyRing, KeyRing
from strongroom.datasets.names import BadKeyName
from strongroom.pki.disk import LoosePermissions


@pytest.fixture
def folder(tmp_path):
    write_ring(tmp_path / "keys", KeyRing.fresh("people"))
    return tmp_path / "keys"


def test_a3_keys_in_files_are_256_bits_and_say_that_they_are_for_tests(folder, caplog):
    caplog.set_level(logging.WARNING)
    keys = FileKeyService(folder)
    assert "TEST ONLY" in caplog.text
    ring = read_ring(folder, "people")
    with ring.key(ring.current_id).reveal() as raw:
        assert len(raw) == 32
        assert raw.hex() not in caplog.text
    assert keys.names() == ("people",)


def test_each_folder_of_keys_is_spoken_of_once_in_a_tree_of_processes(folder, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv(TOLD_VARIABLE, "")
    caplog.set_level(logging.WARNING)
    write_ring(tmp_path / "others", KeyRing.fresh("pay"))
    for each in (folder, tmp_path / "others", folder):
        FileKeyService(each)
    assert [record.args for record in caplog.records] == [(str(folder),), (str(tmp_path / "others"),)]
    below = "import sys; from strongroom.analytics.keys.files import FileKeyService; FileKeyService(sys.argv[1])"
    said = subprocess.run([sys.executable, "-c", below, folder], capture_output=True, text=True, check=True)
    assert said.stderr == ""


def test_files_and_folder_are_the_owners_alone(folder):
    assert (folder / "people.key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_that_others_can_read_is_refused(folder):
    (folder / "people.key").chmod(0o640)
    with pytest.raises(LoosePermissions):
        FileKeyService(folder)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NoKeyFiles, match="no folder of keys") as refused:
        FileKeyService(tmp_path / "none")
    assert refused.value.code == "SR-DATA-KEY-FOLDER"


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 40, b"x" * 10_000], ids=["empty", "object", "bytes", "long"])
def test_what_is_no_ring_is_refused(folder, data):
    (folder / "people.key").write_bytes(data)
    with pytest.raises((BadKeyRing, Exception)) as refused:
        FileKeyService(folder)
    assert refused.value.code in {"SR-DATA-KEY-RING", "SR-FILE-TOO-LONG"}


def test_a_file_with_a_strange_name_is_refused(folder):
    (folder / "a b.key").write_bytes(b"")
    with pytest.raises(BadKeyName):
        FileKeyService(folder)


def test_a_key_that_is_not_there_is_said_with_those_that_are(folder):
    with pytest.raises(KeyNotGranted, match=r"there is no primary key 'peple' in .*/keys$") as refused:
        FileKeyService(folder).current("peple")
    assert (
        refused.value.fix
        == f"Make it with strongroom data key peple --file {folder}, or name another (there are: people)."
    )
    with pytest.raises(KeyNotGranted) as refused:
        read_ring(folder, "peple")
    assert refused.value.fix == f"Make it with strongroom data key peple --file {folder}, or name another."


def test_a_remedy_names_a_few_keys_of_many():
    assert there_are(()) == ""
    assert there_are(tuple("abcdefgh")) == " (there are: a, b, c, d, e, f, g, h)"
    assert there_are(tuple("abcdefghi")) == " (there are: a, b, c, d, e, f, g, h, …)"


def test_it_travels_as_a_folder(folder):
    travelling = pickle.dumps(FileKeyService(folder))
    assert pickle.loads(travelling).names() == ("people",)  # noqa: S301  # our own bytes
    ring = read_ring(folder, "people")
    with ring.key(ring.current_id).reveal() as raw:
        assert raw not in travelling


def test_references_open_what_they_name(folder, tmp_path):
    assert isinstance(open_keys(f"file:{folder}"), FileKeyService)
    agent = open_keys(f"agent:{tmp_path / 's'}")
    assert isinstance(agent, AgentKeys)
    assert agent.path == str(tmp_path / "s")


@pytest.mark.parametrize("reference", ["", "file:", "agent", "http://x", "Zm9v"])
def test_other_references_are_refused_and_not_shown(reference):
    with pytest.raises(BadKeysReference) as refused:
        open_keys(reference)
    assert refused.value.code == "SR-DATA-KEYS"
    assert "Zm9v" not in refused.value.sentence


def test_a_process_without_an_agent_has_no_keys(tmp_path):
    with pytest.raises(KeyNotGranted) as refused:
        default_keys({})
    for word in ("--key NAME", "--broker URL --broker-ca FILE", "--keys file:FOLDER", "spark agent"):
        assert word in refused.value.fix
    assert default_keys({AGENT_VARIABLE: str(tmp_path / "s")}).path == str(tmp_path / "s")


def test_a10_a_file_is_rotated_and_the_overlap_ends(folder):
    before = change_file(folder, "people", Change.KEEP)
    assert change_file(folder, "people", Change.ROTATE).current == 2
    rotated = read_ring(folder, "people")
    assert rotated.keys[1] == before.keys[1]
    assert change_file(folder, "people", Change.END_OVERLAP).keys.keys() == {2}
    assert read_ring(folder, "people").keys.keys() == {2}


def test_the_first_is_made_and_only_what_is_there_changes(tmp_path):
    with pytest.raises(KeyNotGranted, match="to rotate"):
        change_file(tmp_path / "new", "people", Change.ROTATE)
    assert change_file(tmp_path / "new", "people", Change.KEEP).current == 1
