"""A CA, a password, and programs that read key stores: keytool, openssl, and Java itself."""

import os
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from strongroom.pki import keys
from strongroom.pki.authority import Authority
from strongroom.pki.keystores.entries import KeyEntry, TrustedEntry
from strongroom.pki.keystores.issuing import fresh_key
from strongroom.pki.keystores.parts import KeyKind
from strongroom.secret import Secret

PASSWORD = "pass-1234-Word"
NOW = datetime.now(UTC)


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def now():
    return NOW


@pytest.fixture(scope="session")
def authority():
    return Authority.create("keystores' test CA", now=NOW)


@pytest.fixture
def password():
    return Secret(PASSWORD.encode())


def der(pem):
    return keys.load_certificates(pem)[0].public_bytes(keys.Encoding.DER)


@pytest.fixture
def key_entry(authority):
    """Makes an entry with a fresh key of a kind, and its chain."""

    def make(kind=KeyKind.EC, alias="server"):
        key = fresh_key(kind)
        pem = keys.private_pem(key)
        leaf = authority.renew_server(pem, ["localhost", "127.0.0.1"], now=NOW)
        plain = key.private_bytes(keys.Encoding.DER, keys.PrivateFormat.PKCS8, keys.NoEncryption())
        chain = (der(leaf.certificate_pem), der(authority.certificate_pem))
        return KeyEntry(alias=alias, key=Secret(plain), chain=chain)

    return make


@pytest.fixture
def trusted(authority):
    return TrustedEntry(alias="ca", certificate=der(authority.certificate_pem))


@pytest.fixture
def password_file(tmp_path):
    place = tmp_path / "pw"
    place.write_text(PASSWORD)
    place.chmod(0o600)
    return place


@pytest.fixture
def run():
    """Runs a program, or skips where there is none; returns what it printed."""

    def program(*words, given=None):
        needs(str(words[0]))
        quiet = {name: value for name, value in os.environ.items() if name != "JAVA_TOOL_OPTIONS"}
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False,
                              input=given, env=quiet)  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    return program


# Opens a key store, takes its key out, and talks TLS to itself with certificates on both sides.
JAVA = """
import java.io.*; import java.nio.file.*; import java.security.*; import javax.net.ssl.*;
public class Stores {
  public static void main(String[] a) throws Exception {
    char[] password = Files.readString(Path.of(a[0])).strip().toCharArray();
    KeyStore own = KeyStore.getInstance(new File(a[1]), password);
    KeyStore trust = KeyStore.getInstance(new File(a[2]), password);
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(own, password);
    TrustManagerFactory trusted = TrustManagerFactory.getInstance("PKIX");
    trusted.init(trust);
    SSLContext context = SSLContext.getInstance("TLSv1.3");
    context.init(keys.getKeyManagers(), trusted.getTrustManagers(), null);
    SSLServerSocket server = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0);
    server.setNeedClientAuth(true);
    Thread thread = new Thread(() -> {
      try (SSLSocket peer = (SSLSocket) server.accept()) {
        peer.getOutputStream().write(peer.getInputStream().read());
        peer.getOutputStream().flush();
      } catch (IOException problem) { problem.printStackTrace(); }
    });
    thread.start();
    try (SSLSocket client = (SSLSocket) context.getSocketFactory().createSocket("localhost", server.getLocalPort())) {
      SSLParameters asked = client.getSSLParameters();
      asked.setEndpointIdentificationAlgorithm("HTTPS");
      client.setSSLParameters(asked);
      client.getOutputStream().write(42);
      client.getOutputStream().flush();
      System.out.println(own.size() + " " + trust.size() + " " + client.getSession().getProtocol() + " "
          + client.getInputStream().read() + " " + own.getType() + " " + trust.getType());
    }
    thread.join();
  }
}
"""


@pytest.fixture
def java(tmp_path, run, password_file):
    """Runs the program above with a key store and a trust store."""

    def program(own, trust):
        source = tmp_path / "Stores.java"
        source.write_text(JAVA)
        return run("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", source, password_file, own, trust).split()

    return program
