"""A world in its folder: made whole, kept private, read strictly, shared by processes that start at once."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from strongroom.platforms.simulated import Hardware, World, WorldMissing, WorldUnusable, default_folder
from strongroom.platforms.simulated.world_folder import HARDWARE_FILE, MAX_FILE_BYTES


@pytest.fixture
def folder(tmp_path, now):
    World.create(tmp_path / "world", now=now)
    return tmp_path / "world"


def test_a_world_opens_as_it_was_made(tmp_path, now):
    made = World.create(tmp_path / "new" / "world", now=now)
    opened = World.open(tmp_path / "new" / "world")
    assert opened.hardware == made.hardware
    assert opened.root_der == made.root_der
    assert opened.root_key_id == made.root_key_id
    assert (opened.mr_signer, opened.qe_signer) == (made.mr_signer, made.qe_signer)
    assert len(opened.mr_signer) == len(opened.qe_signer) == 32


def test_keys_are_private_and_nothing_else_is_left(tmp_path, folder):
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_two_worlds_share_nothing(world, other_world):
    assert world.root_key_id != other_world.root_key_id
    assert world.fmspc != other_world.fmspc
    assert world.mr_signer != other_world.mr_signer


def test_every_machine_carries_the_marks_of_a_simulation(world):
    assert world.fmspc.startswith("F0")
    assert world.hardware.ppid.startswith(b"SIM")


def test_an_empty_folder_is_taken_and_a_used_one_is_not(tmp_path, folder, now):
    (tmp_path / "empty").mkdir(mode=0o755)
    World.create(tmp_path / "empty", now=now)
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700
    before = (folder / "root_key.pem").read_bytes()
    with pytest.raises(WorldUnusable, match="not empty"):
        World.create(folder, now=now)
    assert (folder / "root_key.pem").read_bytes() == before
    (tmp_path / "file").write_text("precious")
    with pytest.raises(WorldUnusable, match="not empty"):
        World.create(tmp_path / "file", now=now)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "world"]


def test_where_nothing_is_the_command_to_make_one_is_named(tmp_path):
    with pytest.raises(WorldMissing) as refusal:
        World.open(tmp_path / "nowhere")
    assert refusal.value.code == "SR-WORLD-MISSING"
    assert "strongroom sim init" in refusal.value.fix


def test_all_who_start_at_once_get_the_same_world(tmp_path, now):
    gate, found = threading.Barrier(4), []

    def start():
        gate.wait()
        found.append(World.open_or_create(tmp_path / "world", now=now).root_key_id)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_a_folder_that_others_can_enter_is_refused(folder):
    folder.chmod(0o750)
    with pytest.raises(WorldUnusable, match="entered by others") as refusal:
        World.open(folder)
    assert refusal.value.code == "SR-WORLD-UNUSABLE"
    assert "chmod 700" in refusal.value.fix


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(folder):
    os.chown(folder, 12345, 12345)
    with pytest.raises(WorldUnusable, match="belongs to user 12345"):
        World.open(folder)


@pytest.mark.parametrize("name", ["root.pem", "pck_key.pem", "enclave_signer_key.pem", HARDWARE_FILE])
@pytest.mark.parametrize("content", [b"", b"junk", b"x" * (MAX_FILE_BYTES + 1)], ids=["empty", "junk", "huge"])
def test_a_garbled_file_is_refused(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(WorldUnusable):
        World.open(folder)


@pytest.mark.parametrize("name", ["root.pem", "tcb_signer_key.pem"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(WorldUnusable, match="cannot be read"):
        World.open(folder)


def test_a_key_of_another_certificate_is_refused(folder):
    (folder / "pck_key.pem").write_bytes((folder / "root_key.pem").read_bytes())
    with pytest.raises(WorldUnusable, match="do not belong together"):
        World.open(folder)


def test_a_key_of_another_kind_is_refused(folder):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "pck_key.pem").write_bytes(key)
    with pytest.raises(WorldUnusable, match="not a P-256 key"):
        World.open(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"components": [1] * 15},
        {"components": [256] + [0] * 15},
        {"components": ["1"] * 16},
        {"pce_svn": -1},
        {"qe_svn": True},
        {"ca": "other"},
        {"ca": []},
        {"ppid": "00"},
        {"fmspc": 12},
        {"qe_id": "zz" * 16},
        {"pce_id": None},
    ],
    ids=str,
)
def test_garbled_facts_are_refused(folder, change):
    facts = json.loads((folder / HARDWARE_FILE).read_text())
    (folder / HARDWARE_FILE).write_text(json.dumps({**facts, **change}))
    with pytest.raises(WorldUnusable):
        World.open(folder)


def test_facts_that_are_no_object_are_refused(folder):
    (folder / HARDWARE_FILE).write_text("[]")
    with pytest.raises(WorldUnusable, match="format"):
        World.open(folder)


def test_a_machine_has_sixteen_components():
    with pytest.raises(ValueError, match="16 TCB components"):
        Hardware(fmspc=bytes(6), ppid=bytes(16), platform_instance_id=bytes(16), qe_id=bytes(16), components=(1,))


def test_the_default_folder_follows_the_users_settings():
    assert default_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/strongroom/simulated-platform")
    home = Path("~/.local/share/strongroom/simulated-platform").expanduser()
    assert default_folder({}) == home
    assert default_folder({"XDG_DATA_HOME": "relative"}) == home
