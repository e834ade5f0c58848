"""Our client against a broker that is gone in the middle of an answer: it can be asked again, and no key came of it."""

import http
import json
import socket
import threading
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.broker.gramine_client import BrokerUnreachable
from strongroom.broker.kbs_client import obtain
from strongroom.broker.names import SecretName
from strongroom.pki.jose import JweMalformed, RecipientKey, seal
from strongroom.secret import Secret

NONCE = "Rm81yEUCI4EnE/OFs8rwjW19lrAxE5bH1ekK4gkxiz8="
ANSWER = {"strongroom": {"v": 1, "require": ["deployment", "purpose"], "deployment": "d-1"}}
JSON = b"content-type: application/json\r\n"


def answered(body, *, framing=None, status=200):
    """Return an HTTP answer as it is on the wire."""
    framing = f"content-length: {len(body)}\r\n".encode() if framing is None else framing
    return f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode() + JSON + framing + b"\r\n" + body


class Cutter:
    """A TLS server that gives the right answers up to one, sends so many bytes of that, and is gone."""

    def __init__(self, identity, tls_context):
        self.context = tls_context(identity.certificate_pem, identity.key_pem)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.answers = []
        self.stopping = False
        self.last = b""
        self.politely = False  # with TLS's own goodbye, as a proxy in front of a dead broker says it
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while not self.stopping:
            accepted, _ = self.listener.accept()
            with accepted, suppress(OSError, EOFError):  # the client may be quicker to go
                self.dialogue(accepted)

    def dialogue(self, accepted):
        with self.context.wrap_socket(accepted, server_side=True) as tls:
            for answer in [*self.answers, self.last]:
                self.request(tls)
                tls.sendall(answer)
            if self.politely:
                tls.unwrap().close()
            else:
                tls.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def request(tls):
        """Read one request to its end."""
        seen = b""
        while b"\r\n\r\n" not in seen:
            piece = tls.recv(65536)
            if not piece:
                raise EOFError
            seen += piece
        head, _, body = seen.partition(b"\r\n\r\n")
        lines = [line.lower().partition(b":") for line in head.split(b"\r\n")]
        left = sum(int(value) for name, _, value in lines if name == b"content-length") - len(body)
        while left > 0:
            left -= len(tls.recv(65536))

    def close(self):
        self.stopping = True
        socket.create_connection(self.listener.getsockname()).close()
        self.thread.join(60)
        self.listener.close()


@pytest.fixture
def cutter(owner):
    from strongroom.broker.web.server import tls_context

    found = Cutter(owner[1], tls_context)
    found.answers = [
        answered(json.dumps({"nonce": NONCE, "extra-params": ANSWER}).encode()),
        answered(b'{"token":"t"}'),
    ]
    yield found
    found.close()


@pytest.fixture(scope="module")
def sealed():
    """An envelope for somebody else: opened whole it is refused, so nothing but its end is missing."""
    stranger = RecipientKey.of(ec.generate_private_key(ec.SECP256R1()).public_key())
    return json.dumps(seal(stranger, Secret(bytes(16)))).encode()


@pytest.fixture
def ask(cutter, owner, replica):
    def run(last):
        cutter.last = last
        port = cutter.listener.getsockname()[1]
        obtain(f"https://localhost:{port}", SecretName.parse("model/m/1"), ca_pem=owner[0].certificate_pem,
               platform=replica, timeout_s=30)  # fmt: skip

    return run


@pytest.mark.parametrize(("politely", "step"), [(False, 1), (True, 23)])
def test_an_answer_that_is_cut_at_any_byte_is_a_broker_to_ask_again(cutter, ask, sealed, politely, step):
    cutter.politely = politely
    whole = answered(sealed)
    with pytest.raises(JweMalformed):
        ask(whole)
    for length in range(0, len(whole), step):
        with pytest.raises(BrokerUnreachable):
            ask(whole[:length])


@pytest.mark.parametrize("length", range(0, 120, 5))
def test_a_refusal_that_is_cut_is_no_refusal(ask, length):
    whole = answered(b'{"type":"https://kbs/errors/PolicyDeny","detail":"denied"}', status=403)
    with pytest.raises(BrokerUnreachable):
        ask(whole[:length])


def test_an_answer_in_chunks_counts_once_its_last_chunk_came(ask, sealed):
    half = len(sealed) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (sealed[:half], sealed[half:]))
    whole = answered(chunks + b"0\r\n\r\n", framing=b"transfer-encoding: chunked\r\n")
    with pytest.raises(JweMalformed):
        ask(whole)
    for cut in (5, 6, 8, half, half + 9):
        with pytest.raises(BrokerUnreachable):
            ask(whole[:-cut])


def test_an_answer_whose_end_is_the_connections_is_not_believed(ask, sealed):
    with pytest.raises(BrokerUnreachable, match=r"in the middle of an answer|unexpected_eof"):  # by the Python at hand
        ask(answered(sealed, framing=b""))
