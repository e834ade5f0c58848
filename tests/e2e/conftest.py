"""Owners with a simulated world and a broker of their own, and readers of pages.

A reader follows a page of docs/: its `sh` blocks are one session, in an empty folder with an empty home. The printed
port numbers are replaced by free ones; all else is as written. What a page leaves running is ended.
"""

import contextlib
import fcntl
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import strongroom
from strongroom.cli import main
from strongroom.ports import free_ports

STRONGROOM = [sys.executable, "-m", "strongroom"]
# No flags of a user's environment, no folder but the package's, no bytecode from outside of what is measured.
MEASURED = [sys.executable, "-I", "-B", "-u", "-X", "pycache_prefix=/nonexistent", "-m", "strongroom"]
REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTED = ("4433", "8080", "8081", "8443", "8500", "8501")
PORT = re.compile(rf"\b({'|'.join(PRINTED)})\b")
PAGE_DEADLINE_S = 240
END_DEADLINE_S = 20
# What runs for seconds is not worth compiling twice: a third of a JVM's processor time until its first job is over.
LEAN_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class Owner:
    """A workspace, and a simulated world whose quotes its owner can check."""

    def __init__(self, folder):
        self.folder = folder
        self.workspace = ["--workspace", str(folder / "workspace")]
        self.world = ["--world", str(folder / "world"), "--beside-real-tee"]
        self.ca = folder / "workspace" / "ca" / "ca_cert.pem"
        for words in (
            ["init", self.workspace[1]],
            ["sim", "init", *self.world],
            ["sim", "collateral", *self.world, "--out", str(folder / "workspace" / "trust")],
        ):
            assert main(words) == 0, words

    def do(self, *words):
        """Run a command in the workspace."""
        line = [*map(str, words), *self.workspace]
        assert main(line) == 0, line

    def measure(self, program, to=None):
        """Measure a program; return the file that says what was found."""
        found = to or program.parent / "measurement.json"
        with found.open("w") as file, contextlib.redirect_stdout(file):
            assert main(["sim", "measure", str(program), "--json", *self.world]) == 0
        return found

    def trust(self, program, released, *words, to=None):
        """Write the rule that releases these secrets to a program."""
        releases = [word for name in released for word in ("--release", name)]
        self.do("policy", "trust", self.measure(program, to), *releases, "--trust-domain", "simulated", *words)

    @contextlib.contextmanager
    def broker(self):
        """Run a broker that speaks KBS, too; lend its addresses and its log."""
        words = [*STRONGROOM, "broker", "serve", "--port", "0", "--kbs-port", "0", *self.workspace]
        log = self.folder / "broker.log"
        with log.open("w") as file, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=file, text=True) as process:
            try:
                lines = [process.stdout.readline(), process.stdout.readline()]
                ports = {"(kbs)" in line: re.search(r":(\d+)", line)[1] for line in lines}
                yield SimpleNamespace(
                    url=f"https://localhost:{ports[True]}", gramine=f"localhost:{ports[False]}", log=log
                )
            finally:
                process.terminate()
                process.wait(END_DEADLINE_S)


def write_manifest(path, words, *trusted, environment=()):
    """Write the manifest of a program of ours; `environment`: names that it has from here."""
    files = [*(f"file:{each}" for each in trusted), f"file:{Path(strongroom.__file__).parent}/"]
    path.write_text(
        f"libos.entrypoint = {json.dumps(sys.executable)}\nloader.argv = {json.dumps([*MEASURED, *words])}\n"
        + "".join(f"loader.env.{name} = {json.dumps(os.environ[name])}\n" for name in environment)
        + f'sgx.trusted_files = {json.dumps(files)}\nsgx.remote_attestation = "dcap"\n'
    )
    return path


@pytest.fixture(scope="session")
def simulated_owner():
    """Return what makes an Owner in a folder."""
    return Owner


@pytest.fixture(scope="session")
def measured_program():
    """Return what writes the manifest of a program of ours."""
    return write_manifest


@pytest.fixture(scope="session")
def lean_java():
    """Return the options of a JVM that does little: of a driver as --driver-java-options."""
    return LEAN_JAVA


@pytest.fixture(scope="session")
def lean_java_home(tmp_path_factory):
    """Return a folder for JAVA_HOME, whose java has these options; skip where there is none."""
    java = shutil.which("java") or pytest.skip("there is no Java on this machine")
    home = tmp_path_factory.mktemp("java")
    (home / "bin").mkdir()
    (home / "bin" / "java").write_text(f'#!/bin/sh\nexec {java} {LEAN_JAVA} "$@"\n')
    (home / "bin" / "java").chmod(0o755)
    return home


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """Return what runs something once for all processes of the tests, and gives each what it returned."""
    own = tmp_path_factory.getbasetemp()
    folder = own if worker_id == "master" else own.parent

    def run(name, make):
        kept = folder / f"{name}.pickle"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                kept.write_bytes(pickle.dumps(make()))
        return pickle.loads(kept.read_bytes())  # noqa: S301  # our own

    return run


class Reader:
    """Somebody who follows a page."""

    @staticmethod
    def blocks(page):
        """Return a page's commands as written."""
        return "".join(BLOCK.findall(page.read_text(encoding="utf-8")))

    def script(self, page):
        """Return a page's commands with free ports; `make` is only asked whether it knows the targets."""
        blocks = re.sub(r"^make ", f"make -C {REPOSITORY} --dry-run ", self.blocks(page), flags=re.MULTILINE)
        free = dict(zip(PRINTED, map(str, free_ports(len(PRINTED))), strict=True))
        return PORT.sub(lambda found: free[found[0]], blocks)

    def follow(self, commands, folder, programs=Path(sys.executable).parent, **variables):
        """Run commands in `folder`/work to their end; return the exit status and all that was said."""
        home, work, log = folder / "home", folder / "work", folder / "log"
        home.mkdir()
        work.mkdir()
        environment = {
            "PATH": f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHON": str(programs / "python"),
            **variables,
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
def typed():
    """Return what runs a command in a folder, as a person would type it there; it returns what was said."""

    def run(place, *words, status=0):
        done = subprocess.run([*STRONGROOM, *words], capture_output=True, text=True, check=False, cwd=place)
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def reader():
    """Somebody who follows pages."""
    return Reader()
