"""Read from the API server through one `kubectl proxy` on a socket that only its owner can open.

World: a child process and a Unix socket in a 0700 folder. It only reads (GET), keeps one connection, and gives what
`kubectl get --raw` hides: a pod's own answer with its status (503 and the reason), and the server's clock.
"""

from __future__ import annotations

import http.client
import select
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from strongroom.deploy.cluster import kubectl_errors as errors
from strongroom.deploy.cluster.kubectl import MAX_ANSWER_BYTES, Kubectl, read_object

START_S: Final = 20.0
ANSWER_S: Final = 20.0
POD_ANSWER_BYTES: Final = 1024 * 1024
_REFUSED: Final = "^(POST|PUT|PATCH|DELETE)$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: status, body, and the Date header of whoever answered."""

    status: int
    body: bytes
    date: str | None


class Api:
    """The API server, for reading."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._connection: _Connection | None = None

    def ask(self, path: str, *, most: int = MAX_ANSWER_BYTES) -> Answer:
        """GET a path as it is; any status is an answer. Raises ClusterUnreachable."""
        try:
            return self._ask(path, most)
        except (OSError, http.client.HTTPException):
            self.close()  # the server closed a connection that was kept: once more on a new one
        try:
            return self._ask(path, most)
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            raise errors.ClusterUnreachable(f"the API server did not answer: {type(problem).__name__}") from None

    def read(self, path: str) -> dict[str, Any]:
        """GET a path of the API and return the JSON object. Raises what `kubectl_errors` has."""
        answer = self.ask(path)
        if answer.status != http.HTTPStatus.OK:
            raise refusal(answer, path)
        return read_object(answer.body, what=path.partition("?")[0])

    def items(self, path: str) -> tuple[dict[str, Any], ...]:
        """GET a list and return its items."""
        found = self.read(path).get("items")
        return tuple(each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()

    def ask_pod(self, namespace: str, pod: str, port: int, path: str, *, tls: bool = False) -> Answer:
        """GET a path from a pod's own port, as the API server reaches it."""
        scheme = "https:" if tls else ""
        where = f"/api/v1/namespaces/{quote(namespace)}/pods/{scheme}{quote(pod)}:{port}/proxy{path}"
        return self.ask(where, most=POD_ANSWER_BYTES)

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, path: str, most: int) -> Answer:
        if self._connection is None:
            self._connection = _Connection(self._place)
        self._connection.request("GET", path, headers={"Accept": "application/json, text/plain"})
        answer = self._connection.getresponse()
        body = answer.read(most + 1)
        if len(body) > most:
            self.close()
            raise errors.AnswerMalformed(f"{path.partition('?')[0]}: the answer is longer than {most} bytes")
        return Answer(status=answer.status, body=body, date=answer.getheader("Date"))


def refusal(answer: Answer, path: str) -> Exception:
    """Return what an answer that is not 200 means, by the Status object in it. Pure."""
    try:
        status = read_object(answer.body, what="status")
    except errors.AnswerMalformed:
        words = answer.body[:400].decode("utf-8", "replace")
        return errors.ClusterUnreachable(f"the API server cannot be reached: {errors.one_line(words)}")
    complaint = f"Error from server ({status.get('reason')}): {status.get('message')}"
    return errors.error_of(complaint, doing=f"reading {path.partition('?')[0]}")


@contextmanager
def api(kubectl: Kubectl) -> Iterator[Api]:
    """Lend the API server for the length of a `with` block. Raises KubectlMissing and KubectlConfig."""
    with tempfile.TemporaryDirectory(prefix="strongroom-") as folder, tempfile.TemporaryFile() as complaints:
        place = Path(folder) / "api"
        argv = kubectl.argv("proxy", f"--unix-socket={place}", f"--reject-methods={_REFUSED}", namespaced=False)
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints) as child:
            lent = Api(place)
            try:
                _await_start(child, complaints)
                yield lent
            finally:
                lent.close()
                child.terminate()


def _await_start(child: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
    """Wait until the proxy says that it serves."""
    first = first_line(child, START_S)
    if b"Starting to serve" in first:
        return
    complaints.seek(0)
    said = complaints.read(65536).decode("utf-8", "replace")
    raise errors.error_of(said or first.decode("utf-8", "replace"), doing="kubectl proxy")


def first_line(child: subprocess.Popen[bytes], within_s: float) -> bytes:
    """Return the first line that a child prints, or nothing if it ends or is silent."""
    stream = child.stdout
    if stream is None:
        raise ValueError("the child was started without a pipe")
    ready, _, _ = select.select([stream], [], [], within_s)
    return stream.readline(4096) if ready else b""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, place: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._place = place

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._place))


def selector(labels: Mapping[str, str]) -> str:
    """Return labels as the query of a list."""
    return "labelSelector=" + quote(",".join(f"{name}={value}" for name, value in labels.items()))
