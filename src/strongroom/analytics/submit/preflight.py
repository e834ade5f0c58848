"""What trusted Spark needs of this machine, looked at before a job: each finding says what to do.

World: Java's own word, /proc, mounts, devices. Changes nothing.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from strongroom.analytics.session.storage import SHARED_MEMORY, is_in_memory, swap_in_the_clear

MIB: Final = 1 << 20
GIB: Final = 1 << 30
MIN_JAVA: Final = 17  # Spark 4's
NEWEST_JAVA: Final = 21
MIN_MEMORY_BYTES: Final = 2 * GIB
MIN_SPILL_BYTES: Final = 512 * MIB
MIN_DISK_BYTES: Final = GIB
_SGX: Final = (Path("/dev/sgx_enclave"), Path("/dev/sgx_provision"))
_JAVA_TIMEOUT_S: Final = 60.0


class Level(StrEnum):
    """How much a finding matters: a job runs, runs with less, or does not run."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the preflight."""

    level: Level
    subject: str
    found: str
    remedy: str = ""

    def to_json_object(self) -> dict[str, str]:
        """Return the line as a machine reads it."""
        return {"level": self.level, "subject": self.subject, "found": self.found, "remedy": self.remedy}


def preflight(environ: Mapping[str, str], *, executor_bytes: int | None = None) -> list[Finding]:
    """Look at everything. `executor_bytes`: what one executor's enclave is to have, to be held against the EPC."""
    return [
        *pyspark(), java(environ), memory(_meminfo()), shared_memory(), swap(), disk_space(Path.cwd()),
        *trusted_hardware(executor_bytes),
    ]  # fmt: skip


def pyspark() -> list[Finding]:
    """Whether the extra is installed."""
    missing = [name for name in ("pyspark", "pyarrow", "pandas") if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[analytics]'."
        return [Finding(Level.FAIL, "packages", f"{', '.join(missing)} not installed", remedy)]
    return [Finding(Level.OK, "packages", "PySpark, PyArrow and pandas are installed")]


def java(environ: Mapping[str, str]) -> Finding:
    """Whether there is a Java that Spark runs on."""
    home = environ.get("JAVA_HOME")
    program = os.fspath(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    remedy = f"Install a Java {MIN_JAVA} runtime (openjdk-{MIN_JAVA}-jre-headless), and name it in JAVA_HOME or PATH."
    if program is None:
        return Finding(Level.FAIL, "Java", "there is none", remedy)
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False,
                              timeout=_JAVA_TIMEOUT_S)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Finding(Level.FAIL, "Java", f"{program} does not start: {type(problem).__name__}", remedy)
    return java_version(done.stderr + done.stdout, remedy)


def java_version(said: str, remedy: str) -> Finding:
    """Judge what `java -version` says."""
    found = re.search(r'version "(?:1\.)?([0-9]{1,4})', said[:4096])
    if found is None:
        return Finding(Level.FAIL, "Java", "it does not say its version", remedy)
    version = int(found[1])
    if version < MIN_JAVA:
        return Finding(Level.FAIL, "Java", f"version {version} is older than {MIN_JAVA}", remedy)
    if version > NEWEST_JAVA:
        return Finding(Level.WARN, "Java", f"version {version} is newer than Spark 4 was tested with",
                       f"Use Java {MIN_JAVA} or {NEWEST_JAVA} if something fails.")  # fmt: skip
    return Finding(Level.OK, "Java", f"version {version}")


def memory(meminfo: Mapping[str, int]) -> Finding:
    """Whether a driver and an executor have room."""
    free = meminfo.get("MemAvailable")
    if free is None:
        return Finding(Level.WARN, "memory", "this machine does not say how much is free", "See that 2 GiB are free.")
    if free < MIN_MEMORY_BYTES:
        return Finding(Level.WARN, "memory", f"{_size(free)} available",
                       "Free memory, or give less to driver and executors (--driver-memory).")  # fmt: skip
    return Finding(Level.OK, "memory", f"{_size(free)} available")


def shared_memory(place: Path = SHARED_MEMORY) -> Finding:
    """Whether sessions and spilled data have a folder in memory."""
    remedy = "Mount a tmpfs there (in a container: --shm-size=8g), or name an encrypted disk with --local-dir."
    if not place.is_dir() or not os.access(place, os.W_OK) or not is_in_memory(place):
        return Finding(Level.FAIL, f"{place}", "it is no folder in memory that this user may write", remedy)
    free = shutil.disk_usage(place).free
    if free < MIN_SPILL_BYTES:
        return Finding(Level.WARN, f"{place}", f"{_size(free)} free for shuffled and spilled data", remedy)
    return Finding(Level.OK, f"{place}", f"{_size(free)} free for shuffled and spilled data")


def swap() -> Finding:
    """Whether memory is written to a disk in clear."""
    found = swap_in_the_clear()
    if found:
        return Finding(Level.WARN, "swap", f"memory may be written to {', '.join(found)[:200]} in clear",
                       "Turn swap off (swapoff -a), or put it on dm-crypt; inside SGX it does not matter.")  # fmt: skip
    return Finding(Level.OK, "swap", "off, or encrypted")


def disk_space(place: Path) -> Finding:
    """Whether results have room."""
    free = shutil.disk_usage(place).free
    if free < MIN_DISK_BYTES:
        return Finding(Level.WARN, "disk", f"{_size(free)} free in {place}", "Make room, or write results elsewhere.")
    return Finding(Level.OK, "disk", f"{_size(free)} free in {place}")


def trusted_hardware(executor_bytes: int | None = None, devices: tuple[Path, ...] = _SGX) -> list[Finding]:
    """Whether jobs can prove themselves here, and have room in the enclave page cache."""
    if Path("/dev/tdx_guest").exists():
        return [Finding(Level.OK, "trusted hardware", "this is a TDX guest")]
    missing = [os.fspath(each) for each in devices if not each.exists()]
    if missing:
        return [Finding(Level.WARN, "trusted hardware", f"no SGX ({', '.join(missing)} missing) and no TDX",
                        "Turn SGX on in the BIOS and load the driver; without it, strongroom sim runs jobs "
                        "simulated.")]  # fmt: skip
    closed = [os.fspath(each) for each in devices if not os.access(each, os.R_OK | os.W_OK)]
    if closed:
        return [Finding(Level.FAIL, "trusted hardware", f"this user may not open {', '.join(closed)}",
                        "Add the user to the groups sgx and sgx_prv.")]  # fmt: skip
    return [Finding(Level.OK, "trusted hardware", "SGX"), *_epc(executor_bytes)]


def _epc(executor_bytes: int | None) -> list[Finding]:
    """Hold what an executor wants against the enclave page cache, where the kernel says its size."""
    sizes = [_number(path) for path in sorted(Path("/sys/devices/system/node").glob("node*/x86/sgx_total_bytes"))]
    total = sum(sizes)
    if not sizes or executor_bytes is None:
        return []
    if executor_bytes > total:
        return [Finding(Level.WARN, "enclave memory", f"{_size(total)} in all, {_size(executor_bytes)} asked for",
                        f"Give each executor less than {_size(total)} (--sgx-executor-jvm-memory).")]  # fmt: skip
    return [Finding(Level.OK, "enclave memory", f"{_size(total)} in all, {_size(executor_bytes)} asked for")]


def _meminfo() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    found = (re.fullmatch(r"(\w+):\s+([0-9]+) kB", line) for line in lines)
    return {each[1]: int(each[2]) * 1024 for each in found if each is not None}


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count // MIB} MiB"
