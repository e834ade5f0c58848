"""The broker: releases per second, CPU per release, and whether 200 idle connections delay anybody (threat FB-16).

Broker and clients share this machine's cores, and each client makes a key, two quotes and a certificate per release,
as a replica does. Gramine's own server was measured at about 9 clients per second, and one idle connection stops it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness import Report, percentile
from strongroom.attestation import TrustDomain
from strongroom.broker import provision
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.edit import add_rules
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret
from strongroom.workspace import Workspace

IDLE = 200
CLIENTS = 4
RELEASES = 400
ROUNDS = 6
PER_ROUND = 60
MODEL = "model/bench/1"
ENCLAVE = b"\xe1" * 32


@dataclass(frozen=True)
class Broker:
    """A broker process, and what a client needs to ask it."""

    process: subprocess.Popen[str]
    port: int
    ca_pem: bytes
    world: World

    def release(self) -> float:
        """Get the secret once, as a replica of the trusted build; return the seconds it took."""
        enclave = self.world.quoting_enclave()  # one per launched program, so not part of what is measured
        identity = EnclaveIdentity(mr_enclave=ENCLAVE, mr_signer=self.world.mr_signer, isv_prod_id=1, isv_svn=1)

        class Replica:
            def quote(self, report_data: bytes) -> bytes:
                return enclave.quote(identity, report_data)

        start = time.perf_counter()
        provision("localhost", self.port, ca_pem=self.ca_pem, platform=Replica())
        return time.perf_counter() - start

    def cpu_s(self) -> float:
        """Return the CPU seconds that the broker has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Make a workspace and a simulated platform, and run a broker on them."""
    now = datetime.now(UTC)
    workspace, world = Workspace.create(folder / "workspace", now=now), World.create(folder / "world", now=now)
    workspace.secrets.put(MODEL, Secret(os.urandom(16)))
    (workspace.anchors_folder / "simulated.der").write_bytes(world.root_der)
    (workspace.collateral_folder / f"{world.fmspc}.json").write_text(world.collateral(now).to_json(), encoding="utf-8")
    rule = policy_text.strict_rule("bench", release=MODEL, mrenclave=ENCLAVE, trust_domains=[TrustDomain.SIMULATED])
    add_rules(workspace.policy_path, [rule])
    command = [sys.executable, "-m", "strongroom", "broker", "serve", "--port", "0", "--deadline", "600"]
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([*command, "--workspace", str(workspace.folder)], stdout=subprocess.PIPE,
                                   stderr=log, text=True)  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        yield Broker(process, port, workspace.ca_certificate_pem, world)
    finally:
        process.terminate()
        process.communicate(timeout=60)


@contextmanager
def idle_connections(port: int) -> Iterator[None]:
    """Hold connections open that say nothing."""
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        yield


def latencies(broker: Broker) -> tuple[list[float], list[float]]:
    """Return seconds per release without and with idle connections, measured in turns."""
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone += [broker.release() for _ in range(PER_ROUND)]
        with idle_connections(broker.port):
            beside += [broker.release() for _ in range(PER_ROUND)]
    return alone, beside


def main() -> int:
    """Run the bench."""
    report = Report("broker", command="python bench/broker.py")
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder)) as broker:
        for _ in range(20):
            broker.release()
        before, start = broker.cpu_s(), time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda _: broker.release(), range(RELEASES)))
        wall = time.perf_counter() - start
        report.add(f"releases, {CLIENTS} clients at a time", RELEASES / wall, "1/s", target=">= 45")
        report.add("broker's CPU per release", (broker.cpu_s() - before) / RELEASES * 1000, "ms")
        alone, beside = latencies(broker)
    report.add("release, median", percentile(alone, 0.5) * 1000, "ms")
    report.add("release, p99", percentile(alone, 0.99) * 1000, "ms")
    report.add(f"release, median, beside {IDLE} idle connections", percentile(beside, 0.5) * 1000, "ms")
    report.add(f"release, p99, beside {IDLE} idle connections", percentile(beside, 0.99) * 1000, "ms")
    ratio = percentile(beside, 0.99) / percentile(alone, 0.99)
    report.add(f"p99 beside {IDLE} idle connections, over p99 alone", ratio, "ratio", target="<= 3")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
