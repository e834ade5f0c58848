"""Before a listener: prove who is running here, get the version's key, open the TLS identity.

World: the broker, the platform, two small files. A key that is refused ends the server; a broker that cannot be reached
is asked again, with growing pauses, until the deadline. Source: decision 4, threats FB and SV-19.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom import platforms, sealing
from strongroom.broker import client as broker
from strongroom.bundles import BadModelName, open_ssl_config
from strongroom.errors import Refused, Unreachable
from strongroom.pki import SslConfig, disk, signing, ssl_cfg
from strongroom.platforms import Platform
from strongroom.secret import Secret
from strongroom.serving.options import BrokerOptions, Options
from strongroom.serving.threads import in_thread
from strongroom.serving.tls import ServerTls

MAX_PEM_BYTES: Final = 64 * 1024
ATTEMPT_S: Final = 15.0
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0
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


async def obtain_key(options: BrokerOptions, platform: Platform | None) -> Secret:
    """Return the wrap key that the broker releases to this program.

    Raises KeyNotReleased, BrokerNotReached, PlatformAbsent, or what is wrong with the CA file.
    """
    if platform is None:
        raise platforms.PlatformAbsent("a sealed model needs a platform that vouches for this program")
    ca_pem = disk.read_bounded(options.ca, limit=MAX_PEM_BYTES)
    address = options.address

    def ask() -> Secret:
        return broker.provision(address.host, address.port, ca_pem=ca_pem, platform=platform, timeout_s=ATTEMPT_S)

    try:
        key = await _until_reached(ask, wait_s=options.wait_s)
    except broker.BrokerRefused:
        raise KeyNotReleased(f"the broker at {address.host}:{address.port} did not release a key") from None
    sealing.check_wrap_key(key)
    return key


async def _until_reached(ask: Callable[[], Secret], *, wait_s: float) -> Secret:
    """Ask until there is an answer, with pauses that double and vary, so that replicas do not come in step."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    pause = FIRST_PAUSE_S
    while True:
        try:
            return await in_thread(ask, name="ask the broker")
        except Unreachable as problem:
            left = deadline - loop.time()
            if left <= 0:
                raise BrokerNotReached(f"no key after {wait_s:g} s: {problem.sentence}") from None
            _log.warning("waiting for key: %s; trying again", problem.sentence)
        await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311  # spreads load, hides nothing
        pause = min(2 * pause, LONGEST_PAUSE_S)


def load_tls(options: Options, key: Secret | None, versions: Sequence[int]) -> ServerTls | None:
    """Return the TLS identity, or None with --insecure; a sealed one opens under `key` for one of `versions`.

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


def _sealed(options: Options, key: Secret, versions: Sequence[int]) -> SslConfig:
    """Open ssl.cfg, which is bound to one version of this model: to the highest one that is here and fits."""
    if options.listening.ssl_config is None:
        raise AssertionError("the caller looked")
    if not versions:
        raise BadModelName(f"{options.models.base_path} holds no version, and ssl.cfg is bound to one")
    for version in versions:
        try:
            return open_ssl_config(options.listening.ssl_config, name=options.models.name, version=version, key=key)
        except sealing.WrongPath:
            if version == versions[-1]:
                raise
    raise AssertionError("one of the versions returned or raised")
