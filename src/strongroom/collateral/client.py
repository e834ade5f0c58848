"""Ask one server for collateral over HTTP, with every bound that a hostile or broken server makes necessary.

World: the network. Ten seconds for each step and a deadline for the whole answer, at most 1 MiB of it, redirects within
one host only, TLS verified, repeated only where repeating can help. The subscription key goes to PCK certificate
requests alone, over TLS, and is never printed. Source: specification section 11.4.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TimeoutException
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout, make_headers, parse_url

from strongroom.attestation import Collateral, Quote
from strongroom.collateral import gather
from strongroom.collateral.answering import AnswerSource, SourceFailed
from strongroom.collateral.api import (
    ERROR_MESSAGE_HEADER,
    MAX_BODY_BYTES,
    SUBSCRIPTION_KEY_HEADER,
    Answer,
    BadCollateralRequest,
    Kind,
    Request,
)
from strongroom.collateral.profiles import Profile, is_link_local, is_loopback
from strongroom.collateral.watch import Watch, watched
from strongroom.pki import disk
from strongroom.secret import Secret

__all__ = ["AnswerSource", "HttpSource", "Limits", "SourceFailed", "read_subscription_key"]

STEP_TIMEOUT_S: Final = 10.0
ANSWER_DEADLINE_S: Final = 30.0
MAX_RETRY_AFTER_S: Final = 30.0
MAX_DELAY_S: Final = 30.0
MAX_REDIRECTS: Final = 3
MAX_HEADERS_BYTES: Final = 64 * 1024
MAX_KEY_BYTES: Final = 1024
_CHUNK_BYTES: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REASONS: Final = {
    400: "it does not understand the request",
    401: "it wants a subscription key or token",
    403: "it does not allow this",
    404: "it knows no such platform or certificate",
    410: "this evaluation number is retired",
    429: "it is asked too often",
    503: "it is not ready",
}
_FIXES: Final = {
    400: "Check the address: it ends before or with /sgx/certification/v4/ (or v3).",
    401: "Give the subscription key in a file of its own (subscription_key_file); Intel wants it for PCK certificates.",
    403: "Look whether this network may ask that server, and whether it wants a key.",
    404: "Check FMSPC and CA (platform or processor); a PCCS that does not ask upstream has to be filled first.",
    410: "Ask for the standard or early update, or for a newer evaluation number.",
    429: "Wait, or put a PCCS of your own in between: strongroom pccs serve.",
}
_CHECK_PROXY: Final = "Check https_proxy, http_proxy and no_proxy in the environment, and the proxy's own log."
_CHECK_SCHEME: Final = "Check the port; a PCCS without TLS is http://HOST:PORT."
_CHECK_SERVER: Final = "Check host and port, that the server runs, and the firewall and proxies in between."


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one answer, in seconds and bytes."""

    step_s: float = STEP_TIMEOUT_S
    answer_s: float = ANSWER_DEADLINE_S
    body_bytes: int = MAX_BODY_BYTES


