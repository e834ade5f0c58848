"""What an owner's machine gives to a cluster of simulated TEEs: the simulated world, and the broker's workspace.

World: the workspace, and an archive in memory. Both hold keys that a real TEE would keep for itself: that is why only a
simulated deployment gets them from here, and why the workspace goes through `kubectl exec` into the pod's memory and
never into an object. Files leave by an allow-list: not the CA's key, not the owner's signing key, no person's key.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from strongroom.attestation import Tee as EvidenceTee
from strongroom.attestation import TrustDomain
from strongroom.broker.admin.identities import OWNER_FOLDER, ensure_owner_identity
from strongroom.broker.keyring.opening import store_location
from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.opening import opened_workspace
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import parse_policy, read_policy_bytes
from strongroom.broker.store import backup
from strongroom.broker.store.opening import open_store
from strongroom.collateral.folder import file_name
from strongroom.deploy.description import Description, Tee
from strongroom.deploy.kubernetes.naming import broker_service_names, labels, object_name
from strongroom.errors import BadInput, Refused
from strongroom.pki import disk, keys
from strongroom.platforms import simulated
from strongroom.workspace import Workspace
from strongroom.workspace.settings import MAX_SETTINGS_BYTES

WORLD_FOLDER: Final = "world"
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_ARCHIVE_BYTES: Final = 48 * 1024 * 1024  # the pod's memory volume is 64 Mi
SETTINGS: Final = "strongroom.toml"
STORE: Final = "broker.db"
_FOLDERS: Final = ("ca", "signing", "keys", "broker", "root", "trust", "trust/anchors", "trust/collateral", "admin",
                   OWNER_FOLDER)  # fmt: skip
_FILES: Final = ("policy.toml", "ca/ca_cert.pem", "signing/owner_public.pem", "root/root.key",
                 f"{OWNER_FOLDER}/cert.pem")  # fmt: skip
_GROWING: Final = ("keys", "trust/anchors", "trust/collateral")
_NOT_THERE: Final = frozenset({"store", "root", "pkcs11", "witness"})  # words of [broker] that mean this machine


class HandoverRefused(Refused):
    """The broker's workspace must not leave the owner's machine for this cluster."""

    code = "SR-HANDOVER-REFUSED"
    fix = 'Run the broker on a machine of your own and say broker = "HOST:PORT" in [deploy].'


class HandoverTooLong(BadInput):
    """The broker's workspace is longer than the memory that its pod has for it."""

    code = "SR-HANDOVER-SIZE"
    fix = 'Run the broker outside of the cluster: broker = "HOST:PORT" in [deploy].'


def check(description: Description, workspace: Workspace) -> None:
    """Raise HandoverRefused where the workspace may not go there: the TEE is real, or the root key is elsewhere."""
    if description.tee is not Tee.SIMULATED:
        raise HandoverRefused(
            f"the broker's keys would lie in the memory of an ordinary pod, which the operator of the cluster can read;"
            f" with tee = {description.tee.value!r} nothing may"
        )
    root = workspace.settings.broker.root
    if root != "file":
        raise HandoverRefused(f"the root key is not a file ([broker] root = {root[:32]!r}): a pod has no way to it")


def refuse_real_keys(workspace: Workspace, policies: Policies) -> None:
    """Raise HandoverRefused if a rule keeps a key from simulated TEEs: all keys of a workspace go together."""
    read = [parse_policy(read_policy_bytes(workspace.policy_path))]  # what the broker there puts in force
    read += [policies.current(tenant)[0] for tenant in sorted(policies.tenants() - {DEFAULT_TENANT})]
    for rule in (rule for policy in read for rule in policy.rules):
        if TrustDomain.SIMULATED not in rule.policy.trust_domains:
            raise HandoverRefused(
                f"rule {rule.name!r} releases {rule.release} on real TEEs alone, and whoever operates the cluster"
                " could read it in an ordinary pod",
                fix="Make a workspace for the rehearsal (strongroom init), with models of its own.",
            )


def world_of(workspace: Workspace, *, now: datetime) -> simulated.World:
    """Return the workspace's simulated world, made at the first use, with fresh collateral in the workspace's trust."""
    world = simulated.World.open_or_create(workspace.folder / WORLD_FOLDER, now=now)
    disk.replace_public(workspace.anchors_folder / f"{WORLD_FOLDER}.der", world.root_der)
    for tee in EvidenceTee:
        content = world.collateral(now, tee=tee).to_json().encode()
        disk.replace_public(workspace.collateral_folder / file_name(world.fmspc, tee), content)
    return world


