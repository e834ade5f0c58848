"""Run a broker in this process until it is told to stop.

World: the event loop, signals, threads, the store. Three ports at most: Gramine's protocol, the KBS protocol, and
administration with the console. They stop in one order: no new peers, then those that are being served, then the store.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import resource
import secrets
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.routing import Mount

from strongroom import __version__
from strongroom.broker import leases
from strongroom.broker.admin import api
from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.base import Parts
from strongroom.broker.admin.identities import ensure_owner_identity
from strongroom.broker.appraisal import RemoteJudge
from strongroom.broker.console.app import console_app
from strongroom.broker.gramine_server import BrokerServer, ServerLimits
from strongroom.broker.kbs_http import kbs_application
from strongroom.broker.kbs_rates import KbsRates
from strongroom.broker.kbs_service import KbsService
from strongroom.broker.opening import Opened, opened
from strongroom.broker.operations import ports as operating
from strongroom.broker.operations.collateral import CollateralWatch
from strongroom.broker.operations.health import Health, Recently, examine
from strongroom.broker.operations.metrics import Metrics
from strongroom.broker.recorder import EvidenceRecorder
from strongroom.broker.rollback_guard import RollbackGuard
from strongroom.broker.service import ReleaseService, utc_now
from strongroom.broker.setup import BrokerSetup, BrokerSetupIncomplete
from strongroom.broker.store import Tx
from strongroom.broker.store.rates import sweep
from strongroom.broker.tls import server_context
from strongroom.broker.web import WebLimits, WebServer, tls_context
from strongroom.broker.web.shares import Shares, shares_of
from strongroom.collateral import LiveSource, Refresher
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

_PR_SET_DUMPABLE: Final = 4
MAINTAIN_EVERY_S: Final = 5.0
KBS_LIMITS: Final = WebLimits(connections=2048, connections_per_address=1792)  # a cluster may share an address
FORGET_BROKERS_MS: Final = 24 * 3600 * 1000  # one that was not seen for a day is listed no more
_log: Final = logging.getLogger("strongroom.broker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where each protocol is served; None where it is not."""

    gramine: int
    kbs: int | None = None
    admin: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How one broker process runs."""

    address: str = "127.0.0.1"
    ports: Listening
    admin_address: str = "127.0.0.1"
    tls13: bool = False
    limits: ServerLimits = field(default_factory=ServerLimits)
    record_evidence: Path | None = None  # a folder that gets one file for each kind of evidence presented
    judge: RemoteJudge | None = None  # an attestation service that checks quotes in our place
    passphrase: Secret | None = None  # of the root key, where it is under one


def run(setup: BrokerSetup, options: RunOptions, *, ready: Callable[[Listening], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the ports once they listen. Raises what keeps it from starting."""
    keep_memory_private()
    for place in swaps():
        _log.warning("this machine swaps to %s: secrets in memory may be written there. Encrypt it, or swapoff", place)
    _raise_descriptor_limit()
    with ExitStack() as stack:
        found = stack.enter_context(
            opened(
                folder=setup.state_folder, store=setup.store, settings=setup.settings, policy=setup.policy,
                owner=setup.owner, passphrase=options.passphrase,
            )
        )  # fmt: skip
        source = setup.source
        stack.enter_context(Refresher(source, clock=utc_now) if isinstance(source, LiveSource) else nullcontext())
        metrics, name = Metrics(), secrets.token_hex(8)
        service = release_service(setup, options, found, metrics, name=name)
        stack.callback(service.close)
        gc.collect()
        gc.freeze()  # what is here by now stays: no collection looks at it again
        gc.set_threshold(20_000, 20, 20)
        _run(_Process(setup, options, found, service, metrics, name=name).serve(ready))


