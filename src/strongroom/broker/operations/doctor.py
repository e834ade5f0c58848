"""Look at a whole set-up as an experienced operator would: what works, what will soon not, and what to do about it.

World: the workspace, its store, the broker's port if one runs. Nothing is changed but what every opening of a store
changes; nothing is raised, since each trouble is a finding.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509

from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.opening import Opened, opened_workspace
from strongroom.broker.operations.collateral import CollateralPlace
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.policy.watched import parse_policy, read_policy_bytes
from strongroom.broker.setup import read_anchors
from strongroom.broker.store import Tx
from strongroom.collateral.settings import parse as parse_collateral_settings
from strongroom.errors import StrongroomError
from strongroom.pki import disk, keys
from strongroom.secret import Secret
from strongroom.workspace import Workspace

SOON: Final = timedelta(days=30)  # certificates
COLLATERAL_SOON_DAYS: Final = 3.0
MB: Final = 1024 * 1024
DISK_LOW: Final = 1024 * MB
DISK_FULL: Final = 100 * MB
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
ALIVE_MS: Final = 30_000
CAREFUL: Final = "careful: "


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    part: str
    level: Level
    says: str
    fix: str = ""

    def to_json_object(self) -> dict[str, str]:
        """Return the finding as a machine reads it."""
        return {"part": self.part, "level": self.level.value.lower(), "says": self.says, "fix": self.fix}


def examine(folder: Path, *, at: datetime, passphrase: Secret | None = None) -> Iterator[Finding]:
    """Yield what was found, part by part, in the order in which one would mend it.

    Raises PassphraseNeeded where the root key is under one that was not given: then nothing behind it can be seen.
    """
    try:
        owner = Workspace.open(folder)
    except (StrongroomError, OSError) as problem:
        yield _failed("workspace", problem)
        return
    yield Finding(part="workspace", level=Level.OK, says=f"{folder} can be read by its owner alone")
    for part, look in (
        ("certificates", certificates),
        ("disk", room),
        ("root key", root_key),
        ("key files", key_files),
        ("collateral", collateral),
    ):
        yield from _guarded(part, partial(look, owner, at))
    if not owner.settings.broker.shared and not (folder / owner.settings.broker.store).exists():
        yield Finding(
            part="store", level=Level.OK, says="there is none yet: the first strongroom broker serve makes it"
        )
        return
    yield from _guarded("store", lambda: _inside(owner, at, passphrase))


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of all."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)


def certificates(owner: Workspace, at: datetime) -> Iterator[Finding]:
    """Yield how long the CA, the broker and every administrator's certificate are valid."""
    places = [("the CA", owner.folder / "ca/ca_cert.pem"), ("the broker", owner.folder / "broker/cert.pem")]
    places += [(f"identity {path.parent.name}", path) for path in sorted(owner.folder.glob("admin/*/cert.pem"))]
    for name, path in places:
        certificate = keys.load_certificates(disk.read_bounded(path, limit=keys.MAX_PEM_BYTES))[0]
        yield _certificate(name, certificate, at)


def _certificate(name: str, certificate: x509.Certificate, at: datetime) -> Finding:
    renewed = name == "the broker"  # which renews its own at a start
    fix = (
        "Start the broker again: it renews its certificate." if renewed
        else "Make a new one with strongroom broker admin add." if name.startswith("identity")
        else "Make a new workspace and publish into it; a CA is not renewed."
    )  # fmt: skip
    if at < certificate.not_valid_before_utc:
        says = f"{name}: valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: is this clock right?"
        return Finding(part="certificates", level=Level.FAIL, says=says, fix="Set this machine's clock.")
    days = (certificate.not_valid_after_utc - at) / timedelta(days=1)
    if days < 0:
        return Finding(part="certificates", level=Level.FAIL, says=f"{name}: ended {-days:.0f} days ago", fix=fix)
    level = Level.WARN if timedelta(days=days) < SOON else Level.OK
    return Finding(
        part="certificates", level=level, says=f"{name}: {days:.0f} days left", fix=fix if level is Level.WARN else ""
    )


def room(owner: Workspace, at: datetime) -> Iterator[Finding]:  # noqa: ARG001  # a look has one shape
    """Yield how much room is left where the ledger grows: without any, nothing is released."""
    free = shutil.disk_usage(owner.folder).free
    level = Level.FAIL if free < DISK_FULL else Level.WARN if free < DISK_LOW else Level.OK
    fix = "Make room: without it no line can be written, and nothing is released." if level is not Level.OK else ""
    yield Finding(part="disk", level=level, says=f"{free // MB} MB free", fix=fix)


