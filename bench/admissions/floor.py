"""What an admission cannot cost less than, each part measured alone: TLS handshakes, P-256, one durable ledger line.

The handshakes are those of the protocol itself, by the same library, contexts and certificates (a key for each
replica), in a process that does nothing else; what it used is counted and not its clients' part. The verifications
are made by `cryptography`, the key read from its point each time where the verifier has to. The write is one
transaction of the broker's store with one line of its ledger, synced to the disk, by the thread that asks.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from admissions.asking import handshake_only, several
from admissions.estate import Estate, Replica, cpu_s
from strongroom.attestation.signatures import signed_der
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.opening import open_keyring
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.store.opening import open_store
from strongroom.broker.tls import server_context
from strongroom.broker.web.server import tls_context
from strongroom.secret import Secret

_ONES = 200  # of each part in a round


def lay_down_identity(estate: Estate) -> Path:
    """Write the broker's certificate and key where the bare servers find them; return the folder."""
    place = estate.folder / "bare"
    place.mkdir(mode=0o700)
    leaf = estate.workspace.broker_identity(now=datetime.now(UTC))
    (place / "cert").write_bytes(leaf.certificate_pem)
    with leaf.key_pem.reveal() as raw:
        (place / "key").write_bytes(raw)
    return place


def be_gramine_server(folder: Path) -> int:
    """Be the floor's server of Gramine's port: accept, one mutual handshake, close; nothing else."""
    context = server_context((folder / "cert").read_bytes(), Secret((folder / "key").read_bytes()))

    def handshake(raw: socket.socket) -> None:
        connection = SSL.Connection(context, raw)
        connection.set_accept_state()
        with suppress(SSL.Error):
            connection.do_handshake()

    return _serve(handshake)


def be_kbs_server(folder: Path) -> int:
    """Be the floor's server of the KBS port: accept, one handshake, close; nothing else."""
    context = tls_context((folder / "cert").read_bytes(), Secret((folder / "key").read_bytes()))

    def handshake(raw: socket.socket) -> None:
        with suppress(OSError):
            context.wrap_socket(raw, server_side=True).close()

    return _serve(handshake)


def _serve(handshake: Callable[[socket.socket], None]) -> int:
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        print(f"ready:{listener.getsockname()[1]}", flush=True)
        while True:
            raw, _ = listener.accept()
            with raw:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                handshake(raw)


def handshakes(server: int, port: int, replicas: Sequence[Replica], at_once: int) -> float:
    """Return the server's CPU seconds of one mutual TLS handshake on Gramine's port."""
    before = cpu_s(server)
    asyncio.run(several(port, replicas, at_once, handshake_only))
    return (cpu_s(server) - before) / len(replicas)


def kbs_handshakes(server: int, port: int, ca_pem: bytes, count: int, at_once: int) -> float:
    """Return the server's CPU seconds of one TLS handshake on the KBS port."""
    context = ssl.create_default_context(cadata=ca_pem.decode("ascii"))

    def one(_: int) -> None:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            connection.recv(1)

    before = cpu_s(server)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(count)))
    return (cpu_s(server) - before) / count


def verifications() -> float:
    """Return the CPU seconds of two P-256 verifications, as the verifier makes them."""
    key, message = ec.generate_private_key(ec.SECP256R1()), os.urandom(432)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
    assert signed_der(point, signature, message)
    return 2 * _each(lambda: signed_der(point, signature, message))


def p384_verification() -> float:
    """Return the CPU seconds of one P-384 verification: that of a Gramine client's certificate over itself."""
    key, message = ec.generate_private_key(ec.SECP384R1()), os.urandom(10_000)
    public, signature = key.public_key(), key.sign(message, ec.ECDSA(hashes.SHA256()))
    return _each(lambda: public.verify(signature, message, ec.ECDSA(hashes.SHA256())))


def token_and_envelope() -> float:
    """Return the CPU seconds of one P-256 signature and one P-256 key agreement, its key made for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    peer, message = ec.generate_private_key(ec.SECP256R1()).public_key(), os.urandom(1024)

    def both() -> None:
        key.sign(message, ec.ECDSA(hashes.SHA256()))
        ec.generate_private_key(ec.SECP256R1()).exchange(ec.ECDH(), peer)

    return _each(both)


def _each(action: Callable[[], object]) -> float:
    action()
    before = time.process_time()
    for _ in range(_ONES):
        action()
    return (time.process_time() - before) / _ONES


class Writes:
    """A store of its own, with a ledger like the broker's."""

    def __init__(self, estate: Estate, name: str = "alone") -> None:
        place = estate.folder / name
        place.mkdir(mode=0o700)
        self._store = open_store(place / "broker.db")
        self._ledger = Ledger(
            self._store, Keyring(self._store, LocalRoot(new_root_key(), "of the bench")).signing_key()
        )
        self._record = last_decision(estate)

    def measure(self) -> float:
        """Return the CPU seconds of one durable ledger write, with nothing else in its transaction."""
        return _each(lambda: self._store.write(lambda tx: self._ledger.append(tx, self._record)))

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def last_decision(estate: Estate) -> dict[str, object]:
    """Return what the broker wrote last of a decision, without its place in the ledger."""
    with closing(open_keyring(estate.workspace)) as keyring, closing(keyring.store) as store:
        decisions = [each for each in Ledger(store, keyring.signing_key()).entries() if each["kind"] == "decision"]
    return {name: value for name, value in decisions[-1].items() if name not in {"seq", "time", "prev"}}
