"""Ask a Flink cluster's REST API, with a certificate on both sides.

World: sockets. Flink asks for the client's certificate in the handshake (security.ssl.rest.authentication-enabled); the
server's is verified against the one CA of the folder, names included. Answers are bounded. Flink REST API v1.
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from strongroom.errors import BadInput, Refused, Unreachable

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
TIMEOUT_S: Final = 10.0
UNAVAILABLE: Final = 503
_FILES: Final = ("ca.pem", "cert.pem", "key.pem")


class BadFlinkAddress(BadInput):
    """The address of a Flink cluster is not HOST:PORT."""

    code = "SR-FLINK-ADDRESS"
    fix = "Name the REST port of the job manager, such as -m flink.example.com:8081."


class NoFlinkCertificate(BadInput):
    """The folder with the client's certificate for Flink is incomplete or cannot be used."""

    code = "SR-FLINK-TLS"
    fix = "Give --tls-dir a folder with ca.pem, cert.pem and key.pem; strongroom flink up makes one (DIR/tls)."


class FlinkAway(Unreachable):
    """Flink's REST API does not answer, or not as the server that its certificate authority knows."""

    code = "SR-FLINK-AWAY"
    fix = "Check strongroom flink status and the logs in the cluster's folder; for -m, the address and --tls-dir."


class FlinkRefused(Refused):
    """Flink refused what it was asked."""

    code = "SR-FLINK-REFUSED"
    fix = "The job manager's log says why; strongroom flink status lists the jobs there are."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster's REST API is, and the folder with ca.pem, cert.pem and key.pem for it."""

    host: str
    port: int
    tls: Path

    @classmethod
    def of(cls, address: str, tls: Path) -> Self:
        """Read HOST:PORT ([::1]:8081 for an IPv6 address). Raises BadFlinkAddress."""
        host, sign, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        odd = not host or any(not "!" <= each <= "~" or each in "/@\"'\\" for each in host)
        if not sign or odd or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
            raise BadFlinkAddress(f"{address[:80]!r} is not HOST:PORT")
        return cls(host, int(port), tls)

    def context(self) -> ssl.SSLContext:
        """Return what verifies the server and shows the client's certificate. Raises NoFlinkCertificate."""
        ca, certificate, key = (self.tls / name for name in _FILES)
        try:
            context = ssl.create_default_context(cafile=str(ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except (OSError, ValueError) as problem:  # SSLError is an OSError
            reason = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or type(problem).__name__
            raise NoFlinkCertificate(f"{self.tls}: {reason}") from None
        return context


def _no_passphrase() -> str:
    raise ValueError("the key is protected by a passphrase")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the REST API said."""

    status: int
    kind: str
    body: bytes


class Rest:
    """One cluster's REST API. One connection for each call: calls are rare, and a job manager may have moved."""

    def __init__(self, place: Place, *, timeout_s: float = TIMEOUT_S) -> None:
        self.place = place
        self._context = place.context()
        self._timeout_s = timeout_s

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Return the answer to one request. Raises FlinkAway."""
        place = self.place
        connection = http.client.HTTPSConnection(place.host, place.port, timeout=self._timeout_s, context=self._context)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            with connection.getresponse() as response:
                data = response.read(MAX_ANSWER_BYTES + 1)
                kind = response.getheader("Content-Type") or ""
        except (OSError, http.client.HTTPException) as problem:
            reason = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or type(problem).__name__
            raise FlinkAway(f"https://{place.host}:{place.port} does not answer: {reason}") from None
        finally:
            connection.close()
        if len(data) > MAX_ANSWER_BYTES:
            raise FlinkAway(f"https://{place.host}:{place.port} answers with more than {MAX_ANSWER_BYTES} bytes")
        return Answer(response.status, kind, data)

    def get(self, path: str) -> dict[str, Any]:
        """Return a JSON answer. Raises FlinkAway, FlinkRefused."""
        return self._json("GET", path, None)

    def post(self, path: str, tree: object) -> dict[str, Any]:
        """Send JSON and return the JSON answer. Raises FlinkAway, FlinkRefused."""
        return self._json("POST", path, json.dumps(tree).encode())

    def cancel(self, job: str) -> None:
        """Ask for the end of a job. Raises FlinkAway, FlinkRefused."""
        self._json("PATCH", f"/jobs/{job}?mode=cancel", None)

    def _json(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        answer = self.ask(method, path, body)
        try:
            tree = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise FlinkAway(f"{path} answers with something else than JSON (status {answer.status})") from None
        if answer.status == UNAVAILABLE:  # a job manager that starts answers before it leads
            raise FlinkAway(f"{path}: {_reason(tree)}")
        if answer.status >= 400 or not isinstance(tree, dict):
            raise FlinkRefused(f"{path}: {_reason(tree)}")
        return tree


def _reason(tree: object) -> str:
    """Return the first line of Flink's errors: what follows is a Java stack."""
    errors = tree.get("errors") if isinstance(tree, dict) else None
    first = str(errors[0]) if isinstance(errors, list) and errors else "no reason given"
    return first.strip().splitlines()[0][:300] if first.strip() else "no reason given"
