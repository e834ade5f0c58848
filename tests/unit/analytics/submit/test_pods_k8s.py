"""Kubernetes' word on executors' pods: heard over TLS, bounded, and only what was refused ends a job."""

import contextlib
import http.server
import json
import ssl
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.analytics.agent.roll_call import RollCall
from strongroom.analytics.session.folder import CA, DRIVER_PEM, SessionFolder
from strongroom.analytics.submit import pods
from strongroom.analytics.submit.pods import Ended, PodWatch, ended, pods_noted

SAID = "executor: nothing was released to this process\n  what to do: ask\n  [SR-AGENT-REFUSAL]\n"
TOKEN = "account-token"


def event(name="job-exec-1", status=3, message=SAID):
    terminated = {} if status is None else {"terminated": {"exitCode": status, "message": message}}
    return json.dumps({
        "type": "MODIFIED",
        "object": {
            "metadata": {"name": name, "labels": {"spark-exec-id": "1"}},
            "status": {"containerStatuses": [{"name": "executor", "state": terminated}]},
        },
    }).encode()  # fmt: skip


@pytest.fixture
def account(tmp_path):
    """A service account and the certificate of its API server."""
    folder = SessionFolder.create(insecure=True)
    folder.write_stores(("localhost",))
    (tmp_path / "ca.crt").write_bytes((folder.path / CA).read_bytes())
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "server.pem").write_bytes((folder.path / DRIVER_PEM).read_bytes())
    folder.remove()
    return tmp_path


@contextlib.contextmanager
def api_server(account, lines, *, ends=True):
    asked, watched = [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            for line in lines:
                self.wfile.write(line + b"\n")
            watched.set()
            if ends and len(asked) == 1:
                return
            self.connection.settimeout(30)
            with contextlib.suppress(OSError):  # a watch stays open; it ends when the client goes
                self.connection.recv(1)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"k8s://https://localhost:{server.server_address[1]}", asked, watched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_07_a_refused_executor_is_noted_by_the_name_of_its_pod(account, tmp_path, monkeypatch):
    monkeypatch.setattr(pods, "ACCOUNT", account)
    monkeypatch.setattr(pods, "_PAUSE_S", 0.01)
    lines = [event(status=None), event(), event(), event("job-exec-2", 137, "Killed"), event("job-exec-3", 0, "")]
    noted = threading.Event()
    hear = PodWatch.hear
    monkeypatch.setattr(PodWatch, "hear", lambda self, found: (hear(self, found), len(self.ended) == 3 and noted.set()))
    with api_server(account, lines) as (master, asked, _):
        with pods_noted(master, "jobs", "5e55", tmp_path) as watch:
            monkeypatch.setattr(watch, "_account", account)
            assert noted.wait(30)
        arrivals, _ = RollCall(tmp_path / "pods.jsonl").read()
    path, authorization = asked[0]
    assert path.startswith("/api/v1/namespaces/jobs/pods?labelSelector=strongroom-session%3D5e55&watch=true")
    assert authorization == f"Bearer {TOKEN}"
    assert [str(each) for each in arrivals] == ["executor 1 of 5e55 on job-exec-1 was refused (SR-AGENT-REFUSAL)"]
    assert {name: each.status for name, each in watch.ended.items()} == {
        "job-exec-1": 3, "job-exec-2": 137, "job-exec-3": 0,
    }  # fmt: skip


def test_a_watch_that_says_nothing_ends_with_the_driver(account, tmp_path, monkeypatch):
    monkeypatch.setattr(pods, "_ATTEMPT_S", 20.0)
    with api_server(account, [event(status=None)], ends=False) as (master, _, watched):
        watch = PodWatch(master, "jobs", "5e55", RollCall(tmp_path / "pods.jsonl"), account)
        watch.start()
        assert watched.wait(30)
        watch.stop()
        assert not watch._thread.is_alive()
    assert watch.ended == {}


def test_outside_of_a_cluster_spark_alone_looks_after_its_pods(tmp_path, monkeypatch):
    monkeypatch.setattr(pods, "ACCOUNT", tmp_path / "none")
    with pods_noted("k8s://https://h", "jobs", "5e55", tmp_path) as watch:
        assert watch is None


def test_a_refusal_has_its_code_and_other_ends_have_none():
    assert Ended("p", "1", 3, SAID).code == "SR-AGENT-REFUSAL"
    assert Ended("p", "1", 3, "killed in the middle").code == "status 3"
    assert Ended("p", "1", 1, SAID).code == ""


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b"[" * 100_000, b'{"object": 5}', b'{"object": {"metadata": {"name": "x"}, "status": []}}'],
    ids=["empty", "list", "object", "deep", "number", "no status"],
)  # fmt: skip
def test_what_is_no_pod_says_nothing(line):
    assert ended(line) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pods_end_or_nothing(line):
    assert ended(line) is None or ended(line).pod


def test_names_of_pods_cannot_write_to_a_terminal():
    assert ended(event("a\x1b[31mb\n", 1, "")).pod == "a[31mb"
