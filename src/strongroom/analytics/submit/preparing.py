"""From what a user asked for to a folder that Spark starts from: settings checked, files written, nothing in arguments.

World: the session's folder, the jars built from our Java sources.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom.analytics.agent.tokens import TOKENS, TOKENS_VARIABLE
from strongroom.analytics.parquet.build import build, kms_jar
from strongroom.analytics.session.folder import (
    ALL_SHOWN,
    CA,
    KEY_STORE,
    TRACES_VARIABLE,
    TRUST_STORE,
    SessionFolder,
)
from strongroom.analytics.session.storage import check_local_dir
from strongroom.analytics.session.surroundings import SECRET_FILE_VARIABLE, environment
from strongroom.analytics.submit.pods import in_a_pod
from strongroom.errors import Refused
from strongroom.pki import disk
from strongroom.sparkjobs import properties
from strongroom.sparkjobs.masters import MasterKind
from strongroom.sparkjobs.properties import Places, Rpc
from strongroom.sparkjobs.redaction import check_settings

JAVA_SOURCES: Final = Path(__file__).parent / "java"
_DRIVER_POD: Final = "spark.kubernetes.driver.pod.name"
_LOCAL_CLUSTER: Final = "local-cluster["  # Spark's own test of a cluster on one host; makes no secret for itself
_MAX_SECRET_BYTES: Final = 4096


class NoApplicationSecret(Refused):
    """A job on a cluster has no secret that its driver and executors share."""

    code = "SR-SPARK-NO-SECRET"
    fix = "Submit under an agent with the job's secret (spark agent --job NAME -- …), or name its file: --secret-file."


class InsecureWithKeys(Refused):
    """An insecure session was asked to use keys."""

    code = "SR-SPARK-INSECURE"
    fix = "Leave out --insecure, or the keys: without protection a job works on data without protection alone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a session is to be."""

    app_name: str | None = None
    master: str = "local[*]"
    settings: Mapping[str, str] = field(default_factory=dict)
    rpc: Rpc = Rpc.AES
    ui: bool = True
    local_dirs: tuple[str, ...] = ()
    secret_file: str | None = None
    agent: str | None = None
    application: str = ""  # on Kubernetes: what sets this application apart
    insecure: bool = False
    verbose: bool = False
    traces: str | None = None  # a file for whole traces, where they are not shown


@dataclass(frozen=True, slots=True)
class Prepared:
    """A folder to start from, and the environment to start in: names of places, no secrets."""

    folder: SessionFolder
    environ: Mapping[str, str]
    settings: Mapping[str, str]  # without those that hold secrets


def prepare(folder: SessionFolder, wanted: Wanted, environ: Mapping[str, str]) -> Prepared:
    """Check what is wanted and write the folder.

    Raises BadMaster, SecretInSettings, SettingLocked, DiskInTheClear, NoApplicationSecret, InsecureWithKeys,
    LoosePermissions, NoSpark, JavaNotBuilt.
    """
    kind = MasterKind.of(wanted.master)
    if wanted.insecure and wanted.agent is not None:
        raise InsecureWithKeys("an insecure session gets no keys")
    local_dirs = _local_dirs(folder, wanted)
    session = _session_settings(folder, wanted, kind)
    settings = _with_users(session, wanted) | {"spark.master": wanted.master}
    if wanted.app_name is not None:
        settings["spark.app.name"] = wanted.app_name
    password = folder.write_stores(_hosts(kind))
    secret = _application_secret(kind, wanted, environ)
    if kind is MasterKind.KUBERNETES and secret is not None:
        settings |= properties.secret_files(secret)
        if in_a_pod():
            settings.setdefault(_DRIVER_POD, socket.gethostname())  # executors' pods go with the driver's
    hidden = _hidden(wanted, kind, password, secret)
    locked = {} if wanted.insecure else properties.kept(session)
    folder.write_settings({**settings, **hidden}, locked, verbose=wanted.verbose,
                          traces=wanted.traces is not None)  # fmt: skip
    variables = environment(folder, environ, local_dirs=local_dirs)
    if kind is MasterKind.LOCAL:
        variables["SPARK_LOCAL_IP"] = properties.LOOPBACK  # the pages listen there alone
    if kind is MasterKind.KUBERNETES and secret is not None:
        variables |= _tokens(Path(secret))
    if wanted.agent is not None:
        variables[properties.AGENT_ENVIRONMENT] = wanted.agent
    else:
        variables.pop(properties.AGENT_ENVIRONMENT, None)
    variables.pop(TRACES_VARIABLE, None)
    if wanted.verbose or wanted.traces is not None:
        variables[TRACES_VARIABLE] = wanted.traces or ALL_SHOWN
    return Prepared(folder, variables, settings)


