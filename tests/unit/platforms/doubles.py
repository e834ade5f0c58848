"""What stands behind a platform in tests: Gramine's pseudo-files, and Linux's configfs-tsm, played twice.

`KernelReports` behaves as drivers/virt/coco/guest/report.c and tdx-guest.c are written (Linux 6.16): who may be asked,
which error comes when, what counts as a write. It opens no file. `FolderReports` is the other half: real directories
and files through the collector's own open, read, write and close, but made by this process. What neither covers: that
the kernel really behaves so, and permissions, which nobody but the kernel enforces.
"""

import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from strongroom.platforms import ConfigfsReports

Signer = Callable[[bytes], bytes]
INBLOB_MAX = 64
STOP = b"stop".ljust(64, b"\0")


@dataclass
class Entry:
    inblob: bytes = b""
    outblob: bytes | None = None
    written: int = 0  # write_generation
    answered: int = 0  # read_generation


class KernelReports:
    """configfs-tsm as the kernel writes it down; `meanwhile` runs after each write, as another process could."""

    place = "/sys/kernel/config/tsm/report"

    def __init__(self, sign: Signer, *, provider: str | None = "tdx_guest", first_generation: int = 0) -> None:
        self.sign, self.provider, self.first_generation = sign, provider, first_generation
        self.entries: dict[str, Entry] = {}
        self.meanwhile: Callable[[Entry], None] = lambda entry: None
        self.fails: dict[str, int] = {}  # by attribute, or "mkdir": the error number that every use gets
        self.lock = threading.Lock()

    def make(self, name: str) -> None:
        self._fail("mkdir")
        with self.lock:
            if self.provider is None:
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
            if name in self.entries:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self.entries[name] = Entry(written=self.first_generation, answered=self.first_generation)

    def write(self, name: str, attribute: str, data: bytes) -> None:
        self._fail(attribute)
        with self.lock:
            entry = self._entry(name)
            if attribute != "inblob":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if len(data) > INBLOB_MAX:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            self.inblob(entry, data)
        self.meanwhile(entry)

    @staticmethod
    def inblob(entry: Entry, data: bytes) -> None:
        if entry.written == (entry.answered - 1) % (1 << 64):
            return  # -EBUSY, which configfs drops when a binary attribute is closed
        entry.written = (entry.written + 1) % (1 << 64)
        entry.inblob = data

    def read(self, name: str, attribute: str, limit: int) -> bytes:
        self._fail(attribute)
        with self.lock:
            entry = self._entry(name)
            if self.provider is None:
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
            texts = {"provider": f"{self.provider}\n".encode(), "generation": f"{entry.written}\n".encode()}
            return (texts[attribute] if attribute in texts else self._outblob(entry))[:limit]

    def _outblob(self, entry: Entry) -> bytes:
        if len(entry.inblob) != INBLOB_MAX:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if entry.outblob is None or entry.answered != entry.written:
            entry.outblob = self.sign(entry.inblob)
            entry.answered = entry.written
        return entry.outblob

    def remove(self, name: str) -> None:
        self._fail("rmdir")
        with self.lock:
            self._entry(name)
            del self.entries[name]

    def _entry(self, name: str) -> Entry:
        if name not in self.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.entries[name]

    def _fail(self, what: str) -> None:
        if number := self.fails.get(what):
            raise OSError(number, os.strerror(number))


class FolderReports(ConfigfsReports):
    """Real files below `root`: `outblob` is a named pipe whose opening makes a report, written in small pieces."""

    def __init__(self, root: Path, sign: Signer, *, provider: str = "tdx_guest") -> None:
        super().__init__(root)
        self.root, self.sign, self.provider = root, sign, provider
        self.helpers: dict[str, threading.Thread] = {}

    def make(self, name: str) -> None:
        super().make(name)
        folder = self.root / name
        (folder / "provider").write_text(f"{self.provider}\n")
        (folder / "generation").write_text("0\n")
        (folder / "inblob").write_bytes(b"")
        os.mkfifo(folder / "outblob")
        self.helpers[name] = threading.Thread(target=self._answer, args=(folder,))
        self.helpers[name].start()

    def _answer(self, folder: Path) -> None:
        with contextlib.suppress(BrokenPipeError), (folder / "outblob").open("wb", buffering=0) as pipe:
            report_data = (folder / "inblob").read_bytes()
            quote = self.sign(report_data) if len(report_data) == INBLOB_MAX else b""
            for start in range(0, len(quote), 1000):
                pipe.write(quote[start : start + 1000])

    def write(self, name: str, attribute: str, data: bytes) -> None:
        super().write(name, attribute, data)
        generation = self.root / name / "generation"
        generation.write_text(f"{int(generation.read_text()) + 1}\n")

    def remove(self, name: str) -> None:
        reader = os.open(self.root / name / "outblob", os.O_RDONLY | os.O_NONBLOCK)  # lets a waiting writer go
        self.helpers.pop(name).join()
        os.close(reader)
        for path in (self.root / name).iterdir():
            path.unlink()
        super().remove(name)


@contextlib.contextmanager
def gramine_device(root: Path, sign: Signer) -> Iterator[Path]:
    """Play /dev/attestation in `root`: as under Gramine, opening `quote` makes one over what is asked for then."""
    (root / "attestation_type").write_text("dcap")
    (root / "user_report_data").write_bytes(bytes(64))
    (root / "my_target_info").write_bytes(bytes(range(256)) * 2)
    os.mkfifo(root / "quote")
    helper = threading.Thread(target=_answer_quotes, args=(root, sign))
    helper.start()
    try:
        yield root
    finally:
        (root / "user_report_data").write_bytes(STOP)
        (root / "quote").read_bytes()
        helper.join()


def _answer_quotes(root: Path, sign: Signer) -> None:
    """Write one quote for each opening of the pipe; every opening gets a pipe of its own, so that none sees two."""
    pipe = root / "quote"
    for number in itertools.count():
        with contextlib.suppress(BrokenPipeError), pipe.open("wb") as file:  # waits until somebody reads
            report_data = (root / "user_report_data").read_bytes()
            os.mkfifo(root / f"next{number}")
            (root / f"next{number}").replace(pipe)
            if report_data == STOP:
                return
            file.write(sign(report_data))
