"""Before a listener: prove who is running here, get the version's key, open the TLS identity.

World: the broker, the platform, two small files. A key that is refused ends the server, unless it was told to wait for
it; a broker that cannot be reached is asked again, with growing pauses, until the deadline. Source: decisions 4 and 10,
threats FB and SV-19.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom import platforms, sealing
from strongroom.broker import gramine_client as broker
from strongroom.broker import kbs_client
from strongroom.broker.kbs_dialogue import Obtained
from strongroom.broker.names import SecretName
from strongroom.bundles import BadModelName, open_ssl_config
from strongroom.errors import Refused, StrongroomError, Unreachable
from strongroom.pki import SslConfig, disk, signing, ssl_cfg
from strongroom.platforms import Platform
from strongroom.secret import Secret
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.operations.self_check import SelfCheck, self_check
from strongroom.serving.options import BrokerOptions, Options
from strongroom.serving.threads import in_thread
from strongroom.serving.tls import ServerTls

PART: Final = "key"
MAX_PEM_BYTES: Final = 64 * 1024
ATTEMPT_S: Final = 15.0
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0
Released = TypeVar("Released")
_log: Final = logging.getLogger(__name__)


class KeyNotReleased(Refused):
    """The broker did not release the key of this model version to this program."""

    code = "SR-KEY-NOT-RELEASED"
    fix = "Ask the owner for the broker's reason: strongroom ledger show on the owner's machine has it, with a fix."


class BrokerNotReached(Unreachable):
    """The broker could not be asked for the key before the deadline."""

    code = "SR-KEY-NO-BROKER"
    fix = "Check --broker and that strongroom broker serve runs there; --broker_wait_seconds allows more time."


def platform_of(environ: Mapping[str, str]) -> Platform | None:
    """Return what can vouch for this process, or None on a machine without a TEE."""
    try:
        return platforms.detect(environ)
    except platforms.PlatformAbsent:
        return None


def read_owner_key(options: BrokerOptions) -> Ed25519PublicKey:
    """Return the key that bundles are signed with. Raises BadSigningKey or OSError."""
    return signing.load_owner_public(disk.read_bounded(options.owner_key, limit=MAX_PEM_BYTES))


async def obtain_key(
    options: BrokerOptions, platform: Platform | None, *, readiness: Readiness | None = None
) -> Secret:
    """Return the wrap key that the broker releases to this program; `readiness` is told why there is none yet.

    Where the options are patient, a refusal is no end either: the broker is asked until it releases the key.
    Raises KeyNotReleased, BrokerNotReached, PlatformAbsent, or what is wrong with the CA file or the self check.
    """
    vouching, ca_pem, address = _vouching(platform), read_ca(options), options.address

    def ask() -> Secret:
        return broker.provision(address.host, address.port, ca_pem=ca_pem, platform=vouching, timeout_s=ATTEMPT_S)

    key = await _obtain(ask, options, vouching, readiness)
    sealing.check_wrap_key(key)
    return key


async def obtain_version_key(
    options: BrokerOptions, platform: Platform | None, name: SecretName, *, readiness: Readiness | None = None
) -> Obtained:
    """Return the key of one version from a KBS, and its lease; waits and raises like `obtain_key`."""
    vouching, ca_pem = _vouching(platform), read_ca(options)
    return await _obtain(lambda: ask_kbs(options, vouching, ca_pem, name), options, vouching, readiness)


async def obtain_secret(
    options: BrokerOptions, platform: Platform | None, name: SecretName, *, readiness: Readiness | None = None
) -> Obtained:
    """Return any secret of a KBS, and its lease; waits and raises like `obtain_key`, but looks at no length."""
    vouching, ca_pem = _vouching(platform), read_ca(options)
    return await _obtain(lambda: ask_secret(options, vouching, ca_pem, name), options, vouching, readiness)


def ask_kbs(
    options: BrokerOptions, platform: Platform, ca_pem: bytes, name: SecretName, *, lease_id: str | None = None,
    timeout_s: float = ATTEMPT_S,
) -> Obtained:  # fmt: skip
    """Ask a KBS once for a version's key. Raises what `ask_secret` raises, or WeakKey."""
    obtained = ask_secret(options, platform, ca_pem, name, lease_id=lease_id, timeout_s=timeout_s)
    sealing.check_wrap_key(obtained.secret)
    return obtained


def ask_secret(
    options: BrokerOptions, platform: Platform, ca_pem: bytes, name: SecretName, *, lease_id: str | None = None,
    timeout_s: float = ATTEMPT_S,
) -> Obtained:  # fmt: skip
    """Ask a KBS once, under a request id that the broker's log shares. Raises what `kbs_client.obtain` raises."""
    request_id = secrets.token_hex(8)
    _log.info("request %s asks %s for %s", request_id, options.url, name)
    return kbs_client.obtain(
        options.url, name, ca_pem=ca_pem, platform=platform, tenant=options.tenant,
        deployment=options.deployment or None, lease_id=lease_id, timeout_s=timeout_s, request_id=request_id,
    )  # fmt: skip


