"""Run a job, a JAR or a Python program, on a Flink cluster through Flink's own client, and say which job it is.

World: processes, a private temporary folder. The client speaks TLS with a certificate of its own to the REST API; what
it needs for a cluster elsewhere is made from PEM files for the time of one call.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from strongroom.errors import BadInput, Refused
from strongroom.pki import disk
from strongroom.pki.authority import Leaf
from strongroom.secret import Secret
from strongroom.streaming.flink import processes, settings
from strongroom.streaming.flink.folder import LOG_FILES, stores_in, write_stores
from strongroom.streaming.flink.home import FlinkHome
from strongroom.streaming.flink.rest import NoFlinkCertificate, Place
from strongroom.streaming.flink.stores import identity
from strongroom.streaming.leash import leashed

JOBS: Final = Path(__file__).with_name("jobs")
OWN_JOBS: Final = ("wordcount",)  # by name, without a path
MAX_PEM_BYTES: Final = 256 * 1024
MAX_LINES: Final = 200  # of what the client complains about
_JOB_ID: Final = re.compile(r"^Job has been submitted with JobID ([0-9a-f]{32})$")
_NOISE: Final = re.compile(r"^(WARNING: |SLF4J|Setting |\s*$)")


class NoSuchProgram(BadInput):
    """What is to run on Flink is neither a JAR, nor a Python program, nor one of Strongroom's own jobs."""

    code = "SR-FLINK-PROGRAM"
    fix = "Name a .jar or .py file, or wordcount."


class JobFailed(Refused):
    """Flink did not take a job, or the job failed."""

    code = "SR-FLINK-JOB-FAILED"
    fix = "The lines above are Flink's; strongroom flink status lists the jobs, and their logs are in the cluster's."


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run: a file, its arguments, and how."""

    file: Path
    arguments: tuple[str, ...] = ()
    entry_class: str | None = None
    parallelism: int | None = None
    detached: bool = False

    @classmethod
    def named(cls, name: str) -> Path:
        """Return the file of a program: a path, or the name of one of our own. Raises NoSuchProgram."""
        path = JOBS / f"{name}.py" if name in OWN_JOBS and not Path(name).exists() else Path(name)
        if path.suffix not in {".jar", ".py"} or not path.is_file():
            raise NoSuchProgram(f"{name[:200]!r} is no .jar and no .py file")
        return path.absolute()


@contextlib.contextmanager
def client_configuration(place: Place, home: FlinkHome) -> Iterator[Path]:
    """Lend a configuration folder (0700) for Flink's client that reaches `place`; gone at the end.

    Raises NoFlinkCertificate.
    """
    with tempfile.TemporaryDirectory(prefix="strongroom-flink-") as name:
        folder = Path(name)
        found = identity(*_client_files(place.tls))
        write_stores(folder, "rest", found)
        text = settings.client(
            place.host, place.port, rest=stores_in(folder, "rest", found), python=str(home.python), scratch=name
        )
        disk.replace_private(folder / "config.yaml", text)
        for log in LOG_FILES:
            shutil.copyfile(home.distribution / "conf" / log, folder / log)
        yield folder


def _client_files(tls: Path) -> tuple[Leaf, bytes]:
    try:
        ca, certificate = (disk.read_bounded(tls / name, limit=MAX_PEM_BYTES) for name in ("ca.pem", "cert.pem"))
        key: Secret = disk.read_secret(tls / "key.pem", limit=MAX_PEM_BYTES)
    except OSError as problem:
        raise NoFlinkCertificate(f"{tls}: {problem.strerror}") from None
    return Leaf(certificate_pem=certificate, key_pem=key), ca


def submit(
    place: Place, home: FlinkHome, program: Program, *,
    output: Callable[[str], object] = lambda _: None, complaint: Callable[[str], object] = lambda _: None,
    submitted: Callable[[str], object] = lambda _: None,
) -> list[str]:  # fmt: skip
    """Run a program, hand on what it prints line by line, and return the ids of its jobs.

    Raises JobFailed, NoFlinkCertificate.
    """
    with client_configuration(place, home) as configuration:
        variables = processes.environment(home, configuration, configuration)
        del variables["STD_REDIRECT_TO_FILE"]
        started = subprocess.Popen(
            leashed(_command(home, program)), env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", process_group=0,
        )  # fmt: skip
        printed, complained = cast("IO[str]", started.stdout), cast("IO[str]", started.stderr)  # pipes were asked for
        try:
            with printed, complained:
                complaints = _Complaints(complained, complaint)
                jobs = _hand_on(printed, output, submitted)
                complaints.join()
            status = started.wait()
        finally:
            processes.end_group(started)
    if status != 0:
        raise JobFailed(complaints.reason() or f"Flink's client ended with status {status}")
    return jobs


def _command(home: FlinkHome, program: Program) -> list[str]:
    command = [home.program("flink"), "run"]
    command += ["-d"] if program.detached else []
    command += ["-p", str(program.parallelism)] if program.parallelism else []
    command += ["-c", program.entry_class] if program.entry_class else []
    if program.file.suffix == ".py":
        python = str(home.python)
        command += ["-pyclientexec", python, "-pyexec", python, "-py", str(program.file)]
    else:
        command += [str(program.file)]
    return command + list(program.arguments)


def _hand_on(stream: IO[str], output: Callable[[str], object], submitted: Callable[[str], object]) -> list[str]:
    """Hand on lines; keep the ids of jobs, which Flink's client prints among them."""
    jobs: list[str] = []
    for line in stream:
        found = _JOB_ID.search(line)
        if found:
            jobs.append(found[1])
            submitted(found[1])
        else:
            output(line)
    return jobs


class _Complaints:
    """Reads what the client says on its error stream, beside the thread that reads its output."""

    def __init__(self, stream: IO[str], complaint: Callable[[str], object]) -> None:
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(stream, complaint), name="flink complaints")
        self._thread.start()

    def _read(self, stream: IO[str], complaint: Callable[[str], object]) -> None:
        for line in stream:
            if _NOISE.match(line):
                continue
            if len(self._lines) < MAX_LINES:
                self._lines.append(line.rstrip())
            complaint(line)

    def join(self) -> None:
        self._thread.join()

    def reason(self) -> str:
        """Return the deepest cause that the client names, in one line."""
        causes = [line for line in self._lines if line.startswith("Caused by: ") or "Error" in line]
        return (causes or self._lines or [""])[-1].removeprefix("Caused by: ")[:300]


def print_line(line: str) -> None:
    """Print a job's line as it is."""
    sys.stdout.write(line)
    sys.stdout.flush()
