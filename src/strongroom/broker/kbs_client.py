"""Ask a KBS for one secret: verify who answers, prove what we are, open what comes back.

World: one TLS connection, the platform. The broker's certificate is checked against the CA and name that were given
before anything is sent (threat FB-21). Nothing is followed: no redirect, no proxy, no second broker in the middle of a
session. Answers are bounded in bytes and in time.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import secrets
import ssl
import time
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom import __version__
from strongroom.attestation import Tee
from strongroom.broker import kbs
from strongroom.broker.gramine_client import (
    DEFAULT_TIMEOUT_S,
    BrokerRefused,
    BrokerUnreachable,
    BrokerUntrusted,
    CertificateAuthorityUnusable,
    Quoting,
)
from strongroom.broker.kbs_dialogue import (
    MAX_ANSWER_BYTES,
    Dialogue,
    KbsAnswerMalformed,
    Obtained,
    check_token_answer,
    is_kbs_error,
)
from strongroom.broker.names import DEFAULT_TENANT, SecretName
from strongroom.errors import BadInput
from strongroom.pki.report_data import report_data_of
from strongroom.platforms import GramineDevice, TdxGuest

USER_AGENT: Final = f"strongroom/{__version__}"
LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9_.-]+)*", re.ASCII)
_COOKIE: Final = re.compile(rf"{kbs.COOKIE}=([A-Za-z0-9._-]{{1,128}})(;|$)", re.ASCII)
_READ_BYTES: Final = 65536


class KbsAddress(BadInput):
    """The address of a KBS is not https://HOST, https://HOST:PORT, or one of these with a path."""

    code = "SR-KBS-ADDRESS"
    fix = "Write https://HOST:PORT with the name that is in the broker's certificate. Plain HTTP is not spoken."


@dataclass(frozen=True, slots=True)
class Address:
    """Where a KBS is."""

    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read https://HOST[:PORT][/PREFIX]. Raises KbsAddress."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise KbsAddress(f"{url[:160]!r} is no address") from None
        prefix = parts.path.rstrip("/")
        if parts.scheme != "https" or not host or parts.username is not None or parts.query or parts.fragment:
            raise KbsAddress(f"{url[:160]!r} is not https://HOST:PORT")
        if not _PREFIX.fullmatch(prefix) or port == 0:
            raise KbsAddress(f"{url[:160]!r} has a path or port that is none")
        return cls(host, port or 443, prefix)

    def __str__(self) -> str:
        return f"https://{self.host}:{self.port}{self.prefix}"


