"""Who a replica is: what its manifest says, and what changes its measurement."""

import os
import socket
import sys

import pytest

from strongroom.demo.replica import ReplicaManifest
from strongroom.demo.scene import Scene, reserved_ports
from strongroom.gramine import manifest
from strongroom.platforms.simulated import measure

REPLICA = ReplicaManifest(words=("--port=1", "--bind=127.0.0.1"), environ={"LANG": "C.UTF-8"}, files=("ca.pem",))


def measured(replica, folder):
    (folder / "ca.pem").write_text("a certificate", encoding="utf-8")
    return measure(manifest.parse(replica.render()), folder, os.environ, mr_signer=b"\x01" * 32)


def test_the_manifest_is_one_that_the_platform_reads():
    read = manifest.parse(REPLICA.render())
    assert read.entrypoint == sys.executable
    assert read.argv[-2:] == ("--port=1", "--bind=127.0.0.1")
    assert read.remote_attestation == "dcap"
    assert any(each.path.endswith("/strongroom/") for each in read.trusted_files)
    assert any(each.path.endswith("/json/") for each in read.trusted_files)


def test_a_copy_of_the_folder_is_the_same_replica_and_a_changed_word_is_another(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    original = measured(REPLICA, here)
    assert measured(REPLICA, there).mr_enclave == original.mr_enclave
    assert measured(REPLICA.with_word("--port=1", "--port=2"), here).mr_enclave != original.mr_enclave
    debug = measured(REPLICA.with_debug(), here)
    assert (debug.mr_enclave, debug.debug, original.debug) == (original.mr_enclave, True, False)


def test_only_a_word_that_is_there_can_be_changed():
    with pytest.raises(ValueError, match="--nothing"):
        REPLICA.with_word("--nothing", "--something")


def test_reserved_ports_are_for_those_who_share_them():
    with reserved_ports() as ports, socket.socket() as sharing, socket.socket() as other:
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sharing.bind(("127.0.0.1", ports.rest))
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", ports.grpc))


def test_a_scene_knows_its_addresses(tmp_path):
    with reserved_ports() as ports:
        scene = Scene(tmp_path, None, ports, ())
        assert scene.rest_url == f"https://localhost:{ports.rest}"
        words = scene.predict_words(scene.grpc_url, tmp_path / "p.jpg")
        assert words[words.index("--evidence-url") + 1] == scene.rest_url
        assert scene.decisions() == []
