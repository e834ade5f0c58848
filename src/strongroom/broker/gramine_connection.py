"""One connection of Gramine's provisioning protocol, from its acceptance to its end.

World: one socket, by its transport, on the event loop. The steps are those of the dialogue: handshake, judge the
certificate in a thread, read exactly the request, admit in the store, answer. A refused peer sees a closed connection
and nothing else, in one way whatever the reason (threat SV-10); the owner's log has the reasons under the case's id.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final, Protocol, cast

from OpenSSL import SSL

from strongroom.broker.service import Case, Released, ReleaseService
from strongroom.broker.tls import MAX_HANDSHAKE_BYTES, TlsPeer
from strongroom.broker.turns import Turns
from strongroom.broker.workers import Workers
from strongroom.errors import StrongroomError, Unreachable
from strongroom.gramine import provisioning

PROTOCOL_NAME: Final = "gramine-v1"
_LINGER_BYTES: Final = 256 * 1024
_ID_BYTES: Final = 6
_log = logging.getLogger("strongroom.broker")


class PeerLeft(Unreachable):
    """A peer closed its connection before it had asked for a secret."""

    code = "SR-PEER-LEFT"
    fix = "If this was meant to be a client, read its log: it may not trust the broker's certificate or name."


class PeerSlow(Unreachable):
    """A peer did not finish its handshake or its request before the deadline."""

    code = "SR-PEER-SLOW"
    fix = "Check the network between the peer and the broker, or raise --deadline."


class Step(Enum):
    """Where a connection is."""

    HANDSHAKE = auto()
    JUDGING = auto()  # in its turn, or in a thread; the peer is not waited for
    REQUEST = auto()
    WRITING = auto()  # an admission or a denial, in the store
    LEAVING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a peer is waited for, in seconds."""

    deadline_s: float  # for its handshake and its request together, and for taking the answer
    linger_s: float  # for its end, once ours has been sent


class Host(Protocol):
    """The server that a connection belongs to."""

    service: ReleaseService
    context: SSL.Context
    patience: Patience
    workers: Workers
    turns: Turns
    inbox: memoryview  # what was received last, of any connection

    def opened(self, connection: Connection, address: str) -> bool:
        """Return whether there is room for another connection."""

    def closed(self, connection: Connection) -> None:
        """Take note of a connection's end."""

    def refused(self, connection: Connection) -> None:
        """Take note that its peer was refused."""

    def left(self) -> None:
        """Take note that one of them has been served."""


