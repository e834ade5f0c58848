"""Identities of people: a client certificate of the workspace's CA, in a folder that only its owner can enter.

World: the workspace, the folder that is written, the operating system's name of who runs the command.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.broker.admin import people
from strongroom.broker.admin.certificates import Presented, read_registered
from strongroom.broker.admin.client import CA, CERTIFICATE, KEY
from strongroom.broker.admin.problems import AlreadySo
from strongroom.broker.admin.roles import ALL_TENANTS, WORKSPACE, Actor, Role
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.store import Store, Tx
from strongroom.errors import BadInput
from strongroom.pki import disk, keys
from strongroom.pki.authority import LEAF_DAYS, Leaf
from strongroom.workspace import Workspace
from strongroom.workspace.workspace import RENEW_BEFORE

MAX_DAYS: Final = 366
OWNER_FOLDER: Final = "admin/owner"
OWNER_NAME: Final = "owner"
_log = logging.getLogger("strongroom.broker")
_HOST: Final = "admin.strongroom.internal"  # makes a mail address, which a client certificate can name, of any name


class BadLifetime(BadInput):
    """A person's certificate lives 1 to 366 days."""

    code = "SR-ADMIN-DAYS"
    fix = "Choose 90 days, the default, and make a new certificate before they are over."


def local_owner() -> Actor:
    """Return who acts on the workspace itself: whoever may read the root key needs no certificate."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return Actor(name=f"{WORKSPACE}{user}", role=Role.OWNER, tenant=ALL_TENANTS)


def issue(workspace: Workspace, name: str, *, now: datetime, days: int = LEAF_DAYS) -> Leaf:
    """Make a key and a client certificate (EKU clientAuth alone) for a person. Raises BadLifetime or BadName."""
    if not 1 <= days <= MAX_DAYS:
        raise BadLifetime(f"{days} days were asked for")
    mailbox = name if "@" in name else f"{name}@{_HOST}"
    return workspace.authority().issue_client(mailbox, now=now, days=days)


@contextmanager
def new_identity(folder: Path, leaf: Leaf, *, ca_pem: bytes) -> Iterator[None]:
    """Write cert.pem, key.pem (0600) and ca.pem to a new folder (0700) at the end of the `with` block, or nothing.

    Raises AlreadyThere.
    """
    with disk.new_folder(folder) as new:
        disk.write_public(new / CERTIFICATE, leaf.certificate_pem)
        disk.write_secret(new / KEY, leaf.key_pem)
        disk.write_public(new / CA, ca_pem)
        yield


def ensure_owner_identity(workspace: Workspace, store: Store, ledger: Ledger, *, now: datetime) -> Path:
    """Return the folder of the owner's identity; make and register one where there is none, or it is about to end.

    A certificate that was suspended or removed stays so: then an owner has to be added by name.
    """
    folder = workspace.folder / OWNER_FOLDER
    folder.parent.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    if folder.is_dir() and _ends_soon(folder, now):
        folder.rename(folder.with_name(f"{folder.name}-until-{now:%Y%m%d%H%M%S}"))
    if not folder.is_dir():
        with new_identity(folder, issue(workspace, OWNER_NAME, now=now), ca_pem=workspace.ca_certificate_pem):
            pass
    presented = read_registered(_certificate(folder))
    if not store.read(lambda tx: people.registered(tx, presented.fingerprint)):
        store.write(lambda tx: _register(tx, presented, ledger))
    return folder


def _certificate(folder: Path) -> str:
    return disk.read_bounded(folder / CERTIFICATE, limit=keys.MAX_PEM_BYTES).decode("ascii", "replace")


def _ends_soon(folder: Path, now: datetime) -> bool:
    found = keys.load_certificates(_certificate(folder).encode())[0]
    return found.not_valid_after_utc - RENEW_BEFORE <= now


def _register(tx: Tx, presented: Presented, ledger: Ledger) -> None:
    if people.registered(tx, presented.fingerprint):
        return
    try:
        view = people.register(tx, presented, name=OWNER_NAME, role=Role.OWNER, tenant=ALL_TENANTS)
    except AlreadySo as problem:  # somebody of another role is called so: no reason for a broker not to start
        _log.warning("%s/%s is not registered: %s", OWNER_FOLDER, CERTIFICATE, problem.sentence)
        return
    ledger.append(
        tx, {"kind": "admin", "action": "add_admin", "actor": local_owner().to_json_object(), **people.about(view)}
    )  # fmt: skip
