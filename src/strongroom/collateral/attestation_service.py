"""Ask a remote verifier (Azure Attestation, Intel Trust Authority) for a token about a quote, and for its keys.

World: HTTPS to the one configured host. Plain HTTP is for loopback, redirects are not followed, every answer has a
size limit and every exchange a deadline. Nothing that comes back is believed here: `attestation.tokens` checks it.
Calls as in specification gramine section 11; no real service has been asked yet.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import urllib3

from strongroom.attestation import Tee
from strongroom.attestation.claims import EvidenceSource
from strongroom.attestation.tokens import MAX_KEY_SET_BYTES, MAX_TOKEN_BYTES, KeySet, Profile
from strongroom.attestation.tokens.jws import base64url_text
from strongroom.collateral.watch import Watch, watched
from strongroom.errors import BadInput, Refused, Unreachable
from strongroom.secret import Secret
from strongroom.wire import strict_json

TIMEOUT_S: Final = 10.0
MAX_URL_LENGTH: Final = 512
MAX_REFUSAL_BYTES: Final = 4096
_CHUNK: Final = 16 * 1024
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MAA_CALLS: Final = {
    Tee.SGX: "/attest/SgxEnclave?api-version=2022-08-01",
    Tee.TDX: "/attest/TdxVm?api-version=2023-04-01-preview",
}
_ITA_CALL: Final = "/appraisal/v1/attest"


class ServiceAddressUnusable(BadInput):
    """The address of an attestation service is not one that may be asked."""

    code = "SR-ATTESTATION-SERVICE-ADDRESS"
    fix = "Give https://HOST, without user, query or fragment; http:// is for a double on this machine."


class ServiceUnreachable(Unreachable):
    """The attestation service does not answer, or not with what it documents."""

    code = "SR-ATTESTATION-SERVICE"
    fix = "Check the address and the network, then try again; nothing is accepted meanwhile."


class ServiceRefused(Refused):
    """The attestation service does not vouch for this quote, or not for this caller."""

    code = "SR-ATTESTATION-SERVICE-REFUSED"
    fix = "Read the service's reason; check its policy, the API key, and the quote with strongroom quote verify."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAddress:
    """Where a service is: checked, without a slash at the end."""

    url: str
    key_set_url: str

    @classmethod
    def of(cls, url: str, *, key_set_url: str | None = None) -> ServiceAddress:
        """Return the address; its keys are at `{url}/certs` unless another place is named."""
        base = _checked(url)
        return cls(url=base, key_set_url=_checked(key_set_url) if key_set_url else f"{base}/certs")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ServiceAddressUnusable(f"{url[:128]!r} is not an address") from None
    plain = parts.scheme == "http" and host in _LOOPBACK
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise ServiceAddressUnusable(f"{url[:128]!r} is too long or not plain ASCII")
    if not host or not (parts.scheme == "https" or plain):
        raise ServiceAddressUnusable(f"{url[:128]!r} is neither https:// nor http:// on this machine")
    if parts.username is not None or parts.query or parts.fragment or "?" in url or "#" in url:
        raise ServiceAddressUnusable(f"{url[:128]!r} has more than a host, a port and a path")
    return url.rstrip("/")


class AttestationService:
    """One configured service. Threads may share it."""

    def __init__(
        self, profile: Profile, address: ServiceAddress, *, ca_file: Path | None = None, api_key: Secret | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:  # fmt: skip
        self.profile = profile
        self.address = address
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def key_set(self, issuer: str) -> tuple[bytes, KeySet]:
        """Return the key set that the service publishes, as received and as read. Raises KeySetUnusable."""
        raw = self._exchange("GET", self.address.key_set_url, None, {}, MAX_KEY_SET_BYTES)
        return raw, KeySet.parse(raw, issuer=issuer, url=self.address.key_set_url)

    def attest(self, quote: bytes, *, tee: Tee, bound: bytes) -> bytes:
        """Return the service's token for a quote; `bound` is what the quote's report data is the hash of.

        Raises ServiceRefused or ServiceUnreachable. The token is not verified.
        """
        maa = self.profile.source is EvidenceSource.MAA
        data, evidence = base64url_text(bound).decode("ascii"), base64url_text(quote).decode("ascii")
        body: dict[str, object] = {"quote": evidence}
        body |= {"runtimeData": {"data": data, "dataType": "Binary"}} if maa else {"runtime_data": data}
        call = _MAA_CALLS[tee] if maa else _ITA_CALL
        headers = {"Content-Type": "application/json"}
        content = json.dumps(body).encode("ascii")
        answer = self._exchange("POST", self.address.url + call, content, headers, 2 * MAX_TOKEN_BYTES)
        match strict_json.loads(answer, what="the service's answer", error=ServiceUnreachable, max_depth=8):
            case {"token": str(token)} if token.isascii():
                return token.encode("ascii")
        raise ServiceUnreachable(f"{self.address.url} answered without a token")

    def _exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], limit: int) -> bytes:
        """Send one request; return the body of an answer with status 200. Never through a proxy."""
        known = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "strongroom"}
        try:
            with Watch(self._timeout_s) as watch, urllib3.PoolManager(num_pools=1, ssl_context=self._tls) as manager:
                pool = manager.connection_from_url(url)
                pool.ConnectionCls = watched(pool, watch)
                response = manager.request(
                    method, url, body=body, headers={**known, **headers, **self._credentials(method)}, redirect=False,
                    retries=False, preload_content=False, decode_content=False, timeout=self._timeout_s,
                )  # fmt: skip
                try:
                    content = self._read(response, limit)
                finally:
                    response.close()
                if watch.fired:  # what the watch cut off can look like a short but whole answer
                    raise TimeoutError
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as problem:
            reason = f"no whole answer within {self._timeout_s:g} s" if watch.fired else _reason(problem)
            raise ServiceUnreachable(f"{url} does not answer: {reason}") from None
        self._check_status(url, response.status, content)
        return content

    def _credentials(self, method: str) -> dict[str, str]:
        """Return the header with the API key, for the call that wants it."""
        if self._api_key is None or method != "POST":
            return {}
        with self._api_key.reveal() as key:
            return {"x-api-key": bytes(key).decode("ascii")}

    def _read(self, response: urllib3.BaseHTTPResponse, limit: int) -> bytes:
        """Return the body: whole, or the beginning of a refusal."""
        limit = limit if response.status == 200 else MAX_REFUSAL_BYTES
        body = bytearray()
        while part := response.read1(_CHUNK, decode_content=False):
            body += part
            if len(body) > limit:
                if response.status == 200:
                    raise ServiceUnreachable(f"the service's answer is longer than {limit} bytes")
                return bytes(body[:limit])
        return bytes(body)

    def _check_status(self, url: str, status: int, content: bytes) -> None:
        if status == 200:
            return
        if status in (400, 401, 403, 422):
            raise ServiceRefused(f"{url} answered {status}: {content[:200].decode('utf-8', 'replace')!r}")
        moved = " (redirects are not followed)" if 300 <= status < 400 else ""
        raise ServiceUnreachable(f"{url} answered {status}{moved}")


def _reason(problem: Exception) -> str:
    """Return what went wrong in a few words, without addresses of objects."""
    cause = getattr(problem, "reason", None) or problem
    return str(getattr(cause, "strerror", None) or type(cause).__name__)[:128]
