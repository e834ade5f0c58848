"""A real Redis under a generated keys folder: renewed while it runs, with connections that stay."""

import shutil
import socket
import ssl
import subprocess

import pytest
from cryptography import x509

from strongroom.pki.keystores import generate
from strongroom.pki.keystores.generate import Settings
from strongroom.pki.keystores.parts import usual_parts
from strongroom.ports import free_port
from strongroom.secret import Secret

KEY = Secret(bytes(range(16)))


@pytest.fixture
def folder(tmp_path, authority, password, now):
    generate.generate(tmp_path / "keys", authority, password, Settings(parts=usual_parts()), sealing_key=KEY, now=now)
    return tmp_path / "keys"


@pytest.fixture
def server(folder, tmp_path):
    """The port of a Redis that listens with TLS alone and wants a certificate of everybody."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    tls = folder / "redis"
    # As the key and the certificate change together, both come from one file.
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "",
         "--tls-cert-file", str(tls / "tls.pem"), "--tls-key-file", str(tls / "tls.pem"),
         "--tls-ca-cert-file", str(tls / "ca.crt"), "--tls-auth-clients", "yes", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for line in process.stdout:
            if "Ready to accept connections" in line:
                break
        yield port
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


class Talk:
    """One TLS connection that speaks Redis' inline protocol."""

    def __init__(self, folder, port, *, part="client"):
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        if part is not None:
            context.load_cert_chain(folder / part / "tls.pem")
        plain = socket.create_connection(("127.0.0.1", port), 10)
        try:
            self.tls = context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise

    def say(self, line):
        self.tls.sendall(line.encode() + b"\r\n")
        return self.tls.recv(4096).decode().strip()

    def serial(self):
        return x509.load_der_x509_certificate(self.tls.getpeercert(binary_form=True)).serial_number

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()


def reload(folder, port):
    place = folder / "redis/tls.pem"
    with Talk(folder, port, part="admin") as admin:
        return admin.say(f"CONFIG SET tls-cert-file {place} tls-key-file {place}")


def test_redis_takes_renewed_certificates_without_a_restart_and_drops_nobody(folder, server, authority, password, now):
    with Talk(folder, server) as long_lived:
        assert long_lived.say("SET k before") == "+OK"
        run_id = next(line for line in long_lived.say("INFO server").splitlines() if line.startswith("run_id"))
        before = long_lived.serial()
        generate.renew(folder, authority, password, sealing_key=KEY, now=now)
        with Talk(folder, server) as still_old:
            assert still_old.serial() == before
        assert reload(folder, server) == "+OK"
        with Talk(folder, server) as fresh:
            assert fresh.serial() != before
            assert run_id in fresh.say("INFO server")
            assert long_lived.say("GET k") == "$6\r\nbefore"  # the connection from before is as it was
        assert long_lived.serial() == before


def test_a_renewal_that_went_wrong_leaves_redis_as_it_was(folder, server):
    with Talk(folder, server) as first, Talk(folder, server, part="admin") as admin:
        said = admin.say("CONFIG SET tls-cert-file /nowhere tls-key-file /nowhere")
        assert said.startswith("-ERR")
        with Talk(folder, server) as later:
            assert later.serial() == first.serial()
            assert later.say("PING") == "+PONG"


def test_dp_04_nobody_talks_to_redis_without_a_certificate_of_this_ca(folder, server):
    def ask():
        with Talk(folder, server, part=None) as stranger:
            assert not stranger.say("PING")  # TLS 1.3: the refusal may come after the handshake, as an end or an alert
            raise ConnectionResetError

    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask()