class Connection(asyncio.BufferedProtocol):
    """The dialogue with one peer. All methods run on the loop; none may raise."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends = 0.0
        self._protocol = provisioning.Server()
        self._ended = False  # the peer sends no more
        self._problem: StrongroomError | None = None  # that came while it was judged
        self._received = 0
        self._left_s = host.patience.deadline_s
        self.address = "unknown"
        self.step = Step.HANDSHAKE

    # Events of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        self.address, port = (transport.get_extra_info("peername") or ("unknown", 0))[:2]
        if not self._host.opened(self, self.address):
            self.step = Step.LEAVING
            self._transport.abort()
            return
        self._case = Case(id=secrets.token_hex(_ID_BYTES), peer=f"{self.address}:{port}", protocol=PROTOCOL_NAME)
        self._tls = TlsPeer(self._host.context, server=True, max_bytes=MAX_HANDSHAKE_BYTES)
        self._wait(self._left_s)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # one size for all
        """Return where to put what comes: one place for all connections, since nothing stays there."""
        return self._host.inbox

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what came."""
        data = self._host.inbox[:nbytes]
        self._received += nbytes
        if self.step in {Step.HANDSHAKE, Step.REQUEST}:
            self._guarded(self._go_on, data)
        elif self.step is not Step.LEAVING:
            self._put_aside(data)
        elif self._received > _LINGER_BYTES:
            self.cut()

    def eof_received(self) -> bool:
        """Take note that the peer sends no more; it may still read."""
        self._ended = True
        if self.step is Step.LEAVING:
            return False
        if self.step in {Step.HANDSHAKE, Step.REQUEST}:
            self._guarded(self._refuse, PeerLeft("the peer closed the connection"))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End: whatever is still being judged or written comes back to nobody."""
        self._stop_waiting()
        if self.step in {Step.HANDSHAKE, Step.REQUEST} and self._received:
            reason = getattr(exc, "strerror", None) or "closed"
            self._host.service.submit_refusal(self._case, PeerLeft(f"the connection broke: {reason}"))
        if self.step is not Step.LEAVING and self.step is not Step.HANDSHAKE:
            _log.info("%s: the peer left before its end", self._case.id)
        self.step = Step.LEAVING
        self._host.closed(self)

    # The steps.

    def _go_on(self, data: memoryview) -> None:
        self._tls.feed(data)
        if self.step is Step.HANDSHAKE:
            done = self._tls.handshake()
            self._flush()
            if done:
                self._left_s = self._stop_waiting()
                self.step = Step.JUDGING
                self._host.turns.add(lambda: self._guarded(self._judge))
        else:
            self._read_request()

    def _put_aside(self, data: memoryview) -> None:
        """Keep what comes while nobody waits for it; one who sends too much is not listened to any more."""
        try:
            self._tls.feed(data)
        except StrongroomError as problem:
            self._problem = problem
            if self._transport is not None:
                self._transport.pause_reading()

    def _judge(self) -> None:
        """Have the certificate judged, before a byte of the request is read."""
        service, tls = self._host.service, self._tls
        case, tenant = self._case, service.tenant_of(tls.server_name)
        if tenant != case.tenant:
            case = self._case = replace(case, tenant=tenant)
        certificate, version = tls.peer_certificate(), tls.version  # whose key the handshake has proved to be live
        at_once = service.consider_at_once(case, certificate, tls=version)
        if at_once is not None:  # a moment here costs less than two changes of threads
            self._judged(at_once)
            return
        self._host.workers.run(lambda: service.consider(case, certificate, tls=version), self._judged)

    def _judged(self, case: Case | None) -> None:
        if self.step is not Step.JUDGING:
            self._note_unheard(case)
            return
        self._case = case or self._case
        if self._problem is not None or not self._case.granted:
            self._guarded(self._refuse, self._problem)  # a denied peer is not even asked for its request
            return
        self.step = Step.REQUEST
        self._wait(self._left_s)
        self._guarded(self._read_request)

    def _note_unheard(self, case: Case | None) -> None:
        """Write down what became of a peer that left, or was cut, while it was judged."""
        if case is not None:
            problem = PeerLeft("the peer closed the connection while it was judged") if case.granted else None
            self._host.service.submit_refusal(case, problem)

    def _read_request(self) -> None:
        """Read until the request is there, and look whether more came with it."""
        asked = False
        while not asked:
            data = self._tls.read()
            if data is None:
                self._flush()  # TLS itself may have to answer, for instance that it does not renegotiate
                if self._ended:
                    raise PeerLeft("the peer closed the connection")
                return
            if not data:
                raise PeerLeft("the peer closed TLS before it had asked")
            asked = bool(self._protocol.receive(data))
        self._protocol.receive(self._tls.read() or b"")
        self._stop_waiting()
        self.step = Step.WRITING
        self._after(self._host.service.submit_release(self._case), self._admitted)

    def _admitted(self, done: Future[Released | None]) -> None:
        """Hand the secret over: the ledger's line is on the disk."""
        released = None if done.exception() else done.result()
        if released is None:
            self._host.refused(self)
            self._leave()
            return
        try:
            if self.step is Step.WRITING:
                reply = self._protocol.answer(released.secret, self._case.secret_format)
                self._tls.write(reply)
                reply[:] = bytes(len(reply))
                self._tls.close_notify()
                self._flush()
            else:
                _log.warning("%s: the peer left before its secret had been sent", self._case.id)
        finally:
            released.secret.wipe()
        self._leave()

    def _refuse(self, problem: StrongroomError | None) -> None:
        """Write down why the peer gets nothing, then close without a word."""
        if self.step is Step.LEAVING:  # it left while it waited for its turn
            self._host.service.submit_refusal(self._case, problem)
            return
        self._stop_waiting()
        if not self._received:
            _log.debug("%s connected and said nothing", self._case.peer)
            self._leave()
            return
        self.step = Step.WRITING
        self._host.refused(self)
        self._after(self._host.service.submit_refusal(self._case, problem), lambda _: self._leave())

    def _leave(self) -> None:
        """Close our direction and swallow what still comes: closing at once could destroy what the peer has to read.

        Every refusal ends like this, so that none can be told from another by its bytes.
        """
        if self.step is Step.LEAVING or self._transport is None:
            return
        self.step, self._received = Step.LEAVING, 0
        self._host.left()
        sending = self._transport.get_write_buffer_size() > 0
        if self._ended:
            self._transport.close()  # after what is left of the answer
        else:
            self._transport.write_eof()
            self._transport.resume_reading()
        patience = self._host.patience
        self._timer = self._loop.call_later(patience.deadline_s if sending else patience.linger_s, self.cut)

    def cut(self) -> None:
        """End at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def served(self) -> bool:
        """Whether its peer has done its part, so that a stop waits for it."""
        return self.step in {Step.JUDGING, Step.REQUEST, Step.WRITING}

    # Helpers.

    def _guarded(self, action: Callable[..., None], *words: object) -> None:
        """Run a step; what does not hold is a refusal, and a surprise ends this connection alone."""
        try:
            action(*words)
        except StrongroomError as problem:
            self._refuse(problem)  # without what TLS would say about it: a refused peer learns nothing
        except Exception:  # noqa: BLE001  # the last door: one peer's surprise must end nobody else's connection
            _log.exception("a defect while serving %s", self.address)
            self.cut()

    def _after(self, future: Future[Any], then: Callable[[Any], None]) -> None:
        hand_back = self._host.workers.hand_back
        future.add_done_callback(lambda done: hand_back(then, done))

    def _flush(self) -> None:
        data = self._tls.outgoing()
        if data and self._transport is not None:
            self._transport.write(data)

    def _wait(self, seconds: float) -> None:
        self._ends = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        problem = PeerSlow(f"the peer took longer than {self._host.patience.deadline_s:g} s")
        self._guarded(self._refuse, problem)

    def _stop_waiting(self) -> float:
        """Stop the deadline; return how many of its seconds are left."""
        if self._timer is None:
            return 0.0
        self._timer.cancel()
        self._timer = None
        return max(self._ends - self._loop.time(), 0.0) if self.step is not Step.LEAVING else 0.0
