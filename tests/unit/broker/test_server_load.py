"""Idle, slow and many peers delay nobody; limits hold; a stop serves those whose evidence is being judged."""

import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.broker.gramine_client import BrokerRefused
from strongroom.broker.gramine_server import ServerLimits
from strongroom.gramine.provisioning import REQUEST, RESPONSE

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
ANSWER = RESPONSE + b"\x00\x00\x00\x10" + KEY


class Held:
    """Collateral that comes only once the test lets it go."""

    def __init__(self, collateral):
        self.collateral = collateral
        self.asked, self.go = threading.Event(), threading.Event()

    def collateral_for(self, quote):
        self.asked.set()
        assert self.go.wait(30)
        return self.collateral


@pytest.fixture
def idle(request):
    """Open connections that say nothing; all are closed at the end."""
    opened = []

    def open_idle(broker, count):
        opened.extend(socket.create_connection(("127.0.0.1", broker.port), timeout=30) for _ in range(count))
        return opened

    yield open_idle
    for connection in opened:
        connection.close()


def is_open(connection):
    """Return whether the broker still holds its end: nothing to read, not even the end."""
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    finally:
        connection.setblocking(True)


def test_fb_16_idle_slow_and_half_finished_peers_delay_nobody(broker_with, idle, connect, credentials_for, replica):
    with broker_with(limits=ServerLimits(deadline_s=60)) as broker:
        waiting = idle(broker, 200)
        for connection in waiting[:50]:
            connection.sendall(b"\x16\x03\x01\x02")  # the beginning of a record
        half = connect(broker, credentials_for()).handshake()
        half.send(REQUEST[:17])
        slow = connect(broker, credentials_for()).handshake()
        for place in range(len(REQUEST)):  # one byte of the slow peer's request between each two releases
            slow.send(REQUEST[place : place + 1])
            if place % 7 == 0:
                assert len(broker.provision(replica)) == 16
        assert slow.read_all() == (ANSWER, True)
        half.send(REQUEST[17:])
        assert half.read_all() == (ANSWER, True)
        assert all(is_open(connection) for connection in waiting)  # they were there all the time


def test_fb_16_a_peer_whose_evidence_takes_long_delays_no_other(
    broker_with, collateral, replica, connect, credentials_for
):
    held = Held(collateral)
    with broker_with(source=held, limits=ServerLimits(workers=2)) as broker, ThreadPoolExecutor(1) as pool:
        first = pool.submit(broker.provision, replica)
        assert held.asked.wait(30)
        refused = connect(broker, credentials_for(forms=[])).handshake()  # needs no collateral: judged beside it
        assert refused.read_all() == (b"", False)
        assert not first.done()
        held.go.set()
        assert len(first.result(30)) == 16


def test_fb_16_many_clients_at_once_all_get_their_secret(broker, replica):
    with ThreadPoolExecutor(12) as pool:
        secrets = list(pool.map(lambda _: broker.provision(replica), range(36)))
    assert len(secrets) == 36
    assert len({entry["id"] for entry in broker.decisions()}) == 36


def test_fb_16_a_peer_that_does_nothing_is_dropped_at_the_deadline(broker_with, idle):
    with broker_with(limits=ServerLimits(deadline_s=0.2, linger_s=0.1)) as broker:
        [connection] = idle(broker, 1)
        assert connection.recv(1) == b""
        assert broker.decisions() == []


def test_fb_16_the_deadline_holds_for_handshake_and_request_together(broker_with, connect, credentials_for):
    with broker_with(limits=ServerLimits(deadline_s=5, linger_s=0.1)) as broker:
        peer = connect(broker, credentials_for()).handshake()
        assert peer.read_all() == (b"", False)
        assert broker.codes() == ["SR-PEER-SLOW"]


@pytest.mark.parametrize("limits", [{"connections": 3}, {"connections_per_address": 3}])
def test_sv_13_a_connection_over_the_limit_is_turned_away_and_room_comes_back(
    broker_with, idle, replica, caplog, limits
):
    with broker_with(limits=ServerLimits(linger_s=0.1, **limits)) as broker:
        waiting = idle(broker, 3)
        with pytest.raises(BrokerRefused):
            broker.provision(replica)
        assert caplog.text.count("too many connections") == 1
        for connection in waiting:
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        assert len(broker.provision(replica)) == 16


def test_sv_17_a_stop_serves_who_is_being_judged_and_cuts_who_only_waits(broker_with, collateral, idle, replica):
    held = Held(collateral)
    with ThreadPoolExecutor(1) as pool:
        with broker_with(source=held) as broker:
            [connection] = idle(broker, 1)
            served = pool.submit(broker.provision, replica)
            assert held.asked.wait(30)
            threading.Timer(0.1, held.go.set).start()
        assert len(served.result(30)) == 16
        assert connection.recv(1) == b""


def test_after_a_stop_nobody_listens(broker_with):
    with broker_with() as broker:
        port = broker.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not here")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_gets_the_bytes(broker_with, credentials_for, owner, version, tmp_path):
    (tmp_path / "ca.pem").write_bytes(owner[0].certificate_pem)
    credentials = credentials_for()
    with broker_with(tls13=version == "-tls1_3") as broker:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.port}", "-quiet", version,
             "-verify_return_error", "-verify_hostname", "localhost", "-CAfile", tmp_path / "ca.pem",
             "-cert", credentials.certificate_path, "-key", credentials.key_path],
            input=REQUEST, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout == ANSWER
