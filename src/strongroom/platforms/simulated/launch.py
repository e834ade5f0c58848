"""Launch a program on the simulated platform: measure it, start it, and quote for it until it ends.

The program gets the environment that its manifest declares and one end of a private socket pair, nothing else:
standard input is /dev/null, no other descriptor is passed, no shell is between. It runs in a process group of its own,
which does not outlive it: what is left of the group is killed when it ends, and the kernel kills the program itself
should the launcher die without a word.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final

from strongroom.attestation import Tee
from strongroom.errors import BadInput
from strongroom.gramine.manifest import RESERVED_VARIABLE, Manifest
from strongroom.platforms.evidence import REPORT_DATA_BYTES
from strongroom.platforms.quote_channel import ChannelBroken, Frames, frame
from strongroom.platforms.simulated.hardware import CURRENT_MODULE, OLD_MODULE
from strongroom.platforms.simulated.identities import Identity
from strongroom.platforms.simulated.measurement import measure
from strongroom.platforms.simulated.quoting import DEFAULT_VERSIONS, QuoteFormat, QuotingEnclave
from strongroom.platforms.simulated.td_measurement import measure_td
from strongroom.platforms.simulated.world import World

TD_1_5_VERSION: Final = 5  # quotes of this version say what TDX module is loaded now
SEND_TIMEOUT_S: Final = 5.0  # a program that asks and does not read loses its channel, not its launcher
FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGNALLED: Final = 128  # exit status of a program that a signal ended, as shells count
_PR_SET_PDEATHSIG: Final = 1
_CHUNK: Final = 4096


class LaunchFailed(BadInput):
    """The operating system would not start the program that the manifest names."""

    code = "SR-LAUNCH"
    fix = "Check that libos.entrypoint is an executable file for this machine."


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchAs:
    """As what a program is launched: TEE and version of its quotes.

    `relaunch_due`: a trust domain that was launched under an older TDX module than is loaded now.
    """

    tee: Tee = Tee.SGX
    quote_version: int | None = None  # 3 (SGX) or 4 (TDX); trust domains with version 5 have reports of version 1.5
    relaunch_due: bool = False

    @property
    def form(self) -> QuoteFormat:
        """How its quotes are written."""
        return QuoteFormat(tee=self.tee, version=self.quote_version or DEFAULT_VERSIONS[self.tee])

    def measured(
        self, manifest: Manifest, base: Path, environ: Mapping[str, str], mr_signer: bytes
    ) -> tuple[Identity, Mapping[str, str]]:
        """Return who the program will be, and its environment."""
        if self.tee is Tee.SGX:
            enclave = measure(manifest, base, environ, mr_signer=mr_signer)
            return enclave.identity, enclave.environment
        domain = measure_td(manifest, base, environ)
        module = OLD_MODULE if self.relaunch_due else CURRENT_MODULE
        loaded = CURRENT_MODULE if self.form.version == TD_1_5_VERSION else None
        return replace(domain.identity, module=module, loaded=loaded), domain.environment


def run(
    manifest: Manifest, base: Path, world: World, environ: Mapping[str, str], launch_as: LaunchAs | None = None
) -> int:
    """Measure, start, quote until the program ends; return its exit status (128 + N after signal N).

    Call it from the main thread of a process without other threads: signals are forwarded from there, and the program
    is forked from it. Raises LaunchFailed and what `measure` raises.
    """
    base = base.absolute()
    launch_as = launch_as or LaunchAs()
    identity, environment = launch_as.measured(manifest, base, environ, world.mr_signer)
    ours, theirs = socket.socketpair()
    with ours, _forwarding() as forwarder:
        with theirs:
            program = _start(manifest, base, environment, theirs if manifest.remote_attestation == "dcap" else None)
        try:
            with _process_handle(program.pid) as handle, forwarder.towards(handle):
                _serve(handle, ours, world.quoting_enclave(launch_as.form), identity)
        finally:
            status = _end(program)
    return status


@contextlib.contextmanager
def _process_handle(pid: int) -> Iterator[int]:
    """Lend a descriptor that stands for one process, even after its number has gone to another; readable at its end."""
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def _start(
    manifest: Manifest, base: Path, passed: Mapping[str, str], channel: socket.socket | None
) -> subprocess.Popen[bytes]:
    environment = dict(passed)
    if channel is not None:
        environment[RESERVED_VARIABLE] = str(channel.fileno())
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return subprocess.Popen(
            manifest.argv,
            executable=base / manifest.entrypoint,
            env=environment,
            cwd=base,
            stdin=subprocess.DEVNULL,
            pass_fds=() if channel is None else (channel.fileno(),),
            process_group=0,
            preexec_fn=_DieWithParent(),  # noqa: PLW1509  # the launcher has no other threads
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise LaunchFailed(f"{base / manifest.entrypoint} does not start: {problem}") from None


class _DieWithParent:
    """Runs between fork and exec: asks the kernel for SIGKILL when the parent dies. Everything is looked up before."""

    def __init__(self) -> None:
        self._prctl = ctypes.CDLL(None, use_errno=False).prctl
        self._parent = os.getpid()

    def __call__(self) -> None:
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._parent:  # it died before the kernel was asked
            os.kill(os.getpid(), signal.SIGKILL)


class _Forwarder:
    """Hands signals on to the program; those that come before there is one are kept for it."""

    def __init__(self) -> None:
        self._handle: int | None = None
        self._waiting: list[int] = []

    def received(self, number: int, _frame: FrameType | None) -> None:
        if self._handle is None:
            self._waiting.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    @contextlib.contextmanager
    def towards(self, handle: int) -> Iterator[None]:
        self._handle = handle
        try:
            while self._waiting:
                self.received(self._waiting.pop(0), None)
            yield
        finally:
            self._handle = None


@contextlib.contextmanager
def _forwarding() -> Iterator[_Forwarder]:
    forwarder = _Forwarder()
    before = {number: signal.signal(number, forwarder.received) for number in FORWARDED}
    try:
        yield forwarder
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(handle: int, channel: socket.socket, enclave: QuotingEnclave, identity: Identity) -> None:
    """Answer quote requests until the program has ended. A message that is none costs the program its channel."""
    channel.settimeout(SEND_TIMEOUT_S)
    requests = Frames(smallest=REPORT_DATA_BYTES, largest=REPORT_DATA_BYTES)
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        selector.register(channel, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if handle in ready:
                return
            if channel in ready and not _answered(channel, requests, enclave, identity):
                selector.unregister(channel)
                channel.close()


def _answered(channel: socket.socket, requests: Frames, enclave: QuotingEnclave, identity: Identity) -> bool:
    """Answer what has arrived; return False when the channel is of no more use."""
    try:
        data = channel.recv(_CHUNK)
        for report_data in requests.receive(data):
            channel.sendall(frame(enclave.quote(identity, report_data)))
    except (ChannelBroken, OSError) as problem:
        sys.stderr.write(f"strongroom sim: the program's quote channel is closed: {problem}\n")
        return False
    return bool(data)


def _end(program: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the program's group, then collect its exit status.

    The program is still a zombie here, so its group's number cannot have gone to somebody else.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    status = program.wait()
    return status if status >= 0 else _SIGNALLED - status
