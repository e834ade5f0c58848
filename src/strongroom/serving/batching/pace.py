"""How long runs take: which models may run on the event loop, and up to where larger batches pay.

A hand-over to a thread and back costs the processor more than a quick run does, and interrupts TLS at every record.
Source: spec `serving-performance.md` sections 3 and 6 (below about 50 us inline; others in a thread).
"""

from __future__ import annotations

from collections import deque
from typing import Final

QUICK_S: Final = 50e-6  # a run that the event loop can afford
SLOW_S: Final = 200e-6  # a run that it cannot
STALL_S: Final = 5e-3  # one that was proved is enough
BYTE_S: Final = 0.4e-9  # what each byte of the inputs adds to these: the loop spent as much on receiving it by TLS
_LOOKED_AT: Final = 16
_STRIKES: Final = 3
_MAX_POWER: Final = 6  # 64 rows
_CHEAP_S: Final = 2e-3  # batches up to here need no proof: nobody waits long for them
_PAYS: Final = 0.9  # twice the rows have to cost less than this for each row
_FORGET_EVERY: Final = 512
_MEMORY: Final = 0.8


class Quickness:
    """Whether a model's runs are so short that the event loop does them itself; measured, and measured again.

    `size` counts the bytes of a run's inputs: large ones may take longer, in proportion.
    """

    def __init__(self) -> None:
        self._runs: deque[tuple[float, float]] = deque(maxlen=_LOOKED_AT)
        self._wanted = _LOOKED_AT
        self._seen = self._strikes = 0
        self.inline = False
        self.proved_bytes = 0  # inputs of a request up to this size are known to run quickly
        self.in_doubt = False  # the next runs on the loop are to be measured by CPU time as well

    def ran_in_thread(self, wall_s: float, cpu_s: float, *, size: int = 0, requests: int = 1) -> None:
        """Note a run off the loop. Wall time has waits for the interpreter in it: the shortest one counts."""
        allowed_s = size * BYTE_S
        wall_s, cpu_s = wall_s - allowed_s, cpu_s - allowed_s
        if cpu_s < QUICK_S:
            self.proved_bytes = max(self.proved_bytes, size // requests)
        self._runs.append((wall_s, cpu_s))
        self._seen += 1
        if self._seen < self._wanted or self.inline:
            return
        cpu = sorted(each for _, each in self._runs)
        self.inline = min(wall for wall, _ in self._runs) < QUICK_S and cpu[len(cpu) // 2] < QUICK_S

    def ran_inline(self, wall_s: float, cpu_s: float | None = None, *, size: int = 0) -> None:
        """Note a run on the loop; a model that has become slow leaves it, and comes back twice as late.

        On a busy machine a quick run may take long by the clock: after one that did, `in_doubt` asks for CPU time.
        """
        allowed_s = size * BYTE_S
        if wall_s - allowed_s < SLOW_S:
            self.in_doubt, self._strikes = False, 0
            return
        if not self.in_doubt or cpu_s is None:
            self.in_doubt = True
            return
        cpu_s -= allowed_s
        if cpu_s < SLOW_S / 2:  # it did not run: others had the processor
            return
        self._strikes += 1
        if self._strikes >= _STRIKES or cpu_s >= STALL_S:
            self.inline = self.in_doubt = False
            self._runs.clear()
            self._strikes = self._seen = self.proved_bytes = 0
            self._wanted *= 2


class BatchLimit:
    """Up to how many rows a batch of queued requests may have: as long as more rows make each row cheaper.

    On a CPU a large network gains nothing from a batch but memory and waiting, a small one or one that streams its
    weights gains much; so it is measured, by powers of two, and looked at again from time to time.
    """

    def __init__(self) -> None:
        self._row_s = [0.0] * (_MAX_POWER + 1)  # seconds a row by power; 0 = not known
        self._runs = 0

    def ran(self, rows: int, wall_s: float) -> None:
        """Note a run."""
        power = min(max(rows, 1).bit_length() - 1, _MAX_POWER)
        row_s = wall_s / max(rows, 1)
        known = self._row_s[power]
        self._row_s[power] = _MEMORY * known + (1 - _MEMORY) * row_s if known else row_s
        self._runs += 1
        if self._runs % _FORGET_EVERY == 0:  # the machine or the requests may have changed
            self._row_s[self._lowest() + 1 :] = [0.0] * (_MAX_POWER - self._lowest())

    def _lowest(self) -> int:
        return next((power for power, row_s in enumerate(self._row_s) if row_s), 0)

    @property
    def rows(self) -> int:
        """How many rows a batch may have now: a power of two, 64 at most; one more step than is known, to look."""
        for power in range(self._lowest(), _MAX_POWER):
            here, twice = self._row_s[power], self._row_s[power + 1]
            if not here:
                return int(2**power)
            if twice * 2 ** (power + 1) > _CHEAP_S and twice > _PAYS * here:
                return int(2**power)
        return int(2**_MAX_POWER)
