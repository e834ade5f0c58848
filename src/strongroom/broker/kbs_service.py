"""A KBS without HTTP: challenge, attestation, release. Bodies and cookies in; challenges, tokens and envelopes out.

Nothing here believes a client: its key is checked before its evidence, its nonce is used up before the evidence is
looked at, and what it may have is decided anew for each secret, under the rules of that moment. What a refused client
hears is the same for each class of refusal; the owner's log and ledger have the reason under the case's id.
World: the store, the release service, threads for what blocks.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom import __version__
from strongroom.attestation import Binding, BindingKind, Claims
from strongroom.broker import kbs, kbs_sessions, kbs_token
from strongroom.broker.admission import Case
from strongroom.broker.kbs_evidence import config_register, quote_in
from strongroom.broker.kbs_init_data import InitData, InitDataRefused
from strongroom.broker.kbs_rates import KbsRates
from strongroom.broker.names import SecretName, parse_kbs
from strongroom.broker.service import ReleaseService
from strongroom.broker.store import Store, Tx
from strongroom.errors import Refused, StrongroomError, Unreachable
from strongroom.pki.jose import TokenUnsound, read_signed, seal, sign

PROTOCOL: Final = "kbs"
BUILD: Final = f"strongroom {__version__}"
_T = TypeVar("_T")
_log: Final = logging.getLogger("strongroom.broker")


class KbsNotProven(Refused):
    """Evidence that a KBS client presented does not hold; the client hears no more than this."""

    code = "SR-KBS-NOT-PROVEN"
    fix = "Look at strongroom ledger show under the same id: it has the rule, what was seen and what was wanted."


class KbsNotReleased(Refused):
    """A KBS client was not given what it asked for: forbidden, unknown, or beyond a limit all look like this."""

    code = "SR-KBS-NOT-RELEASED"
    fix = "Look at strongroom ledger show under the same id: it has the rule, what was seen and what was wanted."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for log and ledger; neither is trusted for anything."""

    peer: str
    request_id: str

    def case_id(self) -> str:
        """Return an id for one case: the caller's, so that its log shows it too, made unique by us."""
        return f"{self.request_id}-{secrets.token_hex(4)}"