def obtain(
    url: str, wanted: SecretName, *, ca_pem: bytes, platform: Quoting, tenant: str = DEFAULT_TENANT,
    deployment: str | None = None, lease_id: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S,
    request_id: str | None = None, binding_required: bool = True,
) -> Obtained:  # fmt: skip
    """Return the secret that the KBS at `url` releases to this process, sealed to a key made for this call.

    `request_id` is sent with every request, so that the broker's log has it too. Raises KbsAddress,
    CertificateAuthorityUnusable, BrokerUnreachable, BrokerUntrusted, BrokerRefused, KbsAnswerMalformed, KbsDowngraded,
    JweMalformed, BadSecretName, or what the platform raises.
    """
    path = wanted.to_kbs(tenant).removeprefix("kbs:///")
    address, request_id = Address.parse(url), request_id or secrets.token_hex(8)
    channel = _Channel(address, _context(ca_pem), time.monotonic() + timeout_s, request_id)
    try:
        channel.open()
        dialogue = Dialogue(
            tee_of(platform), path, kbs_key=channel.key, deployment=deployment, lease_id=lease_id,
            binding_required=binding_required,
        )  # fmt: skip
        challenge = channel.ask("POST", "/auth", dialogue.request())
        quote = platform.quote(dialogue.challenged(challenge))
        check_token_answer(channel.ask("POST", "/attest", dialogue.attestation(quote)))
        return dialogue.opened(channel.ask("GET", f"/resource/{path}", None))
    except TimeoutError:
        raise BrokerUnreachable(f"{address} did not answer within {timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as problem:
        raise BrokerUntrusted(f"the certificate of {address.host} is refused: {problem.verify_message}") from None
    except (OSError, http.client.HTTPException) as problem:
        raise BrokerUnreachable(f"{address}: {_reason(problem)}") from None
    finally:
        channel.close()


def tee_of(platform: Quoting) -> str:
    """Return what KBS calls the platform's kind of TEE; one that does not tell is asked for a quote over zeros."""
    if isinstance(platform, GramineDevice):
        return "sgx"
    if isinstance(platform, TdxGuest):
        return "tdx"
    tee, _ = report_data_of(platform.quote(bytes(kbs.REPORT_DATA_BYTES)), error=KbsAnswerMalformed)
    return "sgx" if tee is Tee.SGX else "tdx"


def _context(ca_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python before 3.11.4 takes a cut connection for its end
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    except (OSError, ValueError):  # SSLError is an OSError
        raise CertificateAuthorityUnusable("the broker's CA certificate is not PEM") from None
    return context


class _Channel:
    """One TLS connection to one broker, and the cookie of one session."""

    def __init__(self, address: Address, context: ssl.SSLContext, deadline: float, request_id: str) -> None:
        self._address = address
        self._connection = http.client.HTTPSConnection(address.host, address.port, context=context)
        self._deadline = deadline
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "X-Request-ID": request_id}
        self._socket: ssl.SSLSocket | None = None
        self.key = ""  # SHA-256 of the broker's key (SubjectPublicKeyInfo), hex

    def open(self) -> None:
        """Connect, and hold the broker to the key that it showed first."""
        self._connection.timeout = self._left()
        self._connection.connect()
        connected = self._connection.sock
        if not isinstance(connected, ssl.SSLSocket):
            raise TypeError("an HTTPS connection has a TLS socket")
        self._socket = connected
        certificate = x509.load_der_x509_certificate(connected.getpeercert(binary_form=True) or b"")
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        key = hashlib.sha256(spki).hexdigest()
        if self.key not in ("", key):
            raise BrokerUnreachable(f"another broker answers at {self._address} in the middle of a session")
        self.key = key

    def ask(self, method: str, path: str, body: bytes | None) -> bytes:
        """Return the body of a good answer. Raises BrokerRefused, BrokerUnreachable or KbsAnswerMalformed."""
        if self._connection.sock is None:
            self.open()
        self._bound()
        headers = self._headers if body is None else self._headers | {"Content-Type": "application/json"}
        self._connection.request(method, f"{self._address.prefix}{kbs.PREFIX}{path}", body=body, headers=headers)
        self._bound()
        response = self._connection.getresponse()
        answer = self._read(response)
        if response.status == http.client.OK:
            self._keep_cookie(response)
            return answer
        said = (
            f"{self._address} answered {response.status} to {method} {path} (request {self._headers['X-Request-ID']})"
        )
        if response.status in LATER:
            raise BrokerUnreachable(said)
        if response.status in (401, 403, 404) and is_kbs_error(answer):
            raise BrokerRefused(said)
        raise KbsAnswerMalformed(f"{said}, which is not how a KBS refuses")

    def close(self) -> None:
        self._connection.close()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        pieces, left = [], MAX_ANSWER_BYTES
        with response:  # all of it was read at the end, which http.client does not notice by itself
            while not response.isclosed():
                self._bound()
                piece = response.read1(_READ_BYTES)
                left -= len(piece)
                if left < 0:
                    raise KbsAnswerMalformed(f"an answer is longer than {MAX_ANSWER_BYTES} bytes")
                if not piece:
                    break
                pieces.append(piece)
            if response.length != 0 and not response.chunked:  # http.client takes a connection's end for an answer's
                raise BrokerUnreachable(f"{self._address} stopped in the middle of an answer")
        return b"".join(pieces)

    def _keep_cookie(self, response: http.client.HTTPResponse) -> None:
        for header in response.headers.get_all("Set-Cookie", []):
            found = _COOKIE.match(header)
            if found:
                self._headers = self._headers | {"Cookie": f"{kbs.COOKIE}={found[1]}"}

    def _bound(self) -> None:
        """Let what comes next take no longer than what is left."""
        if self._socket is not None:
            self._socket.settimeout(self._left())

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _reason(problem: Exception) -> str:
    if isinstance(problem, http.client.HTTPException):
        return f"it does not speak HTTP ({type(problem).__name__})"
    return (getattr(problem, "reason", None) or getattr(problem, "strerror", None) or type(problem).__name__).lower()
