"""One suite for every platform: whatever stands behind it, 64 bytes go in and a quote over exactly these comes out.

Behind the simulated platform stands a launcher's end of the socket. Behind Gramine's device stands a folder whose
`quote` is a named pipe: as under Gramine, opening it makes a new quote over what `user_report_data` holds then.
"""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.attestation import Anchor, parse_quote, verify
from strongroom.platforms import GramineDevice, Platform, ReportDataSize, SimulatedPlatform
from strongroom.platforms.quote_channel import Frames, frame
from strongroom.platforms.simulated import EnclaveIdentity, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STOP = b"stop".ljust(64, b"\0")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@pytest.fixture(scope="module")
def identity(world) -> EnclaveIdentity:
    return EnclaveIdentity(mr_enclave=bytes([1]) * 32, mr_signer=world.mr_signer, isv_prod_id=1, isv_svn=2)


def answer_socket(channel: socket.socket, world: World, identity: EnclaveIdentity) -> None:
    requests, enclave = Frames(smallest=64, largest=64), world.quoting_enclave()
    while data := channel.recv(4096):
        for report_data in requests.receive(data):
            channel.sendall(frame(enclave.quote(identity, report_data)))


def answer_folder(root: Path, world: World, identity: EnclaveIdentity) -> None:
    """Write one quote for each opening of the pipe; every opening gets a pipe of its own, so that none sees two."""
    enclave, pipe = world.quoting_enclave(), root / "quote"
    while True:
        with pipe.open("wb") as file:  # waits until somebody reads
            report_data = (root / "user_report_data").read_bytes()
            os.mkfifo(root / "next")
            (root / "next").replace(pipe)
            if report_data == STOP:
                return
            file.write(enclave.quote(identity, report_data))


@pytest.fixture(params=["simulated", "gramine"])
def platform(request, tmp_path, world, identity):
    if request.param == "simulated":
        ours, theirs = socket.socketpair()
        helper = threading.Thread(target=answer_socket, args=(theirs, world, identity))
        helper.start()
        with ours, theirs:
            yield SimulatedPlatform(ours.fileno())
            ours.shutdown(socket.SHUT_RDWR)
            helper.join()
        return
    (tmp_path / "attestation_type").write_text("dcap")
    (tmp_path / "user_report_data").write_bytes(bytes(64))
    os.mkfifo(tmp_path / "quote")
    helper = threading.Thread(target=answer_folder, args=(tmp_path, world, identity))
    helper.start()
    yield GramineDevice(tmp_path)
    (tmp_path / "user_report_data").write_bytes(STOP)
    (tmp_path / "quote").read_bytes()
    helper.join()


def test_a_quote_is_over_exactly_the_bytes_asked_for(platform: Platform):
    asked = bytes(range(64))
    assert parse_quote(platform.quote(asked)).body.report_data == asked


def test_a_quote_verifies_and_names_who_asked(platform: Platform, world, identity):
    anchors = [Anchor.from_certificate(world.root_der)]
    verdict = verify(platform.quote(bytes(64)), world.collateral(NOW), anchors=anchors, at=NOW)
    assert (verdict.body.mr_enclave, verdict.body.isv_svn) == (identity.mr_enclave, 2)


def test_every_quote_is_fresh(platform: Platform):
    first, second = platform.quote(bytes(64)), platform.quote(bytes(64))
    assert parse_quote(first).signature != parse_quote(second).signature


@pytest.mark.parametrize("size", [0, 32, 63, 65, 1000])
def test_report_data_of_another_size_is_refused_and_the_platform_works_on(platform: Platform, size):
    with pytest.raises(ReportDataSize):
        platform.quote(bytes(size))
    assert platform.quote(bytes(64))


def test_threads_never_get_each_others_quotes(platform: Platform):
    asked = [bytes([number]) * 64 for number in range(1, 33)]
    with ThreadPoolExecutor(8) as pool:
        quotes = list(pool.map(platform.quote, asked))
    assert [parse_quote(quote).body.report_data for quote in quotes] == asked


def test_it_says_its_name(platform: Platform):
    assert platform.name in {"simulated", "gramine"}
