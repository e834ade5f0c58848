"""Three brokers on one PostgreSQL, each behind a wire of its own, and their collateral behind another.

World: processes and files in one folder. Each broker has a workspace of its own, as on a machine of its own: the same
root key and CA, another collateral cache. What ends although nobody ended it is started again, as a service manager
would, and remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import database
from load import Platform, Target
from wire import Wire

from strongroom.broker.ledger.chain import Head
from strongroom.broker.names import SecretName
from strongroom.broker.opening import opened_workspace
from strongroom.errors import StrongroomError
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.ports import free_ports
from strongroom.secret import Secret
from strongroom.workspace import Workspace

SECRET_NAME: Final = "model/m/1"  # noqa: S105  # a name
MAX_LEASES, LEASE_S = 4, 10  # of the rule "narrow"
START_S: Final = 60.0
STOP_S: Final = 40.0  # more than all that a broker waits for before it ends
DISK_MIB: Final = 112
HERE: Final = Path(__file__).resolve().parent


@dataclass
class Broker:
    """One broker process and its ports."""

    number: int
    folder: Path
    workspace: Path
    ports: tuple[int, int]
    wire: Wire  # to the database
    process: subprocess.Popen[bytes] | None = None
    was_ready: bool = False
    exits: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)  # two faults may happen at once

    @property
    def cache(self) -> Path:
        """Where it keeps collateral."""
        return self.workspace / "collateral-cache"

    @property
    def offset(self) -> Path:
        """The file that moves its clock."""
        return self.folder / f"clock-{self.number}"

    @property
    def _ready(self) -> Path:
        return self.folder / f"ready-{self.number}"

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / f"broker-{self.number}.log"

    def launch(self) -> None:
        """Start the process."""
        self._ready.unlink(missing_ok=True)
        self.was_ready = False
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "shifted_broker.py"), str(self.offset), "broker", "serve",
                 "--workspace", str(self.workspace), "--port", str(self.ports[0]), "--kbs-port", str(self.ports[1]),
                 "--ready-file", str(self._ready)],
                stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip

    def ready(self) -> bool:
        """Return whether it listens."""
        self.was_ready = self.was_ready or (self.ended() is None and self._ready.exists())
        return self.was_ready and self.ended() is None

    def ended(self) -> int | None:
        """Return its exit status, None while it runs."""
        return None if self.process is None else self.process.poll()

    def end(self, how: signal.Signals) -> None:
        """End the process and wait for it."""
        with self.lock:
            process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.exits.append(f"broker {self.number} does not end; its log says where it is")
                process.send_signal(signal.SIGUSR1)
                time.sleep(1)
                process.kill()
                process.wait(STOP_S)

    def look_after(self) -> None:
        """Start it again if it ended by itself, and remember that, unless it had not even begun to listen."""
        with self.lock:
            if self.process is not None and self.ended() is not None:
                if self.was_ready:
                    self.exits.append(f"broker {self.number} ended with {self.ended()}")
                self.launch()
            self.ready()

    def wait_ready(self) -> None:
        """Wait until it listens. Raises TimeoutError."""
        deadline = time.monotonic() + START_S
        while not self.ready():
            self.look_after()
            if time.monotonic() > deadline:
                raise TimeoutError(f"broker {self.number} does not start: {self.log.read_text()[-800:]}")
            time.sleep(0.02)


@dataclass
class Cluster:
    """Everything that runs, in a folder of its own."""

    folder: Path
    count: int = 3
    heads: list[Head] = field(default_factory=list)
    roots: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.key = secrets.token_bytes(16)
        self.digest = hashlib.sha256(self.key).hexdigest()
        self.world = World.create(self.folder / "world", now=datetime.now(UTC))
        self.foreign = World.create(self.folder / "foreign", now=datetime.now(UTC))
        self.good, self.doomed, self.narrow, self.unknown = (
            EnclaveIdentity(mr_enclave=bytes([number]) * 32, mr_signer=b"\x51" * 32, isv_prod_id=1, isv_svn=1)
            for number in (0xE1, 0xD0, 0x4A, 0x66)
        )

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        disk = self._stack.enter_context(small_disk(self.folder / "disk"))
        self.disk = disk
        self.server = self._stack.enter_context(database.Server(data=disk))
        self.database = self.server.new_database()
        self.wire = self._collateral()
        self.owner = self._workspace()
        with opened_workspace(self.owner):  # makes the tables and takes keys and policy in
            pass
        ports = free_ports(2 * self.count)
        self.brokers = [
            self._broker(number, (ports[2 * number], ports[2 * number + 1])) for number in range(self.count)
        ]
        self._stack.callback(self._end_brokers)
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready()

    def _broker(self, number: int, ports: tuple[int, int]) -> Broker:
        wire = Wire(self.server.port)
        self._stack.callback(wire.close)
        folder = self.folder / f"workspace-{number}"
        shutil.copytree(self.owner.folder, folder)
        settings = folder / "strongroom.toml"
        mine = self.database.url_through(wire.port)
        settings.write_text(settings.read_text(encoding="utf-8").replace(self.database.url, mine), encoding="utf-8")
        return Broker(number, self.folder, folder, ports, wire)

    def _collateral(self) -> Wire:
        port_file = self.folder / "pccs"
        with (self.folder / "pccs.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "strongroom", "pccs", "serve", "--world", str(self.folder / "world"), "--port",
                 "0", "--beside-real-tee", "--ready-file", str(port_file)],
                stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip

        def end() -> None:
            process.kill()
            process.wait(START_S)

        self._stack.callback(end)
        wait_for(port_file.exists, "the collateral server")
        wire = Wire(int(port_file.read_text().rpartition(":")[2]))
        self._stack.callback(wire.close)
        return wire

    def _workspace(self) -> Workspace:
        folder = self.folder / "workspace"
        owner = Workspace.create(folder, now=datetime.now(UTC))
        settings = folder / "strongroom.toml"
        text = settings.read_text(encoding="utf-8").replace("[broker]\n", f'[broker]\nstore = "{self.database.url}"\n')
        source = f"http://127.0.0.1:{self.wire.port}/sgx/certification/v4/"
        settings.write_text(f'{text}\n[collateral]\nsources = ["{source}"]\n', encoding="utf-8")
        owner.anchors_folder.mkdir(parents=True, exist_ok=True)
        (owner.anchors_folder / "simulated.der").write_bytes(self.world.root_der)
        owner.secrets.put(SECRET_NAME, Secret(self.key))
        rules = [
            f'[[rule]]\nname = "{name}"\nmrenclave = "{identity.mr_enclave.hex()}"\ntrust_domains = ["simulated"]\n'
            f'release = "{SECRET_NAME}"\n{more}'
            for name, identity, more in (
                ("good", self.good, ""),
                ("doomed", self.doomed, ""),
                ("narrow", self.narrow, f"max_leases = {MAX_LEASES}\nlease_seconds = {LEASE_S}\n"),
            )
        ]
        owner.policy_path.write_text("version = 1\n" + "".join(rules), encoding="utf-8")
        return Workspace.open(folder)

    def target(self) -> Target:
        """Return what clients need to know."""
        return Target([broker.ports for broker in self.brokers], self.owner.ca_certificate_pem,
                      SecretName.parse(SECRET_NAME))  # fmt: skip

    def platform(self, identity: EnclaveIdentity, *, foreign: bool = False) -> Platform:
        """Return a replica's platform."""
        return Platform(self.foreign if foreign else self.world, identity)

    @property
    def no_disk(self) -> str:
        """Why the database has no small disk of its own."""
        return "only root may mount one" if os.geteuid() else "this machine does not let root mount one"

    @property
    def exits(self) -> list[str]:
        """Brokers that ended although nobody ended them."""
        return [each for broker in self.brokers for each in broker.exits]

    def look_after(self) -> None:
        """Start what ended by itself, and remember it; note where the ledger ends."""
        for broker in self.brokers:
            broker.look_after()
        self.note_head()

    def note_head(self) -> None:
        """Remember where the ledger ends now, and the newest signed root, if the database answers."""
        with contextlib.suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
            for line in self._ask(
                "SELECT 'head', seq, digest FROM ledger_head UNION ALL (SELECT 'root', size, encode(root, 'hex')"
                " FROM ledger_roots ORDER BY size DESC LIMIT 3)"
            ):
                what, number, digest = line.split("|")
                if what == "head":
                    self.heads.append(Head(int(number), digest))
                else:
                    self.roots.append((int(number), digest))

    def lingering(self, identity: EnclaveIdentity) -> list[str]:
        """Return the leases of a measurement that are live."""
        return self._ask(
            f"SELECT id FROM leases WHERE measurement = '{identity.mr_enclave.hex()}'"  # noqa: S608  # hex of our own
            " AND expires_ms > extract(epoch FROM now()) * 1000"
        )

    def _ask(self, sql: str) -> list[str]:
        return self.server.psql(sql, database=self.database.name).splitlines()

    def revoke(self, identity: EnclaveIdentity) -> int:
        """Revoke a measurement as an owner does; return the ledger line behind which it gets nothing."""
        done = subprocess.run(
            [sys.executable, "-m", "strongroom", "broker", "revoke", "measurement", identity.mr_enclave.hex(),
             "--reason", "chaos", "--workspace", str(self.owner.folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"broker revoke: {done.stderr[-500:]}")
        self.note_head()
        return self.heads[-1].seq

    def lines(self) -> tuple[list[bytes], list[str]]:
        """Return the ledger as it is now, and what the product's own check of all of it finds."""
        faulty = []
        with opened_workspace(self.owner) as found:
            try:
                found.ledger.verify()
            except StrongroomError as problem:
                faulty.append(f"{problem.sentence} [{problem.code}]")
            return [line for _, line in found.ledger.lines()], faulty

    def _end_brokers(self) -> None:
        for broker in self.brokers:
            broker.end(signal.SIGKILL)  # also one that is stopped


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path | None]:
    """Lend a folder on a disk of DISK_MIB: a tmpfs, for which one has to be root; None where that cannot be had."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0755", "strongroom-chaos", str(place)]
    if os.geteuid() != 0 or subprocess.run(words, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        for parent in place.parents:  # the server runs as somebody else, who has to get there
            if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def fill(place: Path) -> Path:
    """Write until the disk is full; return the file to remove."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536) if shutil.disk_usage(place).free > 65536 else bytes(1024))
    return ballast


def limit_files(server: database.Server, limit: str) -> None:
    """Let no process of the server write behind `limit` bytes of any file: a full disk for who cannot make one."""
    for pid in server.family():
        words = ["prlimit", f"--pid={pid}", f"--fsize={limit}:"]
        done = subprocess.run(words, check=False, capture_output=True, text=True, user=server.user)
        if done.returncode and database.is_alive(pid):  # not only too late
            raise RuntimeError(f"prlimit: {done.stderr.strip()}")


def kill(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process of the server, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    deadline = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} does not start")
        time.sleep(0.02)
