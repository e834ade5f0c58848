"""How many replicas the broker admits, what one admission costs beside its floor, and whether bad neighbours delay it.

    python bench/broker_admissions.py --replicas 1000

A thousand simulated replicas ask at once, one in five of them a wrong one (debug enclave, other measurement, forged
quote, another key's quote); every answer is checked. The cost is the broker process's own CPU, without that of the
clients, beside what cannot be saved: one mutual TLS handshake (a bare pyOpenSSL server with the same certificates),
two P-256 verifications and one durable ledger write, each measured alone in this run. Then 500 connections that idle
or send one byte a second stand beside a steady load. Gramine's own server, which one idle client stops, is the peer.
Broker and clients share this machine's cores, so admissions per second are of both together.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from harness import Report, percentile
from strongroom.attestation import TrustDomain
from strongroom.attestation.signatures import signed_der
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.opening import open_keyring
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.edit import add_rules
from strongroom.broker.store.opening import open_store
from strongroom.broker.tls import MAX_HANDSHAKE_BYTES, TlsFailed, TlsPeer, client_context, server_context
from strongroom.gramine import provisioning
from strongroom.pki import ratls
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret
from strongroom.workspace import Workspace

MODEL = "model/bench/1"
ENCLAVE = b"\xe1" * 32
WRONG_SHARE = 5  # one replica of so many is a wrong one
WARM = 600
WARM_AT_ONCE = 16
NEIGHBOURS = 500
PACED = 300
PER_SECOND = 60
ROUNDS = 3
SINGLES = 400
_RAW_BYTES = 64 * 1024


@dataclass(frozen=True)
class Replica:
    """One client: what it presents, and whether it should get the secret."""

    context: SSL.Context
    good: bool


class Estate:
    """A workspace, a simulated platform, and the replicas on it."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)
        self.folder = folder
        self.workspace = Workspace.create(folder / "workspace", now=now)
        self.world = World.create(folder / "world", now=now)
        self.key = os.urandom(16)
        self.workspace.secrets.put(MODEL, Secret(self.key))
        (self.workspace.anchors_folder / "simulated.der").write_bytes(self.world.root_der)
        collateral = self.world.collateral(now).to_json()
        (self.workspace.collateral_folder / f"{self.world.fmspc}.json").write_text(collateral, encoding="utf-8")
        rule = policy_text.strict_rule("bench", release=MODEL, mrenclave=ENCLAVE, trust_domains=[TrustDomain.SIMULATED])
        add_rules(self.workspace.policy_path, [rule])

    def replicas(self, count: int, *, wrong: bool = False) -> list[Replica]:
        """Return replicas with keys, quoting enclaves and certificates of their own; with `wrong` ones among them."""
        kinds = [self._debug, self._other, self._forged, self._of_another_key]
        return [
            self._replica(kinds[number // WRONG_SHARE % len(kinds)], good=False)
            if wrong and number % WRONG_SHARE == 0
            else self._replica(self._good, good=True)
            for number in range(count)
        ]

    def _replica(self, quoting: Callable[[], Callable[[bytes], bytes]], *, good: bool) -> Replica:
        key, now = ratls.generate_key(), datetime.now(UTC)
        certificate = ratls.make_certificate(
            key, quoting(), not_before=now - ratls.SKEW, not_after=now + ratls.DEFAULT_LIFETIME
        )
        return Replica(client_context(certificate, key, check=lambda _: None), good)

    def _quoting(self, **changes: object) -> Callable[[bytes], bytes]:
        fields = {"mr_enclave": ENCLAVE, "mr_signer": self.world.mr_signer, "isv_prod_id": 1, "isv_svn": 1, **changes}
        identity, enclave = EnclaveIdentity(**fields), self.world.quoting_enclave()  # type: ignore[arg-type]  # by name
        return lambda report_data: enclave.quote(identity, report_data)

    def _good(self) -> Callable[[bytes], bytes]:
        return self._quoting()

    def _debug(self) -> Callable[[bytes], bytes]:
        return self._quoting(debug=True)

    def _other(self) -> Callable[[bytes], bytes]:
        return self._quoting(mr_enclave=b"\x0f" * 32)

    def _forged(self) -> Callable[[bytes], bytes]:
        quote = self._quoting(mr_enclave=b"\x0f" * 32)

        def forged(report_data: bytes) -> bytes:
            made = bytearray(quote(report_data))
            made[112:144] = ENCLAVE
            return bytes(made)

        return forged

    def _of_another_key(self) -> Callable[[bytes], bytes]:
        quote = self._quoting()
        return lambda report_data: quote(bytes(byte ^ 1 for byte in report_data[:32]) + bytes(32))


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


@contextmanager
def process(*words: str, log: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server; yield it with the port that it prints."""
    with log.open("a", encoding="utf-8") as file:
        started = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
        yield started, int(line.rpartition(":")[2])
    finally:
        started.terminate()
        started.communicate(timeout=60)


@dataclass(slots=True)
class Answer:
    """What one replica got, and when it asked and got it (seconds)."""

    replica: Replica
    secret: bytes | None
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """From connecting to the end."""
        return self.ended - self.began


async def ask(port: int, replica: Replica) -> Answer:
    """Ask once, as a replica does; None for the secret where the broker closed."""
    began = time.perf_counter()
    tls = TlsPeer(replica.context, server=False, name="localhost", max_bytes=MAX_HANDSHAKE_BYTES + _RAW_BYTES)
    protocol = provisioning.Client()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return Answer(replica, await _dialogue(tls, protocol, reader, writer), began, time.perf_counter())
    except (TlsFailed, OSError, EOFError):
        return Answer(replica, None, began, time.perf_counter())
    finally:
        writer.close()


async def _dialogue(
    tls: TlsPeer, protocol: provisioning.Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    async def receive() -> None:
        writer.write(tls.outgoing())
        data = await reader.read(_RAW_BYTES)
        if not data:
            raise EOFError
        tls.feed(data)

    while not tls.handshake():
        await receive()
    tls.write(protocol.request())
    while True:
        data = tls.read()
        if data is None:
            await receive()
        elif not data:
            raise EOFError
        else:
            for event in protocol.receive(data):
                with event.secret.reveal() as raw:
                    return bytes(raw)


async def storm(port: int, replicas: Sequence[Replica]) -> list[Answer]:
    """Let all ask at once."""
    return list(await asyncio.gather(*(ask(port, each) for each in replicas)))


Asking = Callable[[int, Replica], Coroutine[None, None, Answer]]


async def several(port: int, replicas: Sequence[Replica], at_once: int, asking: Asking = ask) -> list[Answer]:
    """Let them ask, so many at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(replica: Replica) -> Answer:
        async with free:
            return await asking(port, replica)

    return list(await asyncio.gather(*(one(each) for each in replicas)))


async def paced(port: int, replicas: Sequence[Replica]) -> list[Answer]:
    """Let them ask at a steady rate, whoever is still waiting."""
    start, tasks = time.perf_counter(), []
    for number, replica in enumerate(replicas):
        await asyncio.sleep(max(0.0, start + number / PER_SECOND - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(port, replica)))
    return list(await asyncio.gather(*tasks))


@contextmanager
def neighbours(port: int, log: Path) -> Iterator[None]:
    """Hold connections open from another process: half of them idle, half send one byte a second."""
    with process(__file__, "--neighbours", str(port), log=log):
        yield


def be_neighbours(port: int) -> int:
    """Be the process of `neighbours`."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512)
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(NEIGHBOURS)]
    print(f"ready:{port}", flush=True)
    for byte in hello:
        for each in opened[::2]:
            with suppress(OSError):
                each.send(bytes([byte]))
        time.sleep(1)
    return 0


def bare_server(folder: Path) -> int:
    """Be the floor's server: accept, one mutual handshake, close; nothing else."""
    context = server_context((folder / "cert").read_bytes(), Secret((folder / "key").read_bytes()))
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        print(f"ready:{listener.getsockname()[1]}", flush=True)
        while True:
            raw, _ = listener.accept()
            with raw:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = SSL.Connection(context, raw)
                connection.set_accept_state()
                with suppress(SSL.Error):
                    connection.do_handshake()


async def handshake_only(port: int, replica: Replica) -> Answer:
    """Make one handshake with the floor's server."""
    began = time.perf_counter()
    tls = TlsPeer(replica.context, server=False, name="localhost", max_bytes=MAX_HANDSHAKE_BYTES)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while not tls.handshake():
            writer.write(tls.outgoing())
            tls.feed(await reader.read(_RAW_BYTES))
        await reader.read()  # until it has closed
    except ConnectionError:
        pass
    finally:
        writer.close()
    return Answer(replica, None, began, time.perf_counter())


def floor_of_handshakes(estate: Estate, replicas: Sequence[Replica]) -> float:
    """Return the server's CPU seconds of one mutual TLS handshake."""
    place = estate.folder / "bare"
    place.mkdir(mode=0o700)
    leaf = estate.workspace.broker_identity(now=datetime.now(UTC))
    (place / "cert").write_bytes(leaf.certificate_pem)
    with leaf.key_pem.reveal() as raw:
        (place / "key").write_bytes(raw)
    with process(__file__, "--bare", str(place), log=estate.folder / "log") as (server, port):
        asyncio.run(several(port, replicas[:20], WARM_AT_ONCE, handshake_only))
        before = cpu_s(server.pid)
        asyncio.run(several(port, replicas, WARM_AT_ONCE, handshake_only))
        return (cpu_s(server.pid) - before) / len(replicas)


def floor_of_verifications() -> float:
    """Return the CPU seconds of two P-256 verifications, as the verifier makes them."""
    key, message = ec.generate_private_key(ec.SECP256R1()), os.urandom(432)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
    assert signed_der(point, signature, message)
    before = time.process_time()
    for _ in range(2 * SINGLES):
        signed_der(point, signature, message)
    return (time.process_time() - before) / SINGLES


def floor_of_writes(estate: Estate, record: dict[str, object]) -> float:
    """Return the CPU seconds of one durable ledger write, with nothing else in its transaction."""
    place = estate.folder / "alone"
    place.mkdir(mode=0o700)
    with closing(open_store(place / "broker.db")) as store:
        ledger = Ledger(store, Keyring(store, LocalRoot(new_root_key(), "of the bench")).signing_key())
        for _ in range(20):
            store.write(lambda tx: ledger.append(tx, record))
        before = time.process_time()
        for _ in range(SINGLES):
            store.write(lambda tx: ledger.append(tx, record))
        return (time.process_time() - before) / SINGLES


def report_storm(report: Report, estate: Estate, answers: Sequence[Answer]) -> None:
    """Check every answer of the storm and add its numbers."""
    good = [each for each in answers if each.replica.good]
    served = sum(each.secret == estate.key for each in good)
    leaked = sum(each.secret is not None for each in answers if not each.replica.good)
    wall = max(each.ended for each in answers) - min(each.began for each in answers)
    report.add(f"right ones of {len(good)} that got their key", served, "replicas", target=f"== {len(good)}")
    report.add(f"wrong ones of {len(answers) - len(good)} that got one", leaked, "replicas", target="== 0")
    report.add("connect to key, all at once, median", percentile([each.seconds for each in good], 0.5) * 1000, "ms")
    report.add("connect to key, all at once, p99", percentile([each.seconds for each in good], 0.99) * 1000, "ms")
    report.add("admissions and refusals, all at once", len(answers) / wall, "1/s")


def report_floor(report: Report, estate: Estate, replicas: Sequence[Replica], warm_s: float) -> None:
    """Measure the floor's parts alone and compare."""
    with closing(open_keyring(estate.workspace)) as keyring, closing(keyring.store) as store:
        decisions = [each for each in Ledger(store, keyring.signing_key()).entries() if each["kind"] == "decision"]
    record = {name: value for name, value in decisions[-1].items() if name not in {"seq", "time", "prev"}}
    parts = {
        "one mutual TLS handshake": floor_of_handshakes(estate, replicas),
        "two P-256 verifications": floor_of_verifications(),
        "one durable ledger write": floor_of_writes(estate, record),
    }
    for name, seconds in parts.items():
        report.add(f"floor: {name}, CPU", seconds * 1000, "ms")
    floor = sum(parts.values())
    report.add("floor, CPU", floor * 1000, "ms")
    report.add("warm admission, the broker's CPU", warm_s * 1000, "ms")
    report.add("warm admission, over the floor", warm_s / floor, "ratio", target="<= 2")


def report_neighbours(report: Report, port: int, replicas: Sequence[Replica], log: Path) -> None:
    """Compare the waiting at a steady rate without and with bad neighbours, in turns."""
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(ROUNDS):
        alone += [each.seconds for each in asyncio.run(paced(port, replicas)) if each.secret]
        with neighbours(port, log):
            beside += [each.seconds for each in asyncio.run(paced(port, replicas)) if each.secret]
    what = f"connect to key, {PER_SECOND} a second"
    report.add(f"{what}, median", percentile(alone, 0.5) * 1000, "ms")
    report.add(f"{what}, p99", percentile(alone, 0.99) * 1000, "ms")
    report.add(f"{what}, p99, beside {NEIGHBOURS} idle or slow ones", percentile(beside, 0.99) * 1000, "ms")
    ratio = percentile(beside, 0.99) / percentile(alone, 0.99)
    report.add(f"p99 beside {NEIGHBOURS} idle or slow ones, over p99 alone", ratio, "ratio", target="< 2")
    served = len(alone) + len(beside)
    report.add("of these, replicas that got their key", served, "replicas", target=f"== {2 * ROUNDS * len(replicas)}")


def bench(count: int, *, quick: bool) -> int:
    """Run it all."""
    report = Report("broker_admissions", command=f"python bench/broker_admissions.py --replicas {count}")
    with tempfile.TemporaryDirectory() as name:
        estate = Estate(Path(name))
        log = estate.folder / "log"
        asking, warm = estate.replicas(count, wrong=True), estate.replicas(max(WARM, PACED))
        words = ("-m", "strongroom", "broker", "serve", "--port", "0", "--deadline", "120")
        with process(*words, "--workspace", str(estate.workspace.folder), log=log) as (server, port):
            asyncio.run(several(port, warm[:50], WARM_AT_ONCE))
            before = cpu_s(server.pid)
            answers = asyncio.run(storm(port, asking))
            report_storm(report, estate, answers)
            report.add("all at once, the broker's CPU each", (cpu_s(server.pid) - before) / count * 1000, "ms")
            before = cpu_s(server.pid)
            served = asyncio.run(several(port, warm[:WARM], WARM_AT_ONCE))
            warm_s = (cpu_s(server.pid) - before) / WARM
            assert all(each.secret == estate.key for each in served)
            if not quick:
                report_neighbours(report, port, warm[:PACED], log)
        report_floor(report, estate, warm, warm_s)
    return report.finish()


def main() -> int:
    """Run the bench, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=1000, help="how many ask at once (default: 1000)")
    parser.add_argument("--quick", action="store_true", help="leave the neighbours out")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--neighbours", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        return bare_server(args.bare)
    if args.neighbours:
        return be_neighbours(args.neighbours)
    return bench(args.replicas, quick=args.quick)


if __name__ == "__main__":
    sys.exit(main())