def _run(serving: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it is installed, whose TLS takes less, else on the standard library's loop."""
    try:
        import uvloop
    except ImportError:  # no wheel for this system
        asyncio.run(serving)
    else:
        uvloop.run(serving)


def release_service(
    setup: BrokerSetup, options: RunOptions, found: Opened, metrics: Metrics, *, name: str
) -> ReleaseService:
    """Return the service that decides, ready to be asked. Raises WeakKey, RollbackStateBroken or StoreUnavailable."""
    rollback = RollbackGuard(found.store)
    seen = setup.old_ledger.with_name(f"{setup.old_ledger.name}.seen")
    rollback.take_over(seen, ledger=found.ledger.entries())
    service = ReleaseService(
        store=found.store, policies=found.policies, keyring=setup.key_file or found.keyring, ledger=found.ledger,
        source=setup.source, anchors=setup.anchors, rollback=rollback, judge=options.judge,
        recorder=EvidenceRecorder(options.record_evidence) if options.record_evidence else None,
        guard=found.ledger.clock_guard(), observer=metrics, broker=name,
    )  # fmt: skip
    service.begin()
    return service


def keep_memory_private() -> None:
    """No core dump, and no look into this process for others of the same user (threat KD-22)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # also where the kernel pipes core dumps to a program


def swaps(table: Path = Path("/proc/swaps")) -> list[str]:
    """Return where this machine puts memory that it runs short of; compressed memory (zram) is none of that."""
    try:
        lines = table.read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:  # no such table: not Linux, or nothing may be seen
        return []
    return [place for line in lines if (place := line.split()[0]) and not place.startswith("/dev/zram")]


def _raise_descriptor_limit() -> None:
    """Take as many file descriptors as this process may have: each connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _shares() -> Shares:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return shares_of(1 << 20 if most == resource.RLIM_INFINITY else most)


class _Process:
    """The ports of one broker process, and what it does from time to time."""

    def __init__(
        self, setup: BrokerSetup, options: RunOptions, found: Opened, service: ReleaseService, metrics: Metrics, *,
        name: str,
    ) -> None:  # fmt: skip
        self._setup = setup
        self._options = options
        self._found = found
        self._service = service
        self._metrics = metrics
        self._name = name
        self._port = options.ports.gramine
        self._shares = _shares()
        self._collateral = CollateralWatch(setup.collateral, anchors=setup.anchors, clock=utc_now)
        self._administration = Administration(
            Parts(
                store=found.store, keyring=found.keyring, ledger=found.ledger, policies=found.policies,
                root=found.keyring.root.description, collateral=self._collateral.views,
            )
        )  # fmt: skip
        self._watch()

    async def serve(self, ready: Callable[[Listening], None]) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with AsyncExitStack() as stack:
            maintaining = asyncio.create_task(self._maintain(), name="maintain")
            stack.push_async_callback(_ended, maintaining)
            ports = Listening(
                gramine=await self._gramine(stack), kbs=await self._kbs(stack), admin=await self._admin(stack)
            )
            self._port = ports.gramine
            ready(ports)
            await stop.wait()
            if isinstance(self._setup.source, LiveSource):
                self._setup.source.close()  # who waits for a server that does not answer must not hold up the end
        await asyncio.to_thread(self._last_root)

    async def _gramine(self, stack: AsyncExitStack) -> int:
        context = server_context(self._setup.certificate_pem, self._setup.key_pem, tls13=self._options.tls13)
        limits, share = self._options.limits, self._shares.gramine
        limits = replace(
            limits, connections=min(limits.connections, share),
            connections_per_address=min(limits.connections_per_address, max(1, share * 7 // 8)),
        )  # fmt: skip
        server = BrokerServer(self._service, context, limits=limits)
        stack.push_async_callback(server.stop)
        return await server.start(self._options.address, self._options.ports.gramine)

    async def _kbs(self, stack: AsyncExitStack) -> int | None:
        port = self._options.ports.kbs
        if port is None:
            return None
        leaf = x509.load_pem_x509_certificates(self._setup.certificate_pem)[0]
        spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kbs = KbsService(
            store=self._found.store, service=self._service, token_key=self._found.keyring.token_key(),
            deployment=self._setup.settings.deployment or self._found.ledger.origin, kbs_spki=spki,
            rates=KbsRates(
                self._found.store, per_address=self._setup.settings.kbs_rate,
                per_tenant=self._setup.settings.kbs_tenant_rate,
            ),
        )  # fmt: skip
        stack.callback(kbs.close)
        context = tls_context(self._setup.certificate_pem, self._setup.key_pem)
        limits = KBS_LIMITS.within(self._shares.kbs)
        server = WebServer(kbs_application(kbs), context, name="kbs", limits=limits, metrics=self._metrics)
        return await self._web(stack, server, port)

    async def _admin(self, stack: AsyncExitStack) -> int | None:
        port, owner = self._options.ports.admin, self._setup.owner
        if port is None:
            return None
        if owner is None:
            raise BrokerSetupIncomplete("administration needs a workspace: its CA says who may administer")
        await asyncio.to_thread(ensure_owner_identity, owner, self._found.store, self._found.ledger, now=utc_now())
        application = Starlette(
            routes=[
                *api.routes(self._administration),
                *operating.routes(self._administration, self._metrics, Recently(self._health)),
                Mount("/console", console_app(
                    self._administration, store=self._found.store, verify=self._found.ledger.verify
                )),
            ]
        )  # fmt: skip
        context = tls_context(self._setup.certificate_pem, self._setup.key_pem, client_ca_pem=owner.ca_certificate_pem)
        limits = WebLimits().within(self._shares.admin)
        server = WebServer(application, context, name="admin", limits=limits, metrics=self._metrics)
        return await self._web(stack, server, port, address=self._options.admin_address)

    def _health(self) -> Health:
        """Look at everything that a release needs; the store is written to, as a release would."""
        found = self._found
        return examine(
            {
                "store": lambda: found.store.write(self._seen),
                "clock": self._service.check_clock,
                "ledger": found.ledger.head,
                "tables": found.store.check,
                "policies": lambda: [found.policies.current(tenant) for tenant in found.policies.tenants()],
                "root key": found.keyring.token_key,
            }
        )

    def _watch(self) -> None:
        """Let a scrape ask what is not counted."""
        store = self._found.store
        watch = self._metrics.watch
        watch("leases_live", "Leases that have not ended", lambda: len(store.read(leases.live)))
        watch("ledger_lines", "Lines of the ledger", lambda: self._found.ledger.head().seq + 1)
        watch("collateral_days_left", "Days until the first part of the collateral ends", self._collateral.days_left)
        watch("certificate_days_left", "Days that the broker's certificate is valid", self._certificate_days_left)
        watch("ready", "Whether a correct replica would get its secret (1) or not (0)", lambda: self._health().ready)

    def _certificate_days_left(self) -> float:
        leaf = x509.load_pem_x509_certificates(self._setup.certificate_pem)[0]
        return (leaf.not_valid_after_utc - utc_now()) / timedelta(days=1)

    def _seen(self, tx: Tx) -> None:
        """Say in the store that this broker lives, for those who administer it."""
        address = f"{self._options.address}:{self._port}"
        tx.execute(
            "INSERT INTO brokers (id, address, version, started_ms, seen_ms) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms, address = excluded.address",
            (self._name, address, __version__, tx.now_ms, tx.now_ms),
        )
        tx.execute("DELETE FROM brokers WHERE seen_ms < ?", (tx.now_ms - FORGET_BROKERS_MS,))

    async def _web(self, stack: AsyncExitStack, server: WebServer, port: int, *, address: str | None = None) -> int:
        stack.push_async_callback(server.stop)
        return await server.start(address or self._options.address, port)

    async def _maintain(self) -> None:
        """Watch the clock, sign roots, and forget what is over, every few seconds."""
        while True:
            store = self._found.store
            for chore in (
                self._found.ledger.maintain, store.check, partial(store.write, sweep), partial(store.write, self._seen)
            ):  # fmt: skip
                try:
                    await asyncio.to_thread(chore)
                except StrongroomError as problem:
                    _log.error("maintenance: %s [%s]", problem.sentence, problem.code)
            await asyncio.sleep(MAINTAIN_EVERY_S)

    def _last_root(self) -> None:
        """Sign what was decided up to the end, and leave the list of those who run: nobody has to look for this one."""
        found = self._found
        try:
            found.ledger.sign_root()
            found.store.write(lambda tx: tx.execute("DELETE FROM brokers WHERE id = ?", (self._name,)))
        except StrongroomError as problem:
            _log.error("the last root could not be signed: %s [%s]", problem.sentence, problem.code)
        else:
            _log.info("broker stopped; the last root of its ledger is signed")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
