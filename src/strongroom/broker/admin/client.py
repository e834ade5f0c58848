"""Administer a broker over the network: mutual TLS to its admin port, and the same methods as here.

World: the network and the identity's files. The server's certificate is checked against the one CA that comes with the
identity, redirects and proxies are not followed, an answer is bounded, and nothing is sent twice.
"""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, SSLError
from urllib3.util import Timeout

from strongroom.broker.admin.arguments import to_json
from strongroom.broker.admin.desk import Desk
from strongroom.broker.admin.operations import OPERATIONS, Operation
from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable
from strongroom.pki import disk, keys
from strongroom.pki.lending import as_path
from strongroom.secret import Secret
from strongroom.wire import strict_json

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
STEP_S: Final = 10.0
ANSWER_S: Final = 120.0  # a tenant's secrets may all be wrapped again
CERTIFICATE: Final = "cert.pem"
KEY: Final = "key.pem"
CA: Final = "ca.pem"
_REFUSALS: Final = frozenset({401, 403, 409, 412})


class AdminAddress(BadInput):
    """The address of a broker's admin port is not https://HOST:PORT."""

    code = "SR-ADMIN-ADDRESS"
    fix = "Give --broker https://HOST:PORT with the admin port, 8443 by default."


class AdminIdentity(BadInput):
    """A folder does not hold an administrator's identity."""

    code = "SR-ADMIN-IDENTITY"
    fix = "Name the folder that strongroom broker admin add wrote: cert.pem, key.pem (0600) and ca.pem."


class AdminUnreachable(Unreachable):
    """The broker's admin port cannot be reached, or did not answer as one."""

    code = "SR-ADMIN-UNREACHABLE"
    fix = "Check that the broker runs with --admin-port, and that address, port and CA are its own."


class AdminUnknownState(Unreachable):
    """The connection broke after a change was sent: it may have been made or not."""

    code = "SR-ADMIN-UNKNOWN-STATE"
    fix = (
        "Look at what there is now before you ask again; a retry with the same expected version changes nothing twice."
    )


class BrokerSaysNo(Refused):
    """The broker refused an administrative action."""

    code = "SR-ADMIN-REFUSED"
    fix = "The sentence names the broker's own code: strongroom explain CODE says more."


class BrokerCannotUse(BadInput):
    """The broker could not use what it was asked."""

    code = "SR-ADMIN-BAD-REQUEST"
    fix = "The sentence names the broker's own code: strongroom explain CODE says more."


class RemoteAdministration(Desk):
    """A broker's administration over HTTPS, as the person of one identity. Threads may share it."""

    def __init__(self, url: str, *, certificate_pem: bytes, key: Path, ca_pem: bytes) -> None:
        self._url = _base(url)
        self._greeted = False
        self._pool = urllib3.PoolManager(
            num_pools=1, retries=False, ssl_context=_context(certificate_pem, key, ca_pem),
            timeout=Timeout(connect=STEP_S, read=ANSWER_S),
        )  # fmt: skip

    @classmethod
    def open(cls, url: str, identity: Path) -> RemoteAdministration:
        """Take the identity of a folder. Raises AdminAddress, AdminIdentity or LoosePermissions."""
        try:
            disk.check_private(identity / KEY)
            certificate, ca = (
                disk.read_bounded(identity / name, limit=keys.MAX_PEM_BYTES) for name in (CERTIFICATE, CA)
            )
        except (FileNotFoundError, NotADirectoryError) as problem:
            raise AdminIdentity(f"{problem.filename} is not there") from None
        return cls(url, certificate_pem=certificate, key=identity / KEY, ca_pem=ca)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _carry_out(self, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401  # JSON
        path, rest = operation.path, dict(arguments)
        for parameter in operation.parameters:
            if operation.in_path(parameter):
                path = path.replace(f"{{{parameter.name}}}", quote(str(rest.pop(parameter.name)), safe=""))
        headers = {"accept": "application/json"}
        body = None
        if operation.method == "GET":
            path += f"?{urlencode(rest)}" if rest else ""
        else:
            body = json.dumps(to_json(rest)).encode()
            headers["content-type"] = "application/json"
            self._greet(headers)
        status, data = self._ask(operation.method, self._url + path, body, headers)
        return _answer(status, data)

    def _greet(self, headers: dict[str, str]) -> None:
        """Ask who we are before the first change: a refused certificate must not look like a change half made."""
        if not self._greeted:
            _answer(*self._ask("GET", f"{self._url}{OPERATIONS['whoami'].path}", None, headers))
            self._greeted = True

    def _ask(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            response = self._pool.request(
                method, url, body=body, headers=headers, redirect=False, preload_content=False, decode_content=False
            )
            try:
                data = response.read(MAX_ANSWER_BYTES + 1)
            finally:
                response.release_conn()
        except (HTTPError, OSError) as problem:
            kind = AdminUnreachable if method == "GET" or _never_left(problem) else AdminUnknownState
            raise kind(f"{self._url}: {_short(problem)}") from None
        if len(data) > MAX_ANSWER_BYTES:
            raise AdminUnreachable(f"{self._url} answered more than {MAX_ANSWER_BYTES} bytes")
        return response.status, data


def _never_left(problem: Exception) -> bool:
    """Return whether a request cannot have reached the broker: there was no connection, or no trust in it."""
    unverified = isinstance(problem, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(problem)
    return unverified or isinstance(problem, NewConnectionError | ConnectTimeoutError | NameResolutionError)


def _short(problem: Exception) -> str:
    """Return what went wrong in a few words; a body is never among them."""
    reason = getattr(problem, "reason", None) or problem
    return f"{type(problem).__name__} ({str(reason)[:160]})"


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AdminAddress(f"{url[:100]!r} is no address") from None
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.path not in {"", "/"}:
        raise AdminAddress(f"{url[:100]!r} is not https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port or 8443}"


def _context(certificate_pem: bytes, key: Path, ca_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
        secret = disk.read_secret(key, limit=keys.MAX_PEM_BYTES)
        with as_path(Secret(certificate_pem)) as chain, as_path(secret) as lent:
            context.load_cert_chain(chain, lent, password=_no_passphrase)
    except (OSError, ValueError) as problem:  # SSLError is an OSError
        reason = getattr(problem, "reason", None) or type(problem).__name__
        raise AdminIdentity(f"certificate, key or CA of the identity are not usable: {reason}") from None
    return context


def _no_passphrase() -> str:
    raise AdminIdentity("the key of the identity is protected by a passphrase")


def _answer(status: int, data: bytes) -> Any:  # noqa: ANN401  # JSON
    """Return what the broker answers. Raises its problem."""
    found = strict_json.loads(data, what="the broker's answer", error=AdminUnreachable, max_bytes=MAX_ANSWER_BYTES)
    if status != 200:
        raise _problem(status, found)
    return found


def _problem(status: int, answer: object) -> StrongroomError:
    """Return the broker's problem as an error of the family it belongs to."""
    members = answer if isinstance(answer, dict) else {}
    code, detail = (str(members.get(name, ""))[:400] for name in ("code", "detail"))
    sentence = f"the broker answers {status} {code}: {detail}".rstrip(": ")
    fix = members.get("fix")
    if status >= 500:
        return AdminUnreachable(sentence, fix="The broker's log has the reason; try again later.")
    kind = BrokerSaysNo if status in _REFUSALS else BrokerCannotUse
    return kind(sentence, fix=fix[:400] if isinstance(fix, str) and fix else None)