def _session_settings(folder: SessionFolder, wanted: Wanted, kind: MasterKind) -> dict[str, str]:
    own = os.fspath(own_jar())
    jars = [own]
    if wanted.agent is not None:
        jars.append(os.fspath(kms_jar()))
    places = Places(
        folder=os.fspath(folder.path), key_store=os.fspath(folder.path / KEY_STORE),
        trust_store=os.fspath(folder.path / TRUST_STORE), jars=tuple(jars), event_log=os.fspath(folder.events),
        temporary=os.fspath(folder.temporary), guard=own, agent=wanted.agent, application=wanted.application,
    )  # fmt: skip
    return properties.secured(kind, places, rpc=wanted.rpc, ui=wanted.ui)


def _with_users(session: dict[str, str], wanted: Wanted) -> dict[str, str]:
    if wanted.insecure:
        needed = (properties.FOLDER, "spark.driver.extraClassPath")  # of the gateway, which has TLS in any case
        plain = {name: session[name] for name in needed} | properties.stores(session)
        return properties.merged(wanted.settings, plain)
    check_settings(wanted.settings, properties.kept(session))
    return properties.merged(wanted.settings, session)


def _local_dirs(folder: SessionFolder, wanted: Wanted) -> tuple[str, ...]:
    if not wanted.local_dirs:
        return (os.fspath(folder.local),)
    if wanted.insecure:
        return wanted.local_dirs
    return tuple(os.fspath(check_local_dir(Path(each))) for each in wanted.local_dirs)


def _hosts(kind: MasterKind) -> tuple[str, ...]:
    """Whom the driver's certificate names: the page is looked at through loopback, wherever the driver runs."""
    name = socket.gethostname().lower()
    own = (name,) if kind is not MasterKind.LOCAL and name != "localhost" else ()
    return ("localhost", "127.0.0.1", *own)


def _application_secret(kind: MasterKind, wanted: Wanted, environ: Mapping[str, str]) -> str | None:
    """Return the file with Spark's secret, which a local session makes for itself."""
    path = wanted.secret_file or environ.get(SECRET_FILE_VARIABLE)
    if kind is MasterKind.LOCAL or wanted.insecure:
        return None
    if not path:
        raise NoApplicationSecret(f"{wanted.master[:100]} needs a secret that driver and executors share")
    disk.check_private(Path(path))
    return path


def _tokens(secret: Path) -> dict[str, str]:
    """Return where an agent has Spark's secret in Hadoop's form too, where Spark looks first, as in executors.

    From a file of its own, Spark would take the secret as base64 of the file. A place that the environment says is none
    of ours, so it is the one beside the secret.
    """
    place = secret.with_name(TOKENS)
    if not place.exists():
        return {}
    disk.check_private(place)
    return {TOKENS_VARIABLE: os.fspath(place)}


def _hidden(wanted: Wanted, kind: MasterKind, password: str, secret: str | None) -> dict[str, str]:
    raw = secrets.token_hex(32) if wanted.master.startswith(_LOCAL_CLUSTER) else None
    if kind is MasterKind.STANDALONE and secret is not None:  # Spark takes no file from these drivers
        with disk.read_secret(Path(secret), limit=_MAX_SECRET_BYTES).reveal() as found:
            raw = found.decode("ascii").strip()
    return properties.private(password, raw)


def own_jar() -> Path:
    """Return the jar with the driver's gateway and guard. Raises NoSpark, JavaNotBuilt, LoosePermissions."""
    return build(JAVA_SOURCES)


def ca_file(folder: SessionFolder) -> Path:
    """Return the certificate by which the session's pages are to be checked."""
    return folder.path / CA


def warn_insecure() -> None:
    """Say what --insecure takes away."""
    sys.stderr.write(
        "WARNING: --insecure: connections, spilled data, pages and logs of this job are NOT protected. "
        "It gets no keys.\n"
    )