def world_secret(description: Description, workspace: Workspace) -> dict[str, Any]:
    """Return the Secret that holds the simulated world; it keeps nothing secret, and says so."""
    folder = workspace.folder / WORLD_FOLDER
    data = {
        path.name: base64.b64encode(disk.read_bounded(path, limit=MAX_FILE_BYTES)).decode("ascii")
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": object_name(description, "simulated-world"),
            "namespace": description.namespace,
            "labels": labels(description),
            "annotations": {"strongroom/simulated": "keeps nothing secret: whoever reads it can forge its quotes"},
        },
        "type": "Opaque",
        "data": data,
    }


def workspace_archive(description: Description, workspace: Workspace, *, now: datetime) -> bytes:
    """Return the broker's part of the workspace as a tar archive, its store as a consistent copy.

    The broker's certificate in it holds the names of its Service. Raises HandoverRefused, also where a rule keeps a key
    to real TEEs, HandoverTooLong, and what reading the workspace raises.
    """
    check(description, workspace)
    with opened_workspace(workspace) as found:
        refuse_real_keys(workspace, found.policies)
        ensure_owner_identity(workspace, found.store, found.ledger, now=now)
    with tempfile.TemporaryDirectory(prefix="strongroom-") as place:
        files = dict(_files(description, workspace, now=now)) | {STORE: _store_copy(workspace, Path(place))}
    content = archive(files)
    if len(content) > MAX_ARCHIVE_BYTES:
        raise HandoverTooLong(
            f"the broker's workspace has {len(content)} bytes; {MAX_ARCHIVE_BYTES} may be handed over"
        )
    return content


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of folders (0700) and files (0600) that only their owner may read. Pure."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in _FOLDERS:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, disk.SECRET_FOLDER_MODE
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), disk.SECRET_MODE
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _files(description: Description, workspace: Workspace, *, now: datetime) -> Iterator[tuple[str, bytes]]:
    folder = workspace.folder
    for name in _FILES:
        yield name, disk.read_bounded(folder / name, limit=MAX_FILE_BYTES)
    for part in _GROWING:
        for path in sorted((folder / part).iterdir()):
            if path.is_file() and not path.name.startswith("."):
                yield f"{part}/{path.name}", disk.read_bounded(path, limit=MAX_FILE_BYTES)
    for number, owner in enumerate(workspace.settings.broker.owners):
        yield f"owner-{number}.pem", disk.read_bounded(folder / owner, limit=keys.MAX_PEM_BYTES)
    names = (*dict.fromkeys((*workspace.settings.broker_names, *service_names(description), "localhost")),)
    key = disk.read_secret(folder / "broker/key.pem", limit=keys.MAX_PEM_BYTES)
    with key.reveal() as raw:
        yield "broker/key.pem", bytes(raw)
    yield "broker/cert.pem", workspace.authority().renew_server(key, names, now=now).certificate_pem
    yield SETTINGS, settings_there(disk.read_bounded(folder / SETTINGS, limit=MAX_SETTINGS_BYTES), names)


def service_names(description: Description) -> tuple[str, ...]:
    """Return the names under which pods reach the broker."""
    return broker_service_names(description.name, description.namespace)


def settings_there(text: bytes, names: tuple[str, ...]) -> bytes:
    """Return strongroom.toml as the broker's pod needs it: its own names, a local store, no deployment. Pure."""
    table = tomllib.loads(text.decode())
    table.pop("deploy", None)
    here = table.pop("broker", {})
    broker = {name: value for name, value in here.items() if name not in _NOT_THERE}
    broker["names"] = list(names)
    if "owners" in broker:
        broker["owners"] = [f"owner-{number}.pem" for number, _ in enumerate(broker["owners"])]
    return "".join(_toml({**table, "broker": broker}, ())).encode()


def _toml(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield a table as TOML: values first, then the tables in it."""
    if path:
        yield f"\n[{'.'.join(map(json.dumps, path))}]\n"
    inner = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    for name, value in table.items():
        if name not in inner:
            yield f"{json.dumps(name)} = {_value(value)}\n"
    for name, value in inner.items():
        yield from _toml(value, (*path, name))


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_value(each)}" for name, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool | int | float) else str(value)


def _store_copy(workspace: Workspace, place: Path) -> bytes:
    """Return the store as one file, consistent while brokers write to it."""
    kept = place / "store.backup"
    source = open_store(store_location(workspace))
    try:
        backup.write(source, kept)
    finally:
        source.close()
    target = open_store(place / STORE)
    try:
        backup.restore(kept, target)
    finally:
        target.close()
    return disk.read_bounded(place / STORE, limit=MAX_FILE_BYTES)