def root_key(owner: Workspace, at: datetime) -> Iterator[Finding]:  # noqa: ARG001  # as above
    """Yield what protects the root key."""
    if (owner.folder / "root/root.key").exists():
        yield Finding(
            part="root key", level=Level.WARN,
            says="it lies in a file that opens without a passphrase: whoever copies the workspace has every secret",
            fix="Run strongroom key protect, or keep the root key in a token (docs/keys.md).",
        )  # fmt: skip
        return
    yield Finding(part="root key", level=Level.OK, says=f"kept as {owner.settings.broker.root!r}")


def key_files(owner: Workspace, at: datetime) -> Iterator[Finding]:  # noqa: ARG001  # as above
    """Yield whether secrets lie outside the store."""
    if names := owner.secrets.names():
        yield Finding(
            part="key files", level=Level.WARN, says=f"{len(names)} secrets lie as files in keys/, such as {names[0]}",
            fix="Start the broker, or run strongroom key list: that takes them into the store.",
        )  # fmt: skip


def collateral(owner: Workspace, at: datetime) -> Iterator[Finding]:
    """Yield how long each part of the collateral still serves."""
    table = owner.settings.collateral
    settings = None if table is None else parse_collateral_settings(table)
    place = CollateralPlace.of(owner.folder, settings, owner.collateral_folder)
    found = place.findings(anchors=tuple(read_anchors(owner.anchors_folder)), at=at) if _anchored(owner) else ()
    if not found:
        yield Finding(
            part="collateral", level=Level.WARN, says="there is none, so no quote can be judged",
            fix="Fetch it: strongroom collateral fetch; for the simulated platform: strongroom sim collateral.",
        )  # fmt: skip
    for each in found:
        days = each.days_left(at)
        if days is None:
            yield Finding(part="collateral", level=Level.FAIL, says=f"{each.what}: {each.problem}", fix=each.fix)
            continue
        level = Level.FAIL if days < 0 else Level.WARN if days < COLLATERAL_SOON_DAYS else Level.OK
        says = f"{each.what}: {days:.1f} days left" if days >= 0 else f"{each.what}: ended {-days:.1f} days ago"
        fix = "Fetch it again: strongroom collateral fetch, or sim collateral." if level is not Level.OK else ""
        yield Finding(part="collateral", level=level, says=says, fix=fix)


def _anchored(owner: Workspace) -> bool:
    return any(owner.anchors_folder.iterdir()) or owner.settings.collateral is not None


def _inside(owner: Workspace, at: datetime, passphrase: Secret | None) -> Iterator[Finding]:
    """Yield what the store, the keys, the ledger and the policies are like."""
    with opened_workspace(owner, passphrase=passphrase) as found:
        yield Finding(part="store", level=Level.OK, says=found.store.description)
        yield from _guarded("clock", lambda: _clock(found, at))
        yield from _guarded("secrets", lambda: _secrets(found))
        yield from _guarded("ledger", lambda: _ledger(found))
        yield from _guarded("policy", lambda: _policies(found, owner))
        yield from _guarded("broker", lambda: _brokers(found))


def _clock(found: Opened, at: datetime) -> Iterator[Finding]:
    store_ms = found.store.read(lambda tx: tx.now_ms)
    apart = abs(at.timestamp() - store_ms / 1000)
    last = max((str(entry["time"]) for entry in found.ledger.entries(found.ledger.head().seq - 1)), default="")
    ahead = datetime.fromisoformat(last) - at if last else timedelta(0)
    if ahead > CLOCK_TOLERANCE:
        says = f"it says {at:%Y-%m-%d %H:%M} UTC, but the ledger's last line was written at {last}"
        fix = "Set this machine's clock and keep it so with a time service."
        yield Finding(part="clock", level=Level.FAIL, says=says, fix=fix)
    elif apart > CLOCK_TOLERANCE.total_seconds():
        says = f"it is {apart:.0f} s away from the database's"
        yield Finding(part="clock", level=Level.FAIL, says=says, fix="Set both clocks with a time service.")
    else:
        yield Finding(part="clock", level=Level.OK, says="it agrees with the store's, and with the ledger's last line")


