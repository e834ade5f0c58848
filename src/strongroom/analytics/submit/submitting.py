"""`spark submit`: keys, a session, the program, and what is left of it: an exit status, a redacted event log, a report.

World: starts the driver's process and waits for it; removes the session's folder whatever happens to the driver.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.analytics.agent.admission import Asked
from strongroom.analytics.agent.agent import Held, attested, serving
from strongroom.analytics.agent.events import Events
from strongroom.analytics.agent.roll_call import ExecutorsRefused
from strongroom.analytics.keys.agent import AgentKeys
from strongroom.analytics.keys.opening import AGENT_VARIABLE, open_keys
from strongroom.analytics.keys.service import KeyNotGranted, KeyService
from strongroom.analytics.report.finishing import clear, finish, make_place
from strongroom.analytics.report.words import summary
from strongroom.analytics.session import events as told
from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.session.surroundings import SECRET_FILE_VARIABLE
from strongroom.analytics.submit import gateway, hooks, supervising
from strongroom.analytics.submit.named_keys import NamedKeys
from strongroom.analytics.submit.pods import PodWatch, pods_noted
from strongroom.analytics.submit.preparing import (
    InsecureWithKeys,
    Prepared,
    Wanted,
    prepare,
    warn_insecure,
)
from strongroom.analytics.submit.program import PROGRESS_VARIABLE
from strongroom.analytics.submit.watching import watched
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.sparkjobs import cluster_file, defaults_file
from strongroom.sparkjobs.event_log import MAX_LINE_BYTES, redacted
from strongroom.sparkjobs.flags import Submission
from strongroom.sparkjobs.masters import MasterKind
from strongroom.sparkjobs.properties import APPLICATION

EVENTS_FILE: Final = "events.jsonl"
NAMESPACE: Final = "spark.kubernetes.namespace"
MAX_SAID: Final = 8  # pods of which a failed job speaks
SPARK_EVENTS: Final = "spark"  # a folder of event logs, as the history server wants them


class NoProgram(BadInput):
    """The program that is to be run is not there."""

    code = "SR-SPARK-PROGRAM"
    fix = "Check the path of the .py or .jar file."


def submit(job: Submission, environ: Mapping[str, str]) -> int:
    """Run one job to its end and return its program's exit status.

    Raises what preparing a session and asking for keys raise, NoProgram, NoPlaceForReport.
    """
    if not Path(job.program).is_file():
        raise NoProgram(f"{job.program} is no file")
    if job.report is not None:
        make_place(Path(job.report))  # not after hours of work
    if job.insecure:
        warn_insecure()
    hooks.no_dumps()  # this process holds keys, and those below it data
    with _session_folder(job) as folder:
        events = folder.path / EVENTS_FILE
        named = environ.get(told.EVENTS_VARIABLE)
        events = Path(named) if named else events
        # Kubernetes' executors derive Spark's secret from what the driver says; elsewhere a Master has it, of its job.
        application = secrets.token_hex(8) if job.kind is MasterKind.KUBERNETES and job.broker is not None else ""
        with _keys(job, environ, events, application) as held:
            prepared = prepare(folder, _wanted(job, held, application), {**environ, **held})
            try:
                status = _run(job, prepared, events)
            except ExecutorsRefused as problem:  # whom, the report says
                told.job_ended(status=problem.exit_status, to=events)
                _leave(job, folder, events, held.get(AGENT_VARIABLE))
                raise
            _leave(job, folder, events, held.get(AGENT_VARIABLE))
    return status


@contextmanager
def _session_folder(job: Submission) -> Iterator[SessionFolder]:
    folder = SessionFolder.create(insecure=job.insecure)
    try:
        yield folder
    finally:
        folder.remove()


def _wanted(job: Submission, held: Mapping[str, str], application: str) -> Wanted:
    settings = dict(job.settings)
    if job.cluster_file is not None:
        data = disk.read_bounded(Path(job.cluster_file), limit=defaults_file.MAX_FILE_BYTES)
        settings = {**cluster_file.read(data), **settings}
    if job.properties_file is not None:
        data = disk.read_bounded(Path(job.properties_file), limit=defaults_file.MAX_FILE_BYTES)
        settings = {**defaults_file.parse(data), **settings}
    return Wanted(
        app_name=settings.pop("spark.app.name", Path(job.program).name), master=job.master, settings=settings,
        rpc=job.rpc, ui=job.ui, local_dirs=job.local_dirs, secret_file=job.secret_file,
        agent=held.get(AGENT_VARIABLE), application=application, insecure=job.insecure, verbose=job.verbose,
        traces=os.fspath(Path(job.log_file).absolute()) if job.log_file and not job.verbose else None,
    )  # fmt: skip


@contextmanager
def _keys(
    job: Submission, environ: Mapping[str, str], events: Path, application: str
) -> Iterator[dict[str, str]]:  # fmt: skip
    """Lend the variables that name who has this job's keys: an agent above, one of ours, or nobody."""
    above = environ.get(AGENT_VARIABLE)
    if job.insecure and (above or job.keys or job.key_source or job.broker):
        raise InsecureWithKeys("an insecure session gets no keys")
    if job.broker is not None:
        with attested(_asked(job), environ, application=application, events=Events(events, role="driver")) as held:
            yield dict(held.variables)
    elif job.key_source is not None:
        if not job.keys:
            raise KeyNotGranted("--keys says where keys are, and no --key which of them the job gets",
                                fix="Add --key NAME for each primary key that the job may use.")  # fmt: skip
        with _opened(job, open_keys(job.key_source), events) as held:
            yield dict(held.variables)
    elif above is not None and job.keys:
        with _opened(job, AgentKeys(above), events) as held:
            yield {**_secret(environ), **held.variables}
    elif above is not None:
        yield {**_secret(environ), AGENT_VARIABLE: above}
    elif job.keys:
        raise KeyNotGranted("the job asks for keys, and there is nobody to have them from",
                            fix="Name a broker (--broker URL --broker-ca FILE), run under strongroom spark agent, or "
                                "for a test name key files (--keys file:FOLDER).")  # fmt: skip
    else:
        yield _secret(environ)


