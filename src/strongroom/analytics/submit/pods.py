"""Hear from Kubernetes which executors' pods ended, and note those that could not prove what they are in a roll call.

World: the API server, with the service account of the pod that this process is in; a thread. Nobody has to trust what
it says: it is for people and for ending a job early (see agent.roll_call).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strongroom.analytics.agent.roll_call import RollCall
from strongroom.errors import Refused
from strongroom.pki import disk
from strongroom.sparkjobs.properties import SESSION_LABEL

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_LINE_BYTES: Final = 1 << 20  # of one pod
MAX_TOKEN_BYTES: Final = 64 * 1024
WATCH_S: Final = 300
_ATTEMPT_S: Final = 30.0
_PAUSE_S: Final = 1.0
_CODE: Final = re.compile(r"\[(SR-[A-Z0-9-]{2,60})\]", re.ASCII)
_EXECUTOR: Final = "spark-exec-id"  # Spark's label


@dataclass(frozen=True, slots=True)
class Ended:
    """A pod whose executor has ended: its name, the executor's id, the exit status, its last words."""

    pod: str
    executor: str
    status: int
    said: str

    @property
    def code(self) -> str:
        """Why an executor was refused, by its last words; empty where it was not."""
        if self.status != Refused.exit_status:
            return ""
        found = _CODE.findall(self.said)
        return found[-1] if found else f"status {self.status}"


def ended(line: bytes) -> Ended | None:
    """Read one event of a watch on pods; None unless it says that a container has ended."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    pod = _at(event, "object")
    name, labels = _at(pod, "metadata", "name"), _at(pod, "metadata", "labels", _EXECUTOR)
    for container in _list(_at(pod, "status", "containerStatuses")):
        status, said = (_at(container, "state", "terminated", each) for each in ("exitCode", "message"))
        if isinstance(name, str) and type(status) is int:
            executor = labels if isinstance(labels, str) else "?"
            return Ended(_plain(name), _plain(executor), status, said[-4096:] if isinstance(said, str) else "")
    return None


class PodWatch:
    """Watches the executors' pods of one session; each that ends is noted once."""

    def __init__(self, master: str, namespace: str, session: str, roll_call: RollCall, account: Path = ACCOUNT) -> None:
        self._url = urllib.parse.urlsplit(master.removeprefix("k8s://"))
        query = {"labelSelector": f"{SESSION_LABEL}={session}", "watch": "true", "timeoutSeconds": str(WATCH_S)}
        place = f"/api/v1/namespaces/{urllib.parse.quote(namespace, safe='')}/pods"
        self._path = f"{self._url.path.rstrip('/')}{place}?{urllib.parse.urlencode(query)}"
        self._session, self._account = session, account
        self.roll_call: Final = roll_call
        self._over, self._lock = threading.Event(), threading.Lock()
        self._connection: http.client.HTTPSConnection | None = None
        self._thread = threading.Thread(target=self._run, name="pods", daemon=True)
        self.ended: dict[str, Ended] = {}

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End listening, and wait for that."""
        self._over.set()
        with self._lock:
            if self._connection is not None and self._connection.sock is not None:
                with contextlib.suppress(OSError):
                    self._connection.sock.shutdown(socket.SHUT_RDWR)  # wakes who reads, which closing would not
        self._thread.join(_ATTEMPT_S)

    def hear(self, found: Ended) -> None:
        """Note a pod that ended; one that was refused goes into the roll call."""
        if found.pod in self.ended:
            return
        self.ended[found.pod] = found
        if found.code:
            self.roll_call.add("executor", found.executor, self._session, found.pod, code=found.code,
                               sentence="the program of this pod was refused")  # fmt: skip

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._listen()
            except (OSError, ValueError, http.client.HTTPException) as problem:  # closed, or not reached for now
                if not self._over.is_set():
                    sys.stderr.write(f"spark submit: the executors' pods cannot be watched for now: {problem}\n")
            self._over.wait(_PAUSE_S)

    def _listen(self) -> None:
        context = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        token = disk.read_bounded(self._account / "token", limit=MAX_TOKEN_BYTES).decode("ascii").strip()
        host, port = self._url.hostname or "", self._url.port or 443
        connection = http.client.HTTPSConnection(host, port, timeout=WATCH_S + _ATTEMPT_S, context=context)
        with self._lock:
            self._connection = connection
        try:
            connection.request("GET", self._path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise http.client.HTTPException(f"the API server answers {answer.status}")
            while line := answer.readline(MAX_LINE_BYTES):
                found = ended(line)
                if found is not None:
                    self.hear(found)
        finally:
            connection.close()


def in_a_pod() -> bool:
    """Return whether this process has a service account of a cluster."""
    return (ACCOUNT / "token").is_file()


@contextmanager
def pods_noted(master: str, namespace: str, session: str, folder: Path) -> Iterator[PodWatch | None]:
    """Lend a watch while a driver runs; None outside of a cluster, where Spark alone looks after its executors."""
    if not session or not in_a_pod():
        yield None
        return
    watch = PodWatch(master, namespace, session, RollCall(folder / "pods.jsonl"))
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def _at(value: Any, *names: str) -> Any:  # noqa: ANN401  # a JSON tree
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _list(value: Any) -> list[Any]:  # noqa: ANN401  # a JSON tree
    return value if isinstance(value, list) else []


def _plain(text: str) -> str:
    return "".join(each for each in text[:253] if each.isascii() and each.isprintable())
