"""Sealed files: CPU-seconds per GiB against OpenSSL's own speed in the same run, several cores, memory, random access.

Every figure of a file command contains reading, writing and fsync. STRONGROOM_BENCH_DIR chooses the disk (default:
the temporary folder), STRONGROOM_BENCH_MIB the size of the file (default: 1024).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import Cost, Report, cpu_seconds, measure, percentile, stopwatch, typical
from strongroom import sealing
from strongroom.secret import Secret

MIB = 1024 * 1024
GIB = 1024 * MIB
SIZE = int(os.environ.get("STRONGROOM_BENCH_MIB", "1024")) * MIB
SMALL = 64 * MIB
ROUNDS = 5
STORED = "models/bench/1/model.bin"
TARGET_MB = ">= 500"  # MB per CPU-second, one process, each way
READS = 2000


def openssl_speed() -> float | None:
    """Return OpenSSL's AES-128-GCM speed on 4-KiB blocks in MB per CPU-second; None without the program."""
    command = ["openssl", "speed", "-evp", "aes-128-gcm", "-bytes", "4096", "-seconds", "2"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as problem:
        print(f"no comparison with openssl speed: {problem}")
        return None
    last = done.stdout.strip().splitlines()[-1].split()[-1]  # thousands of bytes per second, like 4128111.41k
    return float(last.removesuffix("k")) / 1000


def make_file(path: Path, size: int) -> None:
    """Write `size` bytes that do not repeat from node to node."""
    block = os.urandom(MIB - 1)
    with path.open("wb") as stream:
        for _ in range(size // len(block)):
            stream.write(block)
        stream.write(block[: size % len(block)])
        os.fsync(stream.fileno())


def one_process_and_all_cores(report: Report, folder: Path, key: Secret, openssl: float | None) -> None:
    """Measure encrypt, decrypt and verify, alternating one process and one per core."""
    source, sealed, opened = folder / "plain", folder / "sealed", folder / "opened"
    verbs: dict[str, Callable[[int], object]] = {
        "encrypt": lambda workers: sealing.encrypt_file(source, sealed, key, stored_path=STORED, workers=workers),
        "decrypt": lambda workers: sealing.decrypt_file(sealed, opened, key, stored_path=STORED, workers=workers),
        "verify": lambda workers: sealing.verify_file(sealed, key, stored_path=STORED, workers=workers),
    }
    cores = len(os.sched_getaffinity(0))
    costs: dict[tuple[str, int], list[Cost]] = {(verb, count): [] for verb in verbs for count in {1, cores}}
    for _ in range(ROUNDS):
        for (verb, workers), runs in costs.items():
            runs.append(measure(lambda verb=verb, workers=workers: verbs[verb](workers)))  # type: ignore[misc]  # bound now
    for verb in verbs:
        one = typical(costs[verb, 1])
        speed = SIZE / 1e6 / one.cpu_s
        report.add(f"{verb}: CPU per GiB, one process", one.cpu_s * GIB / SIZE, "CPU-s/GiB")
        report.add(f"{verb}: speed, one process", speed, "MB/CPU-s", target=TARGET_MB)
        report.add(f"{verb}: wall, one process", SIZE / 1e6 / one.wall_s, "MB/s")
        if openssl is not None:
            report.add(f"{verb}: share of openssl speed (which reads and writes no files)", speed / openssl, "ratio")
        if cores > 1:
            many = typical(costs[verb, cores])
            gain = one.wall_s / many.wall_s
            report.add(f"{verb}: wall, {cores} processes", SIZE / 1e6 / many.wall_s, "MB/s")
            report.add(f"{verb}: gain of {cores} processes over one", gain, "ratio", target="> 1.1")


def copying(folder: Path) -> Cost:
    """Measure what only reading, writing and fsync of the same bytes cost, without their leaving the page cache."""

    def copy() -> None:
        with (folder / "plain").open("rb") as source, (folder / "copy").open("wb") as target:
            room = memoryview(bytearray(384 * 1024))
            while count := source.readinto(room):
                target.write(room[:count])
            os.fsync(target.fileno())

    cost = typical([measure(copy) for _ in range(3)])
    (folder / "copy").unlink()
    return cost


def memory(folder: Path, size: int) -> float:
    """Return the peak memory in MB of `strongroom file encrypt` (one process) on `size` bytes."""
    source = folder / "memory"
    make_file(source, size)
    words = ["file", "encrypt", "-w", str(folder / "key"), "-i", str(source), "-o", str(folder / "memory.sealed"),
             "--path", STORED, "--workers", "1"]  # fmt: skip
    program = (
        "import sys; from strongroom.cli import main\n"
        "assert main(sys.argv[1:]) == 0; print(open('/proc/self/status').read())"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    source.unlink()
    peak = next(line for line in done.stdout.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 / 1e6


def random_access(report: Report, sealed: Path, key: Secret) -> None:
    """Measure the reader: a whole file into one buffer, and small reads all over the file."""
    with sealing.open(sealed, key, stored_path=STORED) as reader:
        room = bytearray(min(reader.size, 256 * MIB))
        cost = measure(lambda: reader.readinto(room))
        report.add("reader: readinto one buffer", len(room) / 1e6 / cost.cpu_s, "MB/CPU-s", target=TARGET_MB)
        places = random.Random(1)  # noqa: S311 - places to read, not secrets
        times = []
        for _ in range(READS):
            with stopwatch() as each:
                reader.seek(places.randrange(reader.size - 4096))
                reader.read(4096)
            times.append(each.wall_s * 1e6)
        report.add("reader: 4 KiB at random, p50", percentile(times, 0.5), "us")
        report.add("reader: 4 KiB at random, p99", percentile(times, 0.99), "us")


def main() -> int:
    report = Report("sealing", command="uv run python bench/sealing.py")
    openssl = openssl_speed()
    if openssl is not None:
        report.add("openssl speed, AES-128-GCM, 4 KiB, one process", openssl, "MB/CPU-s")
        report.add("openssl speed: CPU per GiB", GIB / 1e6 / openssl, "CPU-s/GiB")
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=os.environ.get("STRONGROOM_BENCH_DIR")) as name:
        folder = Path(name)
        key = sealing.new_wrap_key(folder / "key")
        make_file(folder / "plain", SIZE)
        one_process_and_all_cores(report, folder, key, openssl)
        report.add("copying the same file, for comparison", copying(folder).cpu_s * GIB / SIZE, "CPU-s/GiB")
        random_access(report, folder / "sealed", key)
        small, large = memory(folder, SMALL), memory(folder, SIZE)
        report.add("encrypt: peak memory", large, "MB", target="<= 64")
        report.add(f"encrypt: more memory for {SIZE // SMALL} times the size", large - small, "MB", target="<= 4")
    report.add("this bench: CPU in all", cpu_seconds(), "CPU-s")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