class HttpSource:
    """One server. Threads may share it; it keeps no connection and no state but what is under way."""

    def __init__(
        self,
        profile: Profile,
        *,
        ca_file: Path | None = None,
        subscription_key: Secret | None = None,
        choice: gather.Choice | None = None,
        limits: Limits | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.profile = profile
        self._subscription_key = subscription_key
        self._choice = choice or gather.Choice()
        self._limits = limits or Limits()
        self._closed = threading.Event()
        self._under_way: set[Watch] = set()
        self._pause = pause or self._closed.wait
        self._tls = _tls_context(profile, ca_file)

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.profile.name

    def close(self) -> None:
        """End what is under way, and ask no more: whoever ends must not wait for a server that does not answer."""
        self._closed.set()
        for watch in tuple(self._under_way):
            watch.stop()

    def collateral_for(self, quote: Quote) -> Collateral:
        """Return collateral for a quote, as served; raise SourceFailed, BadAnswer or EvidenceRefused."""
        return gather.collateral_for(quote, lambda request, _root: self.answer(request), self._choice)

    def answer(self, request: Request) -> Answer:
        """Return the server's answer of status 200; raise SourceFailed."""
        if not self.profile.answers(request.kind):
            raise SourceFailed(f"{self.name} is not asked for {request.kind.value}")
        try:
            url = self.profile.url(request)
        except BadCollateralRequest as problem:
            raise SourceFailed(f"{self.name}: {problem.sentence}") from None
        delay = self.profile.first_delay_s
        for attempt in range(1, self.profile.attempts + 1):
            try:
                return self._once(url, request.kind)
            except SourceFailed as failure:
                if not failure.again or attempt == self.profile.attempts or self._closed.is_set():
                    raise
                self._pause(min(failure.after_s if failure.after_s is not None else delay, MAX_DELAY_S))
            delay = delay if self.profile.constant_delay else delay * 2
        raise SourceFailed(f"{self.name} was not asked at all")  # pragma: no cover  # attempts is 1 or more

    def _once(self, url: str, kind: Kind) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get(url, kind)
            if answer.status not in _REDIRECTS:
                return self._judged(answer)
            try:
                target = urljoin(url, answer.header("Location") or "")
                origin = _origin(target)
            except ValueError:  # as from a bracket that is not closed
                raise SourceFailed(f"{self.name} redirects to what is no address", fix=_FIXES[400]) from None
            if origin != _origin(url):
                raise SourceFailed(
                    f"{self.name} redirects to another host: {origin[:128]!r}",
                    fix="Name that host as the source if you meant to ask it.",
                    status=answer.status,
                )
            url = target
        raise SourceFailed(f"{self.name} redirects more than {MAX_REDIRECTS} times", fix=_FIXES[400])

    def _judged(self, answer: Answer) -> Answer:
        status = answer.status
        if status == 200:
            return answer
        said = (answer.header(ERROR_MESSAGE_HEADER) or "")[:160]
        reason = _REASONS.get(status, "it failed" if status >= 500 else "it refuses")
        words = f"{self.name} answers {status}: {reason}" + (f" ({said!r})" if said else "")
        after = _seconds(answer.header("Retry-After"))
        fix = _FIXES.get(status, "Try later, or name a second source." if status >= 500 else _FIXES[400])
        raise SourceFailed(words, fix=fix, status=status, again=status == 429 or status >= 500, after_s=after)

    def _get(self, url: str, kind: Kind) -> Answer:
        try:
            with self._watch() as watch, self._response(url, kind, watch) as response:
                headers = _bounded_headers(response, self.name)
                answer = Answer(status=response.status, headers=headers, body=self._body(response))
                if watch.fired:  # what the watch cut off can look like a short but whole answer
                    raise TimeoutError
                return answer
        except SSLError as problem:
            if "WRONG_VERSION_NUMBER" in str(problem):
                words = f"{self.name} cannot be read: what answers there speaks no TLS"
                raise SourceFailed(words, fix=_CHECK_SCHEME) from None
            raise SourceFailed(
                f"{self.name}: its TLS certificate does not hold: {_words(problem)[0]}",
                fix="If the server uses a certificate of its own, pin its CA with ca_file (or --ca-file).",
            ) from None
        except (HTTPError, OSError) as problem:
            words, fix = _words(problem)
            if watch.fired:
                closed = self._closed.is_set()
                words = "it was given up" if closed else f"no whole answer within {self._limits.answer_s:g} s"
                fix = _CHECK_SERVER
            raise SourceFailed(f"{self.name} cannot be read: {words}", fix=fix, again=not watch.fired) from None

    @contextmanager
    def _watch(self) -> Iterator[Watch]:
        with Watch(self._limits.answer_s) as watch:
            self._under_way.add(watch)
            try:
                if self._closed.is_set():
                    watch.stop()
                yield watch
            finally:
                self._under_way.discard(watch)

    @contextmanager
    def _response(self, url: str, kind: Kind, watch: Watch) -> Iterator[BaseHTTPResponse]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "strongroom", "Connection": "close"}
        headers.update(self.profile.headers_for(kind))
        with _manager(url, self._tls, self._limits.step_s) as manager:
            pool = manager.connection_from_url(url)
            pool.ConnectionCls = watched(pool, watch)
            if self._subscription_key is not None and kind in {Kind.PCK_CERT, Kind.PCK_CERTS} and _is_private(url):
                with self._subscription_key.reveal() as raw:
                    headers[SUBSCRIPTION_KEY_HEADER] = bytes(raw).decode("ascii")
            response = manager.request(
                "GET", url, headers=headers, redirect=False, retries=False, preload_content=False, decode_content=False
            )
            try:
                yield response
            finally:
                response.close()

    def _body(self, response: BaseHTTPResponse) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SourceFailed(f"{self.name} sends a compressed answer, which was not asked for")
        limit = self._limits.body_bytes
        body = bytearray()
        while chunk := response.read1(min(_CHUNK_BYTES, limit + 1 - len(body))):
            body += chunk
            if len(body) > limit:
                raise SourceFailed(f"{self.name} sends more than {limit} bytes")
        declared = response.headers.get("Content-Length", "")
        if declared.isdecimal() and len(declared) < 10 and int(declared) != len(body):
            raise SourceFailed(f"{self.name} sends {len(body)} of {declared} bytes", again=True)
        return bytes(body)


