"""What is done to a cluster, and undone: to one broker, or to what all brokers need. World: signals, files, time.

Each kind takes how long the trouble lasts, and chance; it returns the broker that it befell, None for all. There are
two sorts, and one of each may happen at once. What befalls the world is done by the thread that runs the cluster.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from typing import Final

import cluster as clusters
from checker import CLOCK
from cluster import Broker, Cluster

LIMIT_BYTES: Final = "8192"  # of a file, where the disk cannot be made small
AHEAD_S: Final = (-31_536_000.0, -3600.0, -40.0, 40.0, 3600.0, 31_536_000.0)
LONG_S: Final = 20.0  # longer than a lease of the narrow rule, and than the database waits for who holds its lock
SHOWN_S, HIDDEN_S = 0.04, 0.2  # of the database's processes, while its machine is slow

Kind = Callable[[float, random.Random], int | None]


class Faults:
    """All kinds by name."""

    def __init__(self, cluster: Cluster, *, long: bool) -> None:
        """`long`: broker trouble may last longer than every timeout; else all of it is short."""
        self._cluster = cluster
        self._long = long
        self.broker: dict[str, Kind] = {
            "kill": self.kill, CLOCK: self.clock, "cold": self.cold, "pause": self.pause, "partition": self.partition,
        }  # fmt: skip
        self.world: dict[str, Kind] = {
            "database": self.database, "crash": self.crash, "disk": self.disk, "slow": self.slow,
            "collateral": self.collateral,
        }  # fmt: skip

    def kill(self, seconds: float, chance: random.Random) -> int:
        """Kill a broker; start it again later."""
        broker = self._one(chance)
        broker.end(signal.SIGKILL)
        time.sleep(seconds)
        return self._back(broker)

    def clock(self, seconds: float, chance: random.Random) -> int:
        """Let a broker's clock jump, forward or back; set it right and restart the broker, as its error says."""
        broker = self._one(chance)
        draft = broker.offset.with_suffix(".draft")
        draft.write_text(str(chance.choice(AHEAD_S)), encoding="ascii")
        draft.replace(broker.offset)
        time.sleep(seconds + 1)
        broker.end(signal.SIGTERM)
        broker.offset.unlink()
        return self._back(broker)

    def cold(self, seconds: float, chance: random.Random) -> int:
        """Restart a broker that has no collateral while its source does not answer."""
        broker = self._one(chance)
        self._cluster.wire.stall()
        broker.end(signal.SIGKILL)
        shutil.rmtree(broker.cache, ignore_errors=True)
        self._back(broker)
        time.sleep(seconds)
        self._cluster.wire.flow()
        return broker.number

    def pause(self, seconds: float, chance: random.Random) -> int:
        """Stop a broker's process in the middle of whatever it does, and let it go on."""
        broker = self._one(chance)
        process = broker.process
        if process is not None:
            process.send_signal(signal.SIGSTOP)
            time.sleep(self._perhaps_long(seconds, chance))
            process.send_signal(signal.SIGCONT)
        return broker.number

    def partition(self, seconds: float, chance: random.Random) -> int:
        """Let nothing pass between a broker and the database; then break what they had, and let them meet again."""
        broker = self._one(chance)
        if chance.random() < 0.7:  # the worst moment: the broker does not learn whether what it sent was done
            broker.wire.stall_at(b"COMMIT", behind=chance.random() < 0.5)
        else:
            broker.wire.stall()
        time.sleep(self._perhaps_long(seconds, chance))
        if chance.random() < 0.7:
            broker.wire.cut()
        broker.wire.flow()
        return broker.number

    def database(self, seconds: float, chance: random.Random) -> None:
        """Stop the database, by order or as a power cut does, and start it again."""
        self._cluster.server.stop(chance.choice([signal.SIGINT, signal.SIGQUIT]))
        time.sleep(seconds)
        self._cluster.server.start()

    def crash(self, seconds: float, chance: random.Random) -> None:
        """Kill the whole database, or one process of it, which makes the server drop everybody and recover."""
        server = self._cluster.server
        if chance.random() < 0.5:
            server.crash()
            time.sleep(seconds)
            server.start()
            return
        children = server.family()[1:]
        clusters.kill(chance.choice(children))
        server.wait_ready()

    def disk(self, seconds: float, _: random.Random) -> None:
        """Fill the database's disk, or what stands for that; make room again."""
        server, disk = self._cluster.server, self._cluster.disk
        if disk is None:
            clusters.limit_files(server, LIMIT_BYTES)
            time.sleep(seconds)
            clusters.limit_files(server, "unlimited")
        else:
            ballast = clusters.fill(disk)
            time.sleep(seconds)
            ballast.unlink()
        if not server.running():  # it may end when its log cannot be written: whoever runs it starts it again
            server.stop(signal.SIGQUIT)
            server.start()

    def slow(self, seconds: float, _: random.Random) -> None:
        """Let the database's machine stand still most of the time, as on a disk that is slow or shared."""
        end = time.monotonic() + seconds + 1
        while time.monotonic() < end:
            family = self._cluster.server.family()
            for pid in family:
                clusters.kill(pid, signal.SIGSTOP)
            time.sleep(HIDDEN_S)
            for pid in family:
                clusters.kill(pid, signal.SIGCONT)
            time.sleep(SHOWN_S)

    def collateral(self, seconds: float, _: random.Random) -> None:
        """Stall the collateral source of brokers that have what they need."""
        self._cluster.wire.stall()
        time.sleep(seconds)
        self._cluster.wire.flow()

    def _one(self, chance: random.Random) -> Broker:
        return chance.choice(self._cluster.brokers)

    def _back(self, broker: Broker) -> int:
        broker.launch()
        broker.wait_ready()
        return broker.number

    def _perhaps_long(self, seconds: float, chance: random.Random) -> float:
        return LONG_S if self._long and chance.random() < 0.3 else seconds + 1