class KbsService:
    """One broker's KBS. Its methods run on an event loop and may run beside each other."""

    def __init__(
        self, *, store: Store, service: ReleaseService, token_key: ec.EllipticCurvePrivateKey, deployment: str,
        kbs_spki: bytes, chain: tuple[bytes, ...] = (), workers: int | None = None, rates: KbsRates | None = None,
    ) -> None:  # fmt: skip
        """`kbs_spki`: the public key (DER) of the port's TLS certificate. `chain`: the token key's, DER, leaf first."""
        self._rates = rates or KbsRates(store)
        self._store = store
        self._service = service
        self._token_key = token_key
        self._seal_key = kbs_sessions.seal_key(token_key)
        self._chain = chain
        self._deployment = deployment
        self._kbs = hashlib.sha256(kbs_spki).hexdigest()
        self._pool = ThreadPoolExecutor(workers or (os.cpu_count() or 1) + 2, thread_name_prefix="kbs")

    @property
    def deployment(self) -> str:
        """What the evidence of our own clients has to be bound to."""
        return self._deployment

    def close(self) -> None:
        """Let the threads end once what they do is done."""
        self._pool.shutdown(wait=True)

    async def auth(self, body: bytes, caller: Caller) -> tuple[bytes, str]:
        """Return the challenge and the cookie of a new session.

        Raises what `kbs.parse_auth` raises, RateLimited, KbsSessionsFull or StoreUnavailable.
        """
        await self._rates.address("auth", caller.peer)
        request = kbs.parse_auth(body)
        cookie = kbs_sessions.new_cookie()
        begin = partial(kbs_sessions.open_session, cookie=cookie, tee=request.tee, negotiated=request.offers_binding)
        session = await asyncio.wrap_future(self._store.submit(begin))
        named = self._deployment if request.offers_binding else None
        return kbs.challenge(session.nonce, deployment=named), cookie

    async def attest(self, body: bytes, cookie: str | None, caller: Caller) -> str:
        """Return a token for evidence that answers the session's nonce. Raises KbsNotProven, Unreachable."""
        await self._rates.address("attest", caller.peer)
        case = Case(id=caller.case_id(), peer=caller.peer, protocol=PROTOCOL, fresh=True)
        try:
            session = await self._session(cookie)
            sent = await self._sent(body, session)
            problem = await asyncio.wrap_future(
                self._store.submit(lambda tx: kbs_sessions.burn(tx, session.id, sent.nonce))
            )
            if problem is not None:
                raise problem
            proven, init_data = await self._in_thread(lambda: self._proven(case, session.tee, sent))
        except Unreachable:
            raise
        except _Denied as denied:
            await self._refuse(denied.case)
            raise KbsNotProven("the evidence was not accepted") from None
        except StrongroomError as problem:
            await self._refuse(case, problem)
            raise KbsNotProven("the evidence was not accepted") from None
        keep = partial(
            kbs_sessions.attest, found_id=session.id, body=proven.to_json_object(),
            lifetime_ms=kbs_token.LIFETIME_S * 1000, key=self._seal_key,
        )  # fmt: skip
        now_ms = await asyncio.wrap_future(self._store.submit(keep))
        _log.info("%s: %s proved itself (%s), nothing is released yet", case.id, case.peer, session.tee)
        claims = kbs_token.payload(
            proven, session=session.id, tee=session.tee, nonce=sent.nonce, now_s=now_ms // 1000,
            deployment=self._deployment, build=BUILD, init_data=init_data,
        )  # fmt: skip
        return sign(claims, self._token_key, chain=self._chain)

    async def resource(self, path: str, cookie: str | None, bearer: str | None, caller: Caller) -> bytes:
        """Return the secret at TENANT/TYPE/TAG, sealed to the attested key.

        Raises BadSecretName for what is no path; KbsSessionAbsent, KbsSessionExpired or TokenUnsound where nobody has
        proved anything; KbsNotReleased; Unreachable.
        """
        tenant, wanted = parse_kbs(path)
        await self._rates.address("resource", caller.peer)
        proven = await self._in_thread(lambda: self._store.read(lambda tx: self._who(tx, cookie, bearer)))
        await self._rates.tenant(tenant)  # by now it is nobody who only names it
        case = self._case(proven, tenant, caller)
        problem = _out_of_bounds(proven, tenant, wanted)
        if problem is not None:
            await self._refuse(case, problem)
            raise KbsNotReleased("nothing is released")
        case = await self._in_thread(lambda: self._service.decide(case, wanted))
        if not case.granted:
            await self._refuse(case)
            raise KbsNotReleased("nothing is released")
        released = await asyncio.wrap_future(self._service.submit_release(case))
        if released is None:
            raise KbsNotReleased("nothing is released")
        lease = released.lease
        extra: dict[str, object] | None = None
        if proven.bound is not None:  # only for clients that said they read it
            seconds = max((lease.expires_ms - lease.renewed_ms) // 1000, 1)
            extra = {"sr": {"iat": lease.renewed_ms // 1000, "lease": lease.id, "lease_seconds": seconds,
                            "path": kbs.spelled_path(path)}}  # fmt: skip
        try:
            return json.dumps(seal(proven.key, released.secret, extra=extra), separators=(",", ":")).encode("ascii")
        finally:
            released.secret.wipe()

    async def _sent(self, body: bytes, session: kbs_sessions.Session) -> kbs.Attestation:
        """Read an attestation. One that cannot be read was an attempt all the same, and uses the nonce up."""
        try:
            return kbs.parse_attestation(body, negotiated=session.body.get("negotiated") is True)
        except StrongroomError:
            burn = partial(kbs_sessions.burn, found_id=session.id, nonce=session.nonce)
            await asyncio.wrap_future(self._store.submit(burn))
            raise

    async def _session(self, cookie: str | None) -> kbs_sessions.Session:
        if cookie is None:
            raise kbs_sessions.KbsSessionAbsent("the request brings no session")
        found_id = kbs_sessions.session_id(cookie)
        session = await self._in_thread(lambda: self._store.read(lambda tx: kbs_sessions.find(tx, found_id)))
        if session is None:
            raise kbs_sessions.KbsSessionAbsent("the cookie names no session")
        if session.state != kbs_sessions.AUTHED:
            raise kbs_sessions.KbsNonceUsed("the nonce of this session was presented before")
        return session

    def _proven(self, case: Case, tee: str, sent: kbs.Attestation) -> tuple[kbs_token.Proven, dict[str, str] | None]:
        """Judge evidence whose nonce has just been used up."""
        # 1. It was made for this deployment, purpose and broker, where the client said so at all.
        if sent.bound is not None:
            sent.bound.check(deployment=self._deployment, kbs=self._kbs)
        # 2. The quote is sound, of the kind that was named, and over the hash of nonce, key and what they are bound to.
        quote = quote_in(tee, sent.primary)
        if sent.bound is not None:
            case = replace(case, tenant=parse_kbs(sent.bound.paths[0])[0])  # whose rules say what grace there is
        case = self._service.judge(case, quote, report_data=sent.report_data, bound=sent.key.spki)
        claims = _claims(case)
        # 3. What the TEE was told at launch is what its register holds, and meant for us.
        init_data = None
        if sent.init_data is not None:
            init_data = InitData.proven(sent.init_data, config_register(claims))
            init_data.check(deployment=self._deployment, purpose=kbs.PURPOSE, kbs=self._kbs)
        proven = kbs_token.Proven(
            claims=claims, key=sent.key, report_data=sent.report_data, bound=sent.bound,
            tenant=None if init_data is None else init_data.tenant,
        )  # fmt: skip
        return proven, None if init_data is None else init_data.data

    def _who(self, tx: Tx, cookie: str | None, bearer: str | None) -> kbs_token.Proven:
        """Return what the caller has proved: the cookie's session, else the token's, and never a mixture of two."""
        found: kbs_sessions.Session | None = None
        problem: Refused = kbs_sessions.KbsSessionAbsent("the request brings no session and no token")
        if cookie is not None:
            try:
                found = kbs_sessions.attested(tx, kbs_sessions.session_id(cookie), by_cookie=True, key=self._seal_key)
            except Refused as refusal:
                problem = refusal
        if bearer is not None:
            said = read_signed(bearer, self._token_key.public_key())
            named = kbs_token.session_of(said, now_s=tx.now_ms // 1000, deployment=self._deployment)
            if found is not None and found.id != named:
                raise TokenUnsound("the cookie and the token are of two sessions")
            found = found or kbs_sessions.attested(tx, named, by_cookie=False, key=self._seal_key)
        if found is None:
            raise problem
        return kbs_token.Proven.from_json_object(found.body)

    def _case(self, proven: kbs_token.Proven, tenant: str, caller: Caller) -> Case:
        kind = BindingKind.KEY if proven.bound is None else BindingKind.TRANSCRIPT
        return Case(
            id=caller.case_id(), peer=caller.peer, protocol=PROTOCOL, tenant=tenant, fresh=True,
            holder=hashlib.sha256(proven.key.spki).hexdigest(), claims=proven.claims,
            lease_id=None if proven.bound is None else proven.bound.lease_id,
            binding=Binding(kind=kind, public_key_spki=proven.key.spki, exact=proven.report_data),
        )  # fmt: skip

    async def _refuse(self, case: Case, problem: StrongroomError | None = None) -> None:
        await asyncio.wrap_future(self._service.submit_refusal(case, problem))

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class _Denied(Exception):
    """The release service's own denial of evidence, on its way to log and ledger."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.id)
        self.case = case


def _claims(case: Case) -> Claims:
    if case.claims is None or case.outcome is not None:
        raise _Denied(case)
    return case.claims


def _out_of_bounds(proven: kbs_token.Proven, tenant: str, wanted: SecretName) -> StrongroomError | None:
    """Return why evidence was not made for this secret, where it says what it was made for."""
    if proven.bound is not None and wanted.to_kbs(tenant).removeprefix("kbs:///") not in proven.bound.paths:
        return kbs.KbsBindingRefused(f"the evidence is bound to other paths than {tenant}, {wanted}")
    if proven.tenant not in (None, tenant):
        return InitDataRefused(f"the init-data names the tenant {str(proven.tenant)[:80]!r}, not {tenant!r}")
    return None