def read_subscription_key(path: Path) -> Secret:
    """Return the key for Intel's PCK service from a file that only its owner may read."""
    with disk.read_secret(path, limit=MAX_KEY_BYTES).reveal() as raw:
        key = bytes(raw).strip()
    if not key or not all(0x21 <= octet <= 0x7E for octet in key):
        raise SourceFailed(f"{path} does not hold a subscription key", fix="Put the key alone into the file.")
    return Secret(key)


def _manager(url: str, tls: ssl.SSLContext, timeout_s: float) -> urllib3.PoolManager:
    """Return a manager for one request, through the environment's proxy where one is set for this host.

    This machine and a cloud's metadata service are never asked through a proxy.
    """
    timeout = Timeout(connect=timeout_s, read=timeout_s)
    parts = urlsplit(url)
    proxy = getproxies_environment().get(parts.scheme)
    if proxy and not (is_loopback(url) or is_link_local(url) or proxy_bypass(parts.netloc)):
        address = proxy if "://" in proxy else f"http://{proxy}"
        user = parse_url(address).auth  # urllib3 reads it and does not send it
        headers = make_headers(proxy_basic_auth=unquote(user)) if user else None
        return urllib3.ProxyManager(address, proxy_headers=headers, num_pools=1, timeout=timeout, ssl_context=tls)
    return urllib3.PoolManager(num_pools=1, timeout=timeout, ssl_context=tls)


def _tls_context(profile: Profile, ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not profile.verify_tls and is_loopback(profile.base):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(InsecureRequestWarning)  # the profile's note says so, once and not at each request
    return context


def _is_private(url: str) -> bool:
    """Whether a secret header may be sent: over TLS, or without leaving this machine."""
    return url.startswith("https://") or is_loopback(url)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _bounded_headers(response: BaseHTTPResponse, name: str) -> dict[str, str]:
    headers = dict(response.headers.items())
    if sum(len(field) + len(value) for field, value in headers.items()) > MAX_HEADERS_BYTES:
        raise SourceFailed(f"{name} sends more than {MAX_HEADERS_BYTES} bytes of headers")
    return headers


def _seconds(value: str | None) -> float | None:
    """Return a Retry-After in seconds, bounded; a date is left to the usual delay."""
    if value is None or not value.isdecimal() or len(value) > 9:
        return None
    return min(float(value), MAX_RETRY_AFTER_S)


def _words(problem: BaseException) -> tuple[str, str]:
    """Return what went wrong on the network, and what to do about it."""
    if isinstance(problem, ProxyError):
        return f"through the proxy: {_words(problem.original_error)[0]}", _CHECK_PROXY
    cause = getattr(problem, "reason", None) or problem
    if isinstance(cause, NameResolutionError):
        return "its name cannot be resolved", "Check the name, and that this machine may ask a name server."
    if isinstance(cause, NewConnectionError):
        said = str(cause).rpartition("] ")[2] or "no connection"
        return said.lower(), _CHECK_SERVER
    if isinstance(cause, TimeoutError | TimeoutException):
        return "it does not answer in time", _CHECK_SERVER
    return str(cause)[:200] or type(cause).__name__, _CHECK_SERVER
