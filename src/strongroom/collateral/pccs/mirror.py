"""A mirror of other servers: asked once, verified, kept, and served on while nobody there answers.

World: what the LiveSource it stands on touches. Verified before kept: signature, role, revocation, dates, and that the
answer is what was asked for. A part is served to the end of its own window; half-way it is fetched anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, TypeVar
from urllib.parse import urlsplit

from strongroom.attestation import Anchor, Quote, Tee
from strongroom.attestation.pck import read_pck_claims
from strongroom.collateral import gather
from strongroom.collateral.api import Answer, BadCollateralRequest, Kind, Request
from strongroom.collateral.assemble import Exchange, crl_der, issuer_chain
from strongroom.collateral.cache import Cache, key_of
from strongroom.collateral.checks import Circumstances, pck_chain, pem_chain
from strongroom.collateral.client import AnswerSource, SourceFailed
from strongroom.collateral.folder import CollateralUnavailable
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.parts import AllFailed, Part
from strongroom.collateral.pccs.administration import Mode
from strongroom.collateral.pccs.backend import GONE_ANSWER, crl_answer
from strongroom.collateral.pccs.pck_certificates import CA_TYPES
from strongroom.collateral.pccs.upload import Machine
from strongroom.collateral.seen import Seen
from strongroom.collateral.sources import LiveSource, utc_now
from strongroom.errors import StrongroomError, Unreachable

# A mirror passes on what still counts; how old is too old is for its clients to say.
RULES: Final = Freshness(max_age=timedelta(days=400))
AT_ONCE: Final = 24  # questions that may wait for upstream; fewer than threads, so that what is held is always served
_UNSIGNED: Final = frozenset({Kind.FMSPCS, Kind.PCK_CERTS})
_T = TypeVar("_T")
_ROOT_CRL_PATHS: Final = frozenset({"/IntelSGXRootCA.der", "/IntelSGXRootCA.crl"})
_log: Final = logging.getLogger(__name__)


class TooManyAtOnce(Unreachable):
    """The local PCCS waits for upstream with as many questions as it may; what it holds, it serves."""

    code = "SR-PCCS-BUSY"
    fix = "Try again in a few seconds; if it happens often, look whether upstream is slow or somebody asks too much."


class _Absent(Enum):
    """What every source said."""

    UNKNOWN = "there is no such thing"
    RETIRED = "there is no such thing any more"


class _Live(LiveSource):
    """A LiveSource that is asked for single parts, and told to renew them."""

    def held(self, request: Request) -> Part | None:
        """Return a verified part that is kept and serves now. Waits for nobody: locks are for those who fetch."""
        at = self._clock()
        self._seen.check_clock(at)
        under = Circumstances(anchors=tuple(self._anchors), at=at)
        if request.kind is not Kind.ROOT_CRL:
            root = self.held(gather.ROOT_CRL_REQUEST)
            if root is None:
                return None
            under = replace(under, root_crl=root.checked.crl)
        part = self._kept(self._key(request), request, under)
        return part if part is not None and self._serves(part, at) else None

    def part(self, request: Request) -> Part | _Absent:
        """Return a verified part that serves now, fetched if need be; raise what keeps it from being had."""
        try:
            return self._part(request, self._anchors, self._clock())
        except CollateralUnavailable:
            failure = self._failed.get(self._key(request))
            if failure is None or not failure.failed.definitive:
                raise
            return _Absent.RETIRED if failure.failed.retired else _Absent.UNKNOWN

    def want(self, request: Request) -> None:
        """Count a request among those that `refresh` renews."""
        self._wanted.put(self._key(request), (request, self._anchors))

    def renew(self, request: Request) -> None:
        """Fetch a part anew, due or not; raise where no source has one that serves."""
        at, key = self._clock(), self._key(request)
        under = self._circumstances(request, self._anchors, at)
        with self._store.locked(key):
            try:
                self._renew(key, request, under, at)
            except AllFailed as failed:
                raise failed.error() from None

    def _key(self, request: Request) -> str:
        return key_of(request, tuple(anchor.root_key_id for anchor in self._anchors))


class Mirror:
    """A Backend in front of other servers, under one root. Threads may share it; processes share the cache.

    LAZY: what is not there is fetched. REQ: only registrations, `fill` and `refresh` fetch. OFFLINE: nothing does.
    """

    def __init__(
        self,
        sources: Sequence[AnswerSource],
        cache: Cache,
        *,
        anchor: Anchor,
        mode: Mode = Mode.LAZY,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._cache = cache
        self._sources = () if mode is Mode.OFFLINE else tuple(sources)
        self._live = _Live(
            self._sources, anchors=(anchor,), rules=RULES, store=cache, seen=Seen(cache.folder), clock=clock
        )
        self._lazy = mode is Mode.LAZY
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def answer(self, request: Request) -> Answer | None:
        """Return an answer from the cache or from upstream; raise where upstream fails and nothing serves."""
        if request.kind in _UNSIGNED:
            return self._upstream(lambda: self._passed_on(request)) if self._lazy else None
        asked = _upstream_request(request)
        if asked is None:
            return None
        part = self._live.held(asked) or (self._upstream(lambda: self._live.part(asked)) if self._lazy else None)
        if part is None or isinstance(part, _Absent):
            return GONE_ANSWER if part is _Absent.RETIRED else None
        return _as_asked(request, part.exchange)

    def _upstream(self, ask: Callable[[], _T]) -> _T:
        """Ask upstream, unless too many do so at this moment."""
        if not self._places.acquire(blocking=False):
            raise TooManyAtOnce(f"{AT_ONCE} questions wait for upstream already")
        try:
            return ask()
        finally:
            self._places.release()

    def _passed_on(self, request: Request) -> Answer | None:
        """Ask for what nobody signs, and keep nothing of it."""
        absent = True
        trouble: SourceFailed | None = None
        for source in self._sources:
            try:
                return source.answer(request)
            except SourceFailed as problem:
                absent, trouble = absent and problem.definitive, trouble or problem
        if trouble is not None and not absent:
            raise trouble
        return None

    def fill(self, tee: Tee, fmspc: str, *, cas: Iterable[str] = CA_TYPES) -> bool:
        """Fetch what verifies quotes of a platform family; return whether it has such collateral at all."""
        platform = gather.Platform(tee=tee, fmspc=fmspc, ca="")
        if isinstance(self._live.part(gather.tcb_request(platform, gather.Choice())), _Absent):
            return False
        self._live.part(gather.identity_request(tee, gather.Choice()))
        for ca in cas:  # which of the two certified a platform of this family, nobody says
            self._live.part(gather.pck_crl_request(ca))
        return True

    def fill_for(self, quote: Quote) -> None:
        """Fetch what verifies a quote, its PCK certificate included where it does not carry it."""
        self._live.collateral_for(quote)

    def provision(self, machine: Machine) -> bool:
        """Fetch a registered machine's certificate and its collateral; return whether there is a certificate."""
        request = _certificate_request(machine)
        if request is None:
            return False
        part = self._live.part(request)
        if isinstance(part, _Absent):
            return False
        fmspc = _fmspc_of(part.exchange)  # what is signed, not what a header says
        self.fill(Tee.SGX, fmspc)
        self.fill(Tee.TDX, fmspc)  # many platforms have none, which is no failure
        return True

    def refresh(self) -> None:
        """Fetch everything that is held anew; raise the first failure when all has been tried."""
        trouble: StrongroomError | None = None
        for exchange in self.held():
            try:
                self._live.renew(exchange.request)
            except StrongroomError as problem:
                _log.warning("%s is not refreshed: %s", exchange.request.path, problem)
                trouble = trouble or problem
        if trouble is not None:
            raise trouble

    def keep_fresh(self, stop: threading.Event, longest_s: float = 3600.0) -> None:
        """Renew what is half-way through its window, until told to stop; for a thread of its own."""
        while not stop.wait(longest_s):
            try:
                for exchange in self.held():  # others may have put something there
                    if exchange.request.kind is not Kind.PCK_CERT:  # many, and valid for years
                        self._live.want(exchange.request)
                self._live.refresh()
            except Exception:  # noqa: BLE001  # the thread must outlive a bug or a bad disk; the log must show it
                _log.exception("what the mirror holds was not renewed; it tries again")

    def close(self) -> None:
        """Ask nobody any more, and let go of whoever does not answer."""
        self._live.close()

    def held(self) -> Iterator[Exchange]:
        """Yield everything in the cache that is an answer; nothing of it is verified here."""
        for _, entry in self._cache.entries():
            yield Exchange(entry.request, entry.answer)


