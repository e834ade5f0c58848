"""InputQueue with frontend_url: verified TLS, every form of reply, typed errors, the old words by a switch."""

import http.server
import json
import ssl
import threading
from datetime import UTC, datetime

import numpy as np
import pytest

from strongroom.clusterserving.faults import BadImage, QueueFull, ShapeMismatch
from strongroom.pki import Authority
from strongroom.streaming.client import InputQueue, ResultTimeout
from strongroom.streaming.client.frontend import FrontendAway
from strongroom.streaming.client.replies import BadReply
from strongroom.streaming.client.settings import BadQueueOption

SPELLED = {"data": [2.0, 4.0], "shape": [2]}


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every POST with what the server was told to, and keeps what was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, json.loads(body), dict(self.headers)))
        if self.server.gate is not None:
            self.server.gate.wait(20)
        status, answer = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def front(tmp_path):
    """A TLS server that answers what a test sets; `.url`, `.ca`, `.asked`."""
    authority = Authority.create("front test", now=datetime.now(UTC))
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "server.pem").write_bytes(leaf.certificate_pem)
    with leaf.key_pem.reveal() as key:
        (tmp_path / "server.key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a client that does not trust us hangs up
    server.asked, server.gate, server.ca = [], None, str(tmp_path / "ca.pem")
    server.url = f"https://localhost:{server.server_address[1]}"
    server.answer = (200, json.dumps({"predictions": [SPELLED]}).encode())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "element", [SPELLED, json.dumps({"value": json.dumps(SPELLED)}), {"y": SPELLED}], ids=["ours", "legacy", "by name"]
)
def test_predict_asks_the_front_end_and_reads_its_form(front, element):
    front.answer = (200, json.dumps({"predictions": [element]}).encode())
    with InputQueue(front.url, ca=front.ca) as enqueue:
        assert enqueue.predict({"t": np.array([1, 2], np.float32)}, timeout=20).tolist() == [2, 4]
    path, body, headers = front.asked[0]
    assert (path, body) == ("/predict", {"instances": [{"t": [1.0, 2.0]}]})
    assert headers["X-Request-Timeout-Ms"] == "20000"


def test_the_documented_form_gives_a_text(front):
    front.answer = (200, b'{"predictions":["{value=[[903,0.1306194]]}"]}')
    with InputQueue(front.url, ca=front.ca) as enqueue:
        assert enqueue.predict('{"instances": [{"t": [1]}]}', timeout=20) == "[[903,0.1306194]]"
    assert front.asked[0][1] == {"instances": [{"t": [1]}]}


def test_inputs_of_every_kind_are_spelled(front):
    inputs = {
        "words": ["a", "b"],
        "image": {"b64": "/9j/AA=="},
        "sparse": [np.array([[1]]), np.array([5.0]), np.array([4])],
        "number": 3,
    }
    with InputQueue(front.url, ca=front.ca) as enqueue:
        enqueue.predict(inputs, timeout=20)
        with pytest.raises(BadImage):
            enqueue.predict({"image": "/nowhere.jpg"})
    assert front.asked[0][1]["instances"][0] == {
        "words": ["a", "b"],
        "image": "/9j/AA==",
        "sparse": {"shape": [4], "data": [5.0], "indices": [[1]]},
        "number": 3,
    }


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((429, b'{"error":{"code":"queue_full","message":"30 a second"}}'), QueueFull),
        ((422, b'{"predictions":[{"error":{}}],"error":{"code":"shape_mismatch","message":"[5]"}}'), ShapeMismatch),
        ((200, b'{"predictions":[{"error":{"code":"shape_mismatch","message":"[5]"}}]}'), ShapeMismatch),
        ((200, b"<html>"), BadReply),
        ((200, b'{"predictions":[]}'), BadReply),
    ],
)
def test_refusals_are_typed_errors(front, answer, kind):
    front.answer = answer
    with InputQueue(front.url, ca=front.ca) as enqueue, pytest.raises(kind):
        enqueue.predict(np.ones(2), timeout=20)


def test_compat_has_the_old_words(front):
    front.answer = (422, b'{"error":{"code":"shape_mismatch","message":"[5]"}}')
    with InputQueue(front.url, ca=front.ca, compat=True) as enqueue:
        assert enqueue.predict(np.ones(2), timeout=20) == "NaN"


def test_an_answer_that_takes_too_long_is_a_timeout(front, monkeypatch):
    monkeypatch.setattr("strongroom.streaming.client.frontend.GRACE_S", 0.0)
    front.gate = threading.Event()
    with InputQueue(front.url, ca=front.ca) as enqueue, pytest.raises(ResultTimeout):
        enqueue.predict(np.ones(2), timeout=0.05)
    front.gate.set()


def test_d14_a_front_end_that_is_not_trusted_or_not_there_gets_no_record(front):
    for url, options in ((front.url, {}), ("https://localhost:1", {"ca": front.ca})):
        with InputQueue(url, **options) as enqueue, pytest.raises(FrontendAway) as away:
            enqueue.predict(np.ones(2), timeout=20)
        assert away.value.code == "SR-QUEUE-FRONTEND-AWAY"
    assert front.asked == []


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://localhost:1", {}),
        ("http://queue.example", {"plaintext": True}),
        ("redis://localhost", {}),
        ("https://", {}),
        ("https://localhost", {"seal_to": "x"}),
    ],
)
def test_addresses_without_tls_and_options_without_effect_are_refused(url, options):
    with pytest.raises(BadQueueOption):
        InputQueue(url, **options)
