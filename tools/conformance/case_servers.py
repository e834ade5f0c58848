"""Start the real server for a group of cases, and ask it: REST over http.client, gRPC over grpcio."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import grpc
from case_files import MESSAGES, Case, CaseFile, Group, body_of, filled, method_of, request_of
from matchers import GrpcAnswer, RestAnswer

from strongroom.ports import free_ports

READY = "Entering the event loop"
START_S = 180.0
ASK_S = 120.0
TRIES = 3
_ANY_SIZE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class NotStarted(RuntimeError):
    """A server ended, or was not ready in time; the sentence is the end of its log."""


class Process(Protocol):
    """What is used of a `subprocess.Popen`."""

    stdout: IO[str] | None
    stderr: IO[str] | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


class Begin(Protocol):
    """What begins a server: `begin_process`, or a nest's `begin`."""

    def __call__(self, words: Sequence[str], *, env: Mapping[str, str]) -> Process: ...


def begin_process(words: Sequence[str], *, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Begin a command line as a shell does."""
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env
    )


class CaseServer:
    """A running server of one front, and what its group's placeholders stand for."""

    def __init__(self, process: Process, ports: tuple[int, int], placeholders: Mapping[str, str]) -> None:
        self.process, self.ports, self.placeholders = process, ports, placeholders
        self._lines: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None  # noqa: S101  # it was started with a pipe
        for line in self.process.stderr:
            self._lines.append(line)
            if READY in line:
                self._ready.set()
        self._ready.set()

    def wait(self) -> None:
        """Return when it serves. Raises NotStarted."""
        in_time = self._ready.wait(START_S)
        if not in_time or READY not in "".join(self._lines):
            raise NotStarted("".join(self._lines[-12:]).strip() or "the server said nothing")

    def stop(self) -> None:
        """End it, patiently and then not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(20)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def rest(self, case: Case) -> RestAnswer:
        """Send a REST case. Raises OSError or HTTPException where there is no answer."""
        told = case.told
        path = filled(told["path"], self.placeholders)
        return self.request(told["method"], path, body_of(told, self.placeholders), told.get("headers") or {})

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> RestAnswer:
        """Send one HTTP request on a connection of its own."""
        client = http.client.HTTPConnection("127.0.0.1", self.ports[1], timeout=ASK_S)
        try:
            client.request(method, path, body=body, headers=dict(headers))
            answer = client.getresponse()
            return RestAnswer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )
        finally:
            client.close()

    def grpc(self, case: Case) -> GrpcAnswer:
        """Send a gRPC case."""
        target = filled(case.told.get("transport", f"127.0.0.1:{self.ports[0]}"), self.placeholders)
        return self.call(f"/{case.told['rpc']}", request_of(case.told, self.placeholders), target)

    def call(self, method: str, request: bytes, target: str = "") -> GrpcAnswer:
        """Send one message on a channel of its own."""
        kinds = MESSAGES.get(method_of({"rpc": method}))
        with grpc.insecure_channel(target or f"127.0.0.1:{self.ports[0]}", options=_ANY_SIZE) as channel:
            try:
                ask: Any = channel.unary_unary  # its (de)serialisers may be left out, whatever its types say
                raw = ask(method)(request, timeout=ASK_S)
            except grpc.RpcError as error:
                return GrpcAnswer(error.code().name, error.details() or "")
        return GrpcAnswer("OK", "", kinds[1].FromString(raw) if kinds else None)


@contextmanager
def servers(
    file: CaseFile, group: Group, fronts: tuple[str, ...], begin: Begin = begin_process
) -> Iterator[dict[str, CaseServer | NotStarted]]:
    """Lend a ready server for each front, started side by side; in the place of one that did not start, why."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        found: dict[str, CaseServer | NotStarted] = {}
        started = {front: _start(file, group, front, Path(folder), begin) for front in fronts}
        try:
            for front in fronts:
                for attempt in range(TRIES):
                    try:
                        started[front].wait()
                        found[front] = started[front]
                        break
                    except NotStarted as problem:
                        found[front] = problem
                        started[front].stop()
                        if "listen" not in str(problem) or attempt == TRIES - 1:
                            break
                        # Another took the port meanwhile.
                        started[front] = _start(file, group, front, Path(folder), begin)
            yield found
        finally:
            for server in started.values():
                server.stop()


def _start(file: CaseFile, group: Group, front: str, folder: Path, begin: Begin) -> CaseServer:
    port, rest_port = free_ports(2)
    placeholders = file.placeholders(str(folder / f"{front}.socket"))
    words = [f"--port={port}", f"--rest_api_port={rest_port}", "--insecure", f"--rpc={front}"]
    if group.config:
        config = folder / f"{front}.config"
        config.write_text(filled(group.config, placeholders), encoding="utf-8")
        words.append(f"--model_config_file={config}")
    else:
        words += [f"--model_name={group.served_as}", f"--model_base_path={file.base_path(group.model)}"]
    words += [filled(flag, placeholders) for flag in group.flags]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    process = begin([sys.executable, "-m", "strongroom", "serve", *words], env=environment)
    return CaseServer(process, (port, rest_port), placeholders)