def _secrets(found: Opened) -> Iterator[Finding]:
    """Open everything that could be released: better now than when a replica asks."""
    count = 0
    for tenant in found.keyring.tenants():
        for info in found.keyring.infos(tenant):
            if info.state == "active":
                found.keyring.get(tenant, info.name).wipe()
                count += 1
    yield Finding(part="secrets", level=Level.OK, says=f"{count} open under {found.keyring.root.description}")


def _ledger(found: Opened) -> Iterator[Finding]:
    verified = found.ledger.verify()
    yield Finding(part="ledger", level=Level.OK, says=f"{verified.size} lines hold, none removed or changed")


def _policies(found: Opened, owner: Workspace) -> Iterator[Finding]:
    """Yield what the policies admit: the file's, as a broker would take it, and those of the other tenants."""
    for tenant in sorted(found.policies.tenants()):
        if tenant != DEFAULT_TENANT or owner.settings.broker.shared:
            yield from _rules(found, tenant, f"tenant {tenant}", found.policies.current(tenant)[0])
    if not owner.settings.broker.shared:
        yield from _rules(found, DEFAULT_TENANT, "policy.toml", parse_policy(read_policy_bytes(owner.policy_path)))


def _rules(found: Opened, tenant: str, whose: str, policy: ReleasePolicy) -> Iterator[Finding]:
    if not policy.rules:
        fix = "Write a rule: strongroom policy trust."
        yield Finding(part="policy", level=Level.WARN, says=f"{whose}: no rule, so nothing is released", fix=fix)
    for rule in policy.rules:
        yield from _rule(whose, rule.name, policy_text.describe(rule))
        if rule.single is not None and not _has(found, tenant, str(rule.single)):
            says = f"{whose}: rule {rule.name!r} releases {rule.single}, which is not there"
            fix = "Publish it (strongroom model publish), put it (strongroom key put), or drop the rule."
            yield Finding(part="policy", level=Level.WARN, says=says, fix=fix)


def _has(found: Opened, tenant: str, name: str) -> bool:
    return found.store.read(lambda tx: found.keyring.exists(tx, tenant, name))


def _rule(whose: str, name: str, sentences: list[str]) -> Iterator[Finding]:
    careful = [sentence.removeprefix(CAREFUL) for sentence in sentences if sentence.startswith(CAREFUL)]
    for sentence in careful:
        yield Finding(part="policy", level=Level.WARN, says=f"{whose}: rule {name!r}: {sentence}",
                      fix="Keep it only if you mean it: strongroom policy lint says all of it.")  # fmt: skip
    if not careful:
        yield Finding(part="policy", level=Level.OK, says=f"{whose}: rule {name!r}")


def _brokers(found: Opened) -> Iterator[Finding]:
    def alive(tx: Tx) -> list[str]:
        rows = tx.execute("SELECT address FROM brokers WHERE seen_ms > ? ORDER BY address", (tx.now_ms - ALIVE_MS,))
        return [str(address) for (address,) in rows]

    running = found.store.read(alive)
    if not running:
        fix = "Start one: strongroom broker serve."
        yield Finding(part="broker", level=Level.WARN, says="none was seen in the last half minute", fix=fix)
    for address in running:
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5):
                yield Finding(part="broker", level=Level.OK, says=f"one answers at {address}")
        except OSError as problem:
            says = f"one lives at {address}, but cannot be reached from here: {problem.strerror or 'no answer'}"
            yield Finding(
                part="broker", level=Level.WARN, says=says, fix="Check the network, if you meant to reach it."
            )


def _guarded(part: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield a look's findings; what it raises is the last of them."""
    from strongroom.broker.keyring.passphrase_root import PassphraseNeeded

    try:
        yield from look()
    except PassphraseNeeded:
        raise
    except (StrongroomError, OSError) as problem:
        yield _failed(part, problem)


def _failed(part: str, problem: StrongroomError | OSError) -> Finding:
    if isinstance(problem, StrongroomError):
        return Finding(part=part, level=Level.FAIL, says=f"{problem.sentence} [{problem.code}]", fix=problem.fix)
    where = f"{os.fspath(problem.filename)}: " if problem.filename else ""
    return Finding(part=part, level=Level.FAIL, says=f"{where}{problem.strerror or 'error'}", fix="Check it.")
