"""One trusted session for all tests of a worker process that only need some Spark: a JVM takes its time to start."""

import importlib.util
import os
import socket
import threading
from pathlib import Path

import pytest

SMALL = {
    "spark.driver.memory": "768m",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.port": "0",
    "spark.python.worker.memory": "1m",  # Python spills at once
}


def pytest_configure(config):
    config.addinivalue_line("markers", "full: what takes long; make spark runs it, and make test does not")
    config.addinivalue_line("markers", "early: a long test, which the other processes would wait for at the end")


def pytest_collection_modifyitems(items):
    """PySpark leaves the sockets of collect() to the garbage collector; all else stays an error. Long tests begin."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
            if item.get_closest_marker("full") and not os.environ.get("STRONGROOM_SPARK_FULL"):
                item.add_marker(pytest.mark.skip(reason="make spark runs this"))


@pytest.fixture(scope="session")
def primary_keys(tmp_path_factory):
    """Return a folder of key files with the primary keys `people` and `other`."""
    from strongroom.analytics.keys.files import write_ring
    from strongroom.datasets.key_ring import KeyRing

    folder = tmp_path_factory.mktemp("keys") / "keys"
    for name in ("people", "other"):
        write_ring(folder, KeyRing.fresh(name))
    return folder


@pytest.fixture(scope="session")
def trusted_session(primary_keys, lean_java):
    """Return a TrustedSession on local[2] with the file keys of `primary_keys`."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed: pip install 'strongroom[analytics]'")
    from strongroom.analytics.submit.session import TrustedSession

    small = SMALL | {"spark.driver.extraJavaOptions": lean_java}
    with TrustedSession("shared", master="local[2]", keys=f"file:{primary_keys}", extra_conf=small) as session:
        yield session


class Capturing:
    """Look through everything on loopback while a block runs; a word cut in two by packets is not looked for."""

    def __init__(self, word):
        self.word, self.control = word.encode(), b"control-" + word[::-1].encode()
        self.seen = {"bytes": 0, "canary": 0, "control": 0}
        self.thread = threading.Thread(target=self.look)

    def __enter__(self):
        try:
            self.tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.tap.bind(("lo", 0))
        except OSError:
            pytest.skip("to capture traffic needs root")
        self.tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.thread.start()
        return self.seen

    def look(self):
        with self.tap:
            while not self.seen["control"]:
                packet = self.tap.recv(1 << 17)
                self.seen["bytes"] += len(packet)
                self.seen["canary"] += self.word in packet
                self.seen["control"] += self.control in packet

    def __exit__(self, *_):
        """End with a word in clear: the tap does see those."""
        while self.thread.is_alive():
            with (
                socket.create_server(("127.0.0.1", 0)) as server,
                socket.create_connection(server.getsockname()) as peer,
            ):
                peer.sendall(self.control)
                with server.accept()[0] as other:
                    other.recv(100)
            self.thread.join(1)


@pytest.fixture(scope="session")
def loopback():
    """Return what captures loopback's traffic while a block runs, and counts packets with a word."""
    return Capturing
