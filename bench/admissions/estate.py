"""A workspace with a simulated platform, and replicas on it, right ones and wrong ones; the processes of the bench."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from strongroom.attestation import TrustDomain
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.edit import add_rules
from strongroom.broker.tls import client_context
from strongroom.pki import ratls
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret
from strongroom.workspace import Workspace

MODEL = "model/bench/1"
ENCLAVE = b"\xe1" * 32
WRONG_SHARE = 5  # one replica of so many is a wrong one


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

    def seen(self, count: int) -> list[Replica]:
        """Return replicas with P-256 keys on a machine whose quoting enclave was seen before: a scale-up there."""
        identity, enclave = self._identity(), self.world.quoting_enclave()
        return [
            self._replica(
                lambda: lambda report_data: enclave.quote(identity, report_data),
                good=True,
                key=ec.generate_private_key(ec.SECP256R1()),
            )
            for _ in range(count)
        ]

    def _replica(
        self,
        quoting: Callable[[], Callable[[bytes], bytes]],
        *,
        good: bool,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Replica:
        key, now = key or ratls.generate_key(), datetime.now(UTC)
        certificate = ratls.make_certificate(
            key, quoting(), not_before=now - ratls.SKEW, not_after=now + ratls.DEFAULT_LIFETIME
        )
        return Replica(client_context(certificate, key, check=lambda _: None), good)

    def platform(self) -> Platform:
        """Return the platform of one right replica, for clients that quote themselves."""
        return Platform(self._good())

    def _quoting(self, **changes: object) -> Callable[[bytes], bytes]:
        identity, enclave = self._identity(**changes), self.world.quoting_enclave()
        return lambda report_data: enclave.quote(identity, report_data)

    def _identity(self, **changes: object) -> EnclaveIdentity:
        fields = {"mr_enclave": ENCLAVE, "mr_signer": self.world.mr_signer, "isv_prod_id": 1, "isv_svn": 1, **changes}
        return EnclaveIdentity(**fields)  # type: ignore[arg-type]  # by name

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


@dataclass(frozen=True)
class Platform:
    """A replica's own platform, as clients of the broker use it."""

    quote: Callable[[bytes], bytes]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


@contextmanager
def process(*words: str, log: Path, ports: int = 1) -> Iterator[tuple[int, list[int]]]:
    """Run a server; yield its process id and the ports that it prints, one a line."""
    with log.open("a", encoding="utf-8") as file:
        started = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert started.stdout is not None
        found = [re.search(r":(\d+)", started.stdout.readline()) for _ in range(ports)]
        if None in found:
            raise SystemExit(f"the server did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
        yield started.pid, [int(each[1]) for each in found if each]
    finally:
        started.terminate()
        started.communicate(timeout=60)
