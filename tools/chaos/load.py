"""Simulated replicas that ask brokers for a secret and write down what came of it: right ones, wrong ones, replayers.

World: threads, sockets. Each client is a loop in a thread of its own; quotes are made by a simulated platform.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from checker import GOOD, REPLAY, SECRET, WRONG, Attempt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.broker.gramine_client import provision
from strongroom.broker.kbs_client import obtain
from strongroom.broker.kbs_dialogue import Dialogue
from strongroom.broker.names import SecretName
from strongroom.errors import StrongroomError
from strongroom.pki import ratls
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret

ASK_S: Final = 12.0  # how long a client waits for one answer
PAUSE_S: Final = 0.06
REMEMBERED: Final = 30  # answers to old challenges, to be shown again
ACCEPTED: Final = "accepted"


class _Last(threading.local):
    holder = ""  # SHA-256 of the key that this thread's client made last


_last = _Last()
_generate_key = ratls.generate_key


def _noted_key() -> ec.EllipticCurvePrivateKey:
    """Make a client's key, which it keeps to itself, and note by what name the ledger will know it."""
    key = _generate_key()
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _last.holder = hashlib.sha256(spki).hexdigest()
    return key


vars(ratls)["generate_key"] = _noted_key


@dataclass(frozen=True)
class Target:
    """Where the brokers are, and what is asked for."""

    ports: Sequence[tuple[int, int]]  # Gramine's protocol, KBS
    ca_pem: bytes
    secret: SecretName


@dataclass
class Platform:
    """Vouches for one identity."""

    world: World
    identity: EnclaveIdentity

    def quote(self, report_data: bytes) -> bytes:
        """Return a quote over the report data."""
        return self.world.quote(self.identity, report_data)


@dataclass
class Load:
    """All clients of a run."""

    target: Target
    seed: int
    pace: float = 1.0  # how often clients ask; less leaves more of a small machine to the brokers
    attempts: list[Attempt] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _defects: list[Exception] = field(default_factory=list)

    def add(
        self, name: str, once: Callable[[random.Random, int], Sequence[Attempt]], *, broker: int | None = None,
        pause_s: float = PAUSE_S,
    ) -> None:  # fmt: skip
        """Start a client that calls `once` with its broker, or with any of them, until it is told to stop."""
        chance = random.Random(f"{self.seed} {name}")  # noqa: S311  # a schedule, not a secret

        def loop() -> None:
            try:
                while not self._stop.wait(chance.random() * 2 * pause_s / self.pace):
                    self.attempts += once(
                        chance, chance.randrange(len(self.target.ports)) if broker is None else broker
                    )
            except Exception as defect:  # noqa: BLE001  # a client that dies must not look like one that is content
                self._defects.append(defect)

        thread = threading.Thread(target=loop, name=name)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Let every client finish what it has begun. Raises what ended one of them before."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._defects:
            raise self._defects[0]

    def gramine(self, platform: Callable[[], Platform], kind: str) -> Callable[[random.Random, int], Sequence[Attempt]]:
        """Return a client of Gramine's protocol."""

        def once(_: random.Random, broker: int) -> Sequence[Attempt]:
            replica = platform()

            def ask() -> tuple[Secret, str]:
                port = self.target.ports[broker][0]
                secret = provision("localhost", port, ca_pem=self.target.ca_pem, platform=replica, timeout_s=ASK_S)
                return secret, ""

            return [_attempt(ask, kind=kind, protocol="gramine", broker=broker, replica=replica)]

        return once

    def kbs(self, platform: Callable[[], Platform], kind: str) -> Callable[[random.Random, int], Sequence[Attempt]]:
        """Return a client of the KBS protocol."""

        def once(_: random.Random, broker: int) -> Sequence[Attempt]:
            replica = platform()

            def ask() -> tuple[Secret, str]:
                found = obtain(
                    f"https://localhost:{self.target.ports[broker][1]}", self.target.secret,
                    ca_pem=self.target.ca_pem, platform=replica, timeout_s=ASK_S,
                )  # fmt: skip
                return found.secret, found.lease_id or ""

            return [_attempt(ask, kind=kind, protocol="kbs", broker=broker, replica=replica)]

        return once

    def replayer(self, platform: Callable[[], Platform]) -> Callable[[random.Random, int], Sequence[Attempt]]:
        """Return a client that shows one quote for one nonce to all brokers at once, and again to one much later."""
        old: list[_Shown] = []

        def once(chance: random.Random, broker: int) -> Sequence[Attempt]:
            begun = time.monotonic()
            if old and chance.random() < 0.5:
                shown, brokers = chance.choice(old), [broker]
            else:
                try:
                    shown = _challenged(self.target, broker, platform())
                except (OSError, http.client.HTTPException, StrongroomError, KeyError, ValueError) as problem:
                    return [Attempt(kind=REPLAY, protocol="kbs", broker=broker, begun_s=begun,
                                    ended_s=time.monotonic(), outcome=type(problem).__name__)]  # fmt: skip
                old[:] = [*old[-REMEMBERED:], shown]
                brokers = [*range(len(self.target.ports)), broker]
            with ThreadPoolExecutor(len(brokers)) as pool:
                accepted = list(pool.map(lambda each: _show(self.target, each, shown), brokers))
            return [
                Attempt(kind=REPLAY, protocol="kbs", broker=each, begun_s=begun, ended_s=time.monotonic(),
                        outcome=ACCEPTED if good else "refused", nonce=shown.nonce if good else "")
                for each, good in zip(brokers, accepted, strict=True)
            ]  # fmt: skip

        return once