def _secret(environ: Mapping[str, str]) -> dict[str, str]:
    return {SECRET_FILE_VARIABLE: environ[SECRET_FILE_VARIABLE]} if SECRET_FILE_VARIABLE in environ else {}


@contextmanager
def _opened(job: Submission, keys: KeyService, events: Path) -> Iterator[Held]:
    try:
        with serving(NamedKeys(keys, job.keys), events=Events(events)) as held:
            yield held
    finally:
        keys.close()


def _asked(job: Submission) -> Asked:
    if job.broker is None or job.broker_ca is None:
        raise KeyNotGranted("a broker is asked under a CA certificate", fix="Add --broker-ca FILE.")
    return Asked(broker=job.broker, ca=Path(job.broker_ca), keys=job.keys, job=job.job or "")


def _run(job: Submission, prepared: Prepared, events: Path) -> int:
    is_java = job.main_class is not None
    variables = gateway.variables(prepared.folder, prepared.environ) if is_java else prepared.environ
    environ = {**variables, told.EVENTS_VARIABLE: os.fspath(events)}
    if job.progress and sys.stderr.isatty():
        environ[PROGRESS_VARIABLE] = "1"
    _started(job, events)
    log = Path(job.log_file) if job.log_file else None
    settings = prepared.settings
    namespace, session = settings.get(NAMESPACE, "default"), settings.get(APPLICATION, "")
    with pods_noted(job.master, namespace, session, prepared.folder.path) as pods:
        roll_call = job.roll_call or (os.fspath(pods.roll_call.path) if pods is not None else None)
        with watched(roll_call, events) as driver:
            status = supervising.run(_command(job, prepared), environ, log=log, started=driver.started)
    if status and pods is not None:
        _say_ended(pods)
    told.job_ended(status=status, to=events)
    return status


def _say_ended(pods: PodWatch) -> None:
    for each in [found for found in pods.ended.values() if found.status][:MAX_SAID]:
        sys.stderr.write(f"spark submit: executor {each.executor} in pod {each.pod} ended with status {each.status}\n")


def _command(job: Submission, prepared: Prepared) -> list[str]:
    if job.main_class is not None:
        return gateway.java_command(job.main_class, job.program, job.arguments, prepared.folder, prepared.environ)
    module = "strongroom.analytics.submit.program"
    return [sys.executable, "-m", module, os.fspath(prepared.folder.path), job.program, *job.arguments]


def _started(job: Submission, events: Path) -> None:
    with Path(job.program).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    told.job_started(
        application=job.settings.get("spark.app.name", Path(job.program).name), program=job.program, digest=digest,
        master=job.master, keys=job.keys, to=events,
    )  # fmt: skip


def _leave(job: Submission, folder: SessionFolder, events: Path, agent: str | None) -> None:
    """Keep the report and what the history server reads; everything else goes with the folder."""
    if job.event_log is not None:
        keep_event_logs(folder.events, Path(job.event_log))
    if job.report is not None:
        place = Path(job.report)
        clear(place, place / SPARK_EVENTS)
        if events.is_file():
            disk.replace_private(place / EVENTS_FILE, events.read_bytes())
        keep_event_logs(folder.events, place / SPARK_EVENTS)
        with contextlib.closing(AgentKeys(agent)) if agent is not None else contextlib.nullcontext() as keys:
            sys.stderr.write(summary(finish(place, keys)))


def keep_event_logs(source: Path, target: Path) -> list[Path]:
    """Write each event log of a folder, without what can hold data, into another one; return the new files."""
    target.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
    kept = []
    for path in sorted(each for each in source.iterdir() if each.is_file()):
        name = path.name.removesuffix(".inprogress")
        part = target / f".{name}.part"
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, disk.SECRET_MODE)
        with path.open("rb") as log, os.fdopen(descriptor, "wb") as file:
            while line := log.readline(MAX_LINE_BYTES + 1):
                found = redacted(line)
                if found is not None:
                    file.write(found)
        kept.append(part.replace(target / name))
    return kept
