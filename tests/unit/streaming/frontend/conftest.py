"""A front end on a port of its own, over TLS, with its event loop in a thread; and who answers behind it."""

import asyncio
import http.client
import json
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.names import Job
from strongroom.clusterserving.values import Result
from strongroom.pki import Authority
from strongroom.streaming.frontend.backends import Model, Settings
from strongroom.streaming.frontend.keystore import KeyFiles
from strongroom.streaming.frontend.options import FrontOptions
from strongroom.streaming.frontend.run import serve
from strongroom.streaming.frontend.servables import queue_servable


@dataclass
class Echo:
    """Answers each instance by doubling its numbers; a test may say what else becomes of one."""

    reason: str | None = None
    failing: dict = field(default_factory=dict)  # place -> the error of that instance
    gate: asyncio.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    calls: list = field(default_factory=list)
    answer: object = None

    async def predict(self, instances, *, timeout_s, idempotency_key=None):
        self.calls.append((len(instances), timeout_s, idempotency_key))
        self.entered.set()
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return [self._one(at, each) for at, each in enumerate(instances)]

    def _one(self, at, inputs):
        if at in self.failing:
            return Result(str(at), error=self.failing[at])
        if isinstance(self.answer, str):
            return Result(str(at), text=self.answer)
        if self.answer is not None:
            return Result(str(at), outputs=self.answer)
        values = next(iter(inputs.values()))
        return Result(str(at), outputs={"y": 2 * np.asarray(values, np.float32)[None]})

    async def not_ready_reason(self):
        return self.reason

    async def close(self):
        pass


@dataclass(frozen=True)
class FixedOptions(FrontOptions):
    """Options whose models a test made itself."""

    made: tuple = ()

    def models(self):
        return self.made or super().models()


class FrontHere:
    """A running front end; `ask` it."""

    def __init__(self, options, authority):
        self.options, self.authority = options, authority
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = None
        self._context = self.context()
        self.problem = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait()
        if self.problem is not None:
            self.stop()
            raise self.problem

    def _run(self):
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as problem:  # noqa: BLE001  # raised again in the test's thread
            self.problem = problem
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self):
        self._stop = asyncio.Event()

        def ready(port):
            self.port = port
            self._ready.set()

        await serve(self.options, self._stop, ready=ready)

    def call(self, function, *given):
        self._loop.call_soon_threadsafe(function, *given)

    def stop(self):
        if self._thread.is_alive():
            self.call(self._stop.set)
        self._thread.join()

    def context(self, leaf=None, folder=None):
        context = ssl.create_default_context(cadata=self.authority.certificate_pem.decode())
        if leaf is not None:
            certificate, key = folder / "client.pem", folder / "client.key"
            certificate.write_bytes(leaf.certificate_pem)
            with leaf.key_pem.reveal() as raw:
                key.write_bytes(raw)
            context.load_cert_chain(certificate, key)
        return context

    def connect(self, context=None):
        return http.client.HTTPSConnection("localhost", self.port, context=context or self._context, timeout=60)

    def ask(self, method, path, body=None, headers=None, context=None):
        """Return status, headers and body (as JSON where it is)."""
        connection = self.connect(context)
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            data = answer.read()
            is_json = answer.headers.get("content-type", "").startswith("application/json")
            return answer.status, answer.headers, json.loads(data) if is_json else data
        finally:
            connection.close()

    def predict(self, *instances, path="/predict", headers=None):
        return self.ask("POST", path, {"instances": list(instances)}, headers)


@pytest.fixture(scope="session")
def authority():
    return Authority.create("front test", now=datetime.now(UTC))


@pytest.fixture
def key_files(tmp_path, authority):
    """Return what writes a fresh certificate and key into one PEM file."""

    def write(path: Path | None = None, names=("localhost",)) -> KeyFiles:
        path = path or tmp_path / "front.pem"
        leaf = authority.issue_server(list(names), now=datetime.now(UTC))
        path.touch(0o600)
        with leaf.key_pem.reveal() as key:
            path.write_bytes(bytes(key) + leaf.certificate_pem)
        return KeyFiles(store=path)

    return write


@pytest.fixture
def front(key_files, authority):
    """Return what starts a front end: `front(backend)`, `front(models=...)` or `front(config=...)`."""
    started = []

    def start(backend=None, *, models=None, keys=None, config=None, servables=None, model_server=None, **settings):
        if backend is not None:
            models = [Model(queue_servable(Job("echo")), backend)]
        options = FixedOptions(
            keys=keys or key_files(), interface="127.0.0.1", port=0, config=config or QueueConfig(),
            settings=Settings(**settings), made=tuple(models or ()), servables=servables, model_server=model_server,
        )  # fmt: skip
        here = FrontHere(options, authority)
        started.append(here)
        return here

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def echo():
    return Echo