def read_ca(options: BrokerOptions) -> bytes:
    """Return the certificate of the CA that the broker's has to come from. Raises FileTooLong or OSError."""
    return disk.read_bounded(options.ca, limit=MAX_PEM_BYTES)


def _vouching(platform: Platform | None) -> Platform:
    if platform is None:
        raise platforms.PlatformAbsent("a sealed model needs a platform that vouches for this program")
    return platform


async def _obtain(
    ask: Callable[[], Released], options: BrokerOptions, platform: Platform, readiness: Readiness | None
) -> Released:
    check = self_check(platform, options.self_check, options.self_check_root) if options.self_check else None
    waiting = _Waiting(
        readiness=readiness or Readiness(),
        ends=asyncio.get_running_loop().time() + (math.inf if options.patient else options.wait_s),
        patient=options.patient,
        check=check,
    )
    try:
        return await _until_released(ask, waiting)
    except broker.BrokerRefused as problem:
        why = f": {problem.sentence}" if options.url else ""  # has the id that the broker's log has
        place = f"{options.address.host}:{options.address.port}"
        raise KeyNotReleased(f"the broker at {place} did not release a key{why}") from None
    except Unreachable as problem:
        raise BrokerNotReached(f"no key after {options.wait_s:g} s: {problem.sentence}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """How long to wait for a key (`ends`, of the loop's clock), through refusals or not, and who is told why."""

    readiness: Readiness
    ends: float
    patient: bool
    check: SelfCheck | None

    async def told(self, problem: StrongroomError) -> None:
        """Say why there is no key: what the broker's side answered, and what a verifier thinks of this machine."""
        reason = problem.sentence
        if isinstance(problem, Refused) and self.check is not None:
            reason = f"{await in_thread(self.check.sentence, name='self check')}; {reason}"
        _log.warning("waiting for key: %s; trying again", reason)
        self.readiness.wait(PART, f"waiting for key: {reason}")


async def _until_released(ask: Callable[[], Released], waiting: _Waiting) -> Released:
    """Ask until there is a key, with pauses that double and vary, so that replicas do not come in step."""
    pause = FIRST_PAUSE_S
    waiting.readiness.wait(PART, "waiting for key: the broker was not asked yet")
    while True:
        try:
            key = await in_thread(ask, name="ask the broker")
        except (Unreachable, broker.BrokerRefused) as problem:
            left = waiting.ends - asyncio.get_running_loop().time()
            if left <= 0 or (isinstance(problem, Refused) and not waiting.patient):
                raise
            await waiting.told(problem)
        else:
            waiting.readiness.done(PART)
            return key
        await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311  # spreads load, hides nothing
        pause = min(2 * pause, LONGEST_PAUSE_S)


def load_tls(
    options: Options, key: Secret | Callable[[int], Secret] | None, versions: Sequence[int]
) -> ServerTls | None:
    """Return the TLS identity, or None with --insecure; a sealed one opens under the key of one of `versions`.

    `key`: one for all versions, or what returns a version's own.

    Raises what is wrong with the file, or PublishedKey. Weaknesses are logged.
    """
    if options.listening.ssl_config is None:
        return None
    config = _plain(options) if key is None else _sealed(options, key, versions)
    tls = ServerTls(config)
    for finding in tls.check(now=datetime.now(UTC)):
        _log.warning("ssl.cfg: %s (%s). %s", finding.seen, finding.where, finding.fix)
    return tls


def _plain(options: Options) -> SslConfig:
    if options.listening.ssl_config is None:
        raise AssertionError("the caller looked")
    return ssl_cfg.parse(disk.read_bounded(options.listening.ssl_config, limit=ssl_cfg.MAX_SSL_CFG_BYTES))


def _sealed(options: Options, key: Secret | Callable[[int], Secret], versions: Sequence[int]) -> SslConfig:
    """Open ssl.cfg, which is bound to one version of this model: to the highest one that is here and fits."""
    if options.listening.ssl_config is None:
        raise AssertionError("the caller looked")
    if not versions:
        raise BadModelName(f"{options.models.base_path} holds no version, and ssl.cfg is bound to one")
    elsewhere: tuple[type[StrongroomError], ...] = (sealing.WrongPath,)  # it is bound to another version
    if not isinstance(key, Secret):
        elsewhere += (sealing.WrongKeyOrTampered, KeyNotReleased)
    for version in versions:
        try:
            opening = key if isinstance(key, Secret) else key(version)
            return open_ssl_config(options.listening.ssl_config, name=options.models.name, version=version, key=opening)
        except elsewhere:
            if version == versions[-1]:
                raise
    raise AssertionError("one of the versions returned or raised")
