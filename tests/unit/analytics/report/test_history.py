"""Spark's history server before there is a JVM: what it is told, and what is refused."""

import io
import shutil
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest

from strongroom.analytics.report import history
from strongroom.analytics.report.history import HistoryNotStarted, SameApplication, serving
from strongroom.analytics.report.reading import BadReportInput
from strongroom.analytics.session.folder import SessionFolder
from strongroom.pki.authority import Authority


@pytest.fixture
def sessions(monkeypatch):
    """Note the session folders that are made."""
    made, create = [], SessionFolder.create

    def noted(**options):
        made.append(create(**options))
        return made[-1]

    monkeypatch.setattr(SessionFolder, "create", staticmethod(noted))
    return made


def test_folders_without_a_log_or_with_the_same_one_twice_are_refused_before_java_starts(
    job_folder, tmp_path, sessions
):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadReportInput), serving([tmp_path / "empty"]):
        pass
    shutil.copytree(job_folder, tmp_path / "again")
    with pytest.raises(SameApplication) as caught, serving([job_folder, tmp_path / "again"]):
        pass
    assert caught.value.code == "SR-SPARK-HISTORY-TWICE"
    assert [each.path.exists() for each in sessions] == [False, False]


def test_a_server_that_ends_says_its_last_words():
    said = io.StringIO("starting\nBindException: Address already in use\n")
    with pytest.raises(HistoryNotStarted) as caught:
        history._Listener(said).address()
    assert caught.value.code == "SR-SPARK-HISTORY"
    assert "Address already in use" in caught.value.sentence


def test_the_address_is_found_among_other_lines():
    said = io.StringIO("x\n26/01/01 INFO HistoryServer: Bound HistoryServer to 127.0.0.1, and started at https://h:1\n")
    assert history._Listener(said).address() == "https://h:1"


def test_everything_is_over_tls(sessions):
    folder = SessionFolder.create()
    try:
        told = history.settings(folder, 18480, "words")
    finally:
        folder.remove()
    assert told["spark.ssl.historyServer.enabled"] == "true"
    assert told["spark.ssl.historyServer.protocol"] == "TLSv1.3"
    assert told["spark.history.fs.logDirectory"].startswith("file:///")


def test_what_a_server_says_before_it_lists_the_logs_is_waited_out(tmp_path):
    """Jetty cuts off who asks while it begins: bytes that are no answer, half an answer, an error, no log as yet."""
    now = datetime.now(UTC)
    authority = Authority.create("CA", now=now)
    leaf = authority.issue_server(["localhost"], now=now)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    with leaf.key_pem.reveal() as key:
        (tmp_path / "server.pem").write_bytes(leaf.certificate_pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    ok = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
    answers = [
        b"", b"nonsense\r\n\r\n", ok + b"9\r\n\r\n[", ok + b"1\r\n\r\n?", b"HTTP/1.1 503 No\r\n\r\n",
        ok + b"2\r\n\r\n[]", ok + b"4\r\n\r\n[{}]",
    ]  # fmt: skip
    asked = []

    def answer(listener):
        for each in answers:
            raw, _ = listener.accept()
            with context.wrap_socket(raw, server_side=True) as peer:
                asked.append(peer.recv(4096))
                peer.sendall(each)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        history._wait_until_shown(f"https://localhost:{listener.getsockname()[1]}", tmp_path / "ca.pem", 1)
        thread.join()
    assert len(asked) == len(answers)
