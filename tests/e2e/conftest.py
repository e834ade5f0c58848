"""Pages of docs/ as a reader follows them: their `sh` blocks are one session, in an empty folder with an empty home.

The printed port numbers are replaced by free ones; all else is as written. What a page leaves running is ended.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTED = ("4433", "8080", "8081", "8443", "8500", "8501")
PORT = re.compile(rf"\b({'|'.join(PRINTED)})\b")
PAGE_DEADLINE_S = 240
END_DEADLINE_S = 20


class Reader:
    """Somebody who follows a page."""

    @staticmethod
    def blocks(page):
        """Return a page's commands as written."""
        return "".join(BLOCK.findall(page.read_text(encoding="utf-8")))

    def script(self, page):
        """Return a page's commands with free ports; `make` is only asked whether it knows the targets."""
        blocks = re.sub(r"^make ", f"make -C {REPOSITORY} --dry-run ", self.blocks(page), flags=re.MULTILINE)
        free = dict(zip(PRINTED, free_ports(len(PRINTED)), strict=True))
        return PORT.sub(lambda found: free[found[0]], blocks)

    def follow(self, commands, folder, programs=Path(sys.executable).parent):
        """Run commands in `folder`/work to their end; return the exit status and all that was said."""
        home, work, log = folder / "home", folder / "work", folder / "log"
        home.mkdir()
        work.mkdir()
        environment = {
            "PATH": f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHON": str(programs / "python"),
        }
        with log.open("wb") as output:
            shell = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-x", "-c", commands],
                cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
            try:
                status = shell.wait(timeout=PAGE_DEADLINE_S)
            finally:
                end_group(shell.pid)
        return status, log.read_text(encoding="utf-8", errors="replace")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def end_group(group):
    """End what a page left running: the servers it started with `&`; wait until they are gone."""
    deadline = time.monotonic() + END_DEADLINE_S
    try:
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
    pytest.fail("a server of the page did not end on SIGTERM")


@pytest.fixture(scope="session")
def reader():
    """Somebody who follows pages."""
    return Reader()