def _upstream_request(request: Request) -> Request | None:
    """Return the one question that stands for all with the same answer; None for what cannot be asked."""
    if request.kind is Kind.CRL:
        return _crl_request(request.parameters["uri"])
    if request.kind is Kind.TCB and request.version != 4:
        return None  # another document, which Intel's version 4 does not have
    parameters = {name: value for name, value in request.parameters.items() if (name, value) != ("update", "standard")}
    if request.kind is Kind.PCK_CRL:
        parameters["encoding"] = "der"
    return replace(request, version=4, parameters=parameters)


def _crl_request(uri: str) -> Request | None:
    """Return the question for the CRL that Intel's certificates say is at this URI. Nothing else is ever fetched."""
    parts = urlsplit(uri)
    if parts.hostname == "certificates.trustedservices.intel.com" and parts.path in _ROOT_CRL_PATHS:
        return gather.ROOT_CRL_REQUEST
    try:
        meant = Request.parse(parts.path, parts.query)
    except BadCollateralRequest:
        return None
    return gather.pck_crl_request(meant.parameters["ca"]) if meant.kind is Kind.PCK_CRL else None


def _as_asked(request: Request, exchange: Exchange) -> Answer:
    """Return a kept answer in the encoding that was asked for."""
    answer = exchange.answer
    if request.kind not in {Kind.PCK_CRL, Kind.ROOT_CRL, Kind.CRL}:
        return answer
    return crl_answer(request, crl_der(exchange.request, answer), chain=_chain(exchange))


def _chain(exchange: Exchange) -> str:
    return issuer_chain(exchange.request, exchange.answer) if exchange.request.kind is Kind.PCK_CRL else ""


def _certificate_request(machine: Machine) -> Request | None:
    """Return the question for a machine's certificate, where it said enough."""
    if not (machine.cpu_svn and machine.pce_svn):
        return None
    parameters = {"cpusvn": machine.cpu_svn, "pcesvn": machine.pce_svn, "pceid": machine.pce_id, "qeid": machine.qe_id}
    if machine.enc_ppid:
        parameters["encrypted_ppid"] = machine.enc_ppid
    return Request(kind=Kind.PCK_CERT, parameters=parameters)


def _fmspc_of(exchange: Exchange) -> str:
    return read_pck_claims(pem_chain(pck_chain(exchange), "the PCK chain")[0]).fmspc.hex().upper()