def _attempt(
    ask: Callable[[], tuple[Secret, str]], *, kind: str, protocol: str, broker: int, replica: Platform
) -> Attempt:
    begun, digest, lease, outcome = time.monotonic(), "", "", SECRET
    try:
        secret, lease = ask()
        with secret.reveal() as raw:
            digest = hashlib.sha256(raw).hexdigest()
        secret.wipe()
    except StrongroomError as problem:
        outcome = type(problem).__name__
    return Attempt(
        kind=kind, protocol=protocol, broker=broker, begun_s=begun, ended_s=time.monotonic(), outcome=outcome,
        digest=digest, lease=lease, holder=_last.holder if protocol == "gramine" else "",
        measurement=replica.identity.mr_enclave.hex(),
    )  # fmt: skip


class _Kbs:
    """One connection to one broker's KBS port, for what the product's client would not do."""

    def __init__(self, target: Target, broker: int) -> None:
        context = ssl.create_default_context(cadata=target.ca_pem.decode())
        port = target.ports[broker][1]
        self.connection = http.client.HTTPSConnection("localhost", port, timeout=ASK_S, context=context)

    def key(self) -> str:
        """Return the SHA-256 of the broker's key."""
        self.connection.connect()
        found = self.connection.sock
        assert isinstance(found, ssl.SSLSocket)  # noqa: S101  # what an HTTPS connection has
        certificate = x509.load_der_x509_certificate(found.getpeercert(binary_form=True) or b"")
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).hexdigest()

    def post(self, path: str, body: bytes, cookie: str = "") -> tuple[int, str, bytes]:
        """Return status, cookie and body of an answer."""
        headers = {"Content-Type": "application/json"} | ({"Cookie": cookie} if cookie else {})
        self.connection.request("POST", f"/kbs/v0{path}", body=body, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, (answer.getheader("Set-Cookie") or "").partition(";")[0], answer.read()


@dataclass(frozen=True)
class _Shown:
    """An answer to a challenge."""

    nonce: str
    cookie: str
    attestation: bytes


def _challenged(target: Target, broker: int, platform: Platform) -> _Shown:
    """Ask for a challenge and answer it, without showing the answer yet. Raises ValueError for no challenge."""
    asking = _Kbs(target, broker)
    with contextlib.closing(asking.connection):
        dialogue = Dialogue("sgx", target.secret.to_kbs("default").removeprefix("kbs:///"), kbs_key=asking.key())
        status, cookie, challenge = asking.post("/auth", dialogue.request())
        if status != http.client.OK:
            raise ValueError(f"a challenge came with {status}")
        attestation = dialogue.attestation(platform.quote(dialogue.challenged(challenge)))
    return _Shown(str(json.loads(challenge)["nonce"]), cookie, attestation)


def _show(target: Target, broker: int, shown: _Shown) -> bool:
    """Present the answer; return whether it was accepted."""
    showing = _Kbs(target, broker)
    try:
        return showing.post("/attest", shown.attestation, shown.cookie)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        showing.connection.close()


__all__ = ["GOOD", "WRONG", "Load", "Platform", "Target"]
