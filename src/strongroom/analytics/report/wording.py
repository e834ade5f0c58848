"""A report as tables of words, which the text and the page have in common. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from strongroom.analytics.report.facts import DRIVER, Arrival, DataSet
from strongroom.analytics.report.gather import JobReport
from strongroom.analytics.report.spark_log import Application, Executor, Stage
from strongroom.analytics.report.stage_words import described
from strongroom.errors import Refused

NOT_KNOWN: Final = "-"
NOT_TOLD: Final = "not told"  # by whom it is expected of
OUTCOME: Final = "Outcome"
_USES: Final = {"wrap": "writing", "unwrap": "reading"}
_SIMULATED: Final = "simulated"
_LAST_MS: Final = 253402300799000  # the year 9999
SHOWN_ROWS: Final = 200
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its title, what it says in one sentence, column names, rows; `numeric`: columns of numbers."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: frozenset[int] = frozenset()
    empty: str = "None."
    left_out: int = 0


ABOUT: Final = (
    "What a job did: who proved what it is before it was given keys, which keys were used, which data went in and out, "
    "and where the time went. No value of the data is in it."
)


def facts(report: JobReport) -> list[tuple[str, str]]:
    """Return what the job was, as names and values."""
    job = report.facts.job
    found = [
        ("Application", report.name),
        (OUTCOME, outcome(report)),
        ("Program", f"{job.program}, SHA-256 {job.digest}" if job.digest else job.program),
        ("Master", job.master),
        ("Keys it might ask for", ", ".join(job.keys)),
        ("Began", moment(job.started)),
        ("Ended", moment(job.ended)),
    ]
    found += [("Spark", _spark(each)) for each in report.applications]
    return [(name, value) for name, value in found if value]


def tables(report: JobReport) -> list[Table]:
    """Return the tables of a report, what concerns trust first."""
    told = report.facts
    return [
        _table("Who proved what it is", "Processes that were given keys, each after its own attestation. Measurement: "
               "what the program was measured as, which its owner has admitted (strongroom policy show). Lease: how "
               "long it may keep its keys without asking again. Took: from its first word to the broker to its last "
               "key.", ("when", "where", "process", "platform", "measurement", "keys", "lease", "took"),
               [*map(_admitted, told.admitted), *(_unnamed(each) for _, each in report.unnamed)], numeric={6, 7},
               empty="No process asked a broker for keys."),
        _table("Refused", "Nothing was released to these; the owner's ledger says why (strongroom ledger show).",
               ("when", "where", "process", "code", "what"), [_refused(each) for each in told.refused],
               empty="No process was refused."),
        _table("Keys", "How often keys were used, and by which programs.",
               ("key", "for", "outcome", "times", "programs"),
               [(each.key_id, _USES.get(each.op, each.op), "done" if each.ok else "refused", f"{each.times}",
                 ", ".join(each.programs) or NOT_KNOWN) for each in told.uses],
               numeric={3}, empty="No use of a key is noted here."),
        _table("Data read", "Data sets, checked against their manifests before a row was read.", _DATA,
               [_data(each) for each in told.read], numeric={1, 3, 4}, empty="No sealed data was read."),
        _table("Data written", "Data sets, each with one commit.", _DATA, [_data(each) for each in told.written],
               numeric={1, 3, 4}, empty="No sealed data was written."),
        *(_stages(each) for each in report.applications),
        *(_executors(each, report) for each in report.applications),
    ]  # fmt: skip


def warnings(report: JobReport) -> list[str]:
    """Return what a reader has to know before everything else."""
    told, found = report.facts, []
    if failed(report) and not _was_refused(report):
        found.append(
            "Why a program failed is not in here, since errors can quote data: it stands in what the job printed."
        )
    if any(each.platform == _SIMULATED for each in told.admitted):
        found.append("The platform is simulated: no hardware has vouched for anything here, or protected it.")
    unnamed = len(report.unnamed)
    if unnamed:
        found.append(
            f"{unnamed} of the executors did not say as what they were admitted: nothing here shows what they ran."
        )
    elsewhere = sum(each.source != "event" for each in told.admitted)
    if elsewhere:
        found.append(
            f"How often {elsewhere} of the executors used their keys is not in here. A cluster of strongroom spark "
            "cluster up notes it in its events.jsonl: put that file into this folder, and the table Keys has it."
        )
    return found


def notices(report: JobReport) -> list[str]:
    """Return what a reader has to know about the report itself."""
    found = ["Written from events that the job's own processes noted. The record that counts is the owner's ledger."]
    if report.unreadable:
        found.append(f"{report.unreadable} lines could not be read: a process was cut off, or somebody changed them.")
    if report.without_lineage:
        found.append(f"What was written has no lineage: {report.without_lineage}")
    if report.facts.left_out:
        found.append(f"{report.facts.left_out} further events are left out of the tables.")
    return found


def failed(report: JobReport) -> bool:
    """Whether the job is known to have ended otherwise than well."""
    return bool(report.facts.job.status)


def outcome(report: JobReport) -> str:
    """Return how a job ended."""
    job = report.facts.job
    if job.status is None:
        return "no end was noted: it runs, or was cut off" if job.started else ""
    if not job.status:
        return "done"
    if _was_refused(report):
        return f"failed: processes were refused (exit status {job.status})"
    return f"failed: exit status {job.status}"


def _was_refused(report: JobReport) -> bool:
    return report.facts.job.status == Refused.exit_status and bool(report.facts.refused)


def moment(time: str) -> str:
    """Return an event's time as people read it, or as it is."""
    try:
        return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError):
        return time


def size(count: int) -> str:
    """Return a number of bytes in the largest unit that leaves at least one."""
    amount, at = float(count), 0
    while amount >= 1000 and at < len(_UNITS) - 1:
        amount, at = amount / 1000, at + 1
    return f"{count} B" if at == 0 else f"{amount:.1f} {_UNITS[at]}"


_DATA: Final = ("data set", "generation", "kind", "files", "size", "primary key", "manifest", "place")


def _table(
    title: str, caption: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *,
    numeric: set[int] | None = None, empty: str = "None.",
) -> Table:  # fmt: skip
    return Table(
        title, caption, columns, rows[:SHOWN_ROWS], frozenset(numeric or ()), empty, max(0, len(rows) - SHOWN_ROWS)
    )


def _admitted(each: Arrival) -> tuple[str, ...]:
    return (
        moment(each.time), each.host, each.role, each.platform or NOT_KNOWN, each.program or NOT_KNOWN,
        ", ".join(each.keys) or NOT_KNOWN, f"{each.lease_s:.0f} s" if each.lease_s else NOT_KNOWN,
        f"{each.seconds:.2f} s",
    )  # fmt: skip


def _unnamed(each: Executor) -> tuple[str, ...]:
    when = datetime.fromtimestamp(each.added_ms / 1000, UTC).isoformat() if each.added_ms < _LAST_MS else ""
    return (moment(when), each.host, f"executor {each.name}", NOT_TOLD, NOT_TOLD, NOT_TOLD, NOT_KNOWN, NOT_KNOWN)


def _refused(each: Arrival) -> tuple[str, ...]:
    return moment(each.time), each.host, each.role or NOT_KNOWN, each.code or NOT_KNOWN, each.sentence or NOT_KNOWN


def _data(each: DataSet) -> tuple[str, ...]:
    return (
        each.name, f"{each.generation}", each.kind or NOT_KNOWN, f"{each.files}", size(each.size), each.key_id,
        each.mac[:16], each.path,
    )  # fmt: skip


def _spark(each: Application) -> str:
    failed = f", {each.jobs_failed} of them failed" if each.jobs_failed else ""
    took = f", {each.seconds:.1f} s" if each.ended_ms else ", no end was noted"
    jobs, stages = _count(each.jobs, "job"), _count(len(each.stages), "stage")
    return f"{each.spark} {each.number}: {jobs}{failed}, {stages}{took}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _stages(each: Application) -> Table:
    columns = ("stage", "what", "tasks", "took", "processor", "read", "shuffled", "spilled", "outcome")
    rows = [_stage(stage) for stage in each.ran]
    caption = (
        f"Spark's steps in {each.number}. Took: by the clock; processor: of all its tasks together. Sizes are before "
        "encryption; what is spilled is encrypted, or stays in memory."
    )
    return _table("Stages", caption, columns, rows, numeric={0, 2, 3, 4, 5, 6, 7}, empty="No stage ran.")


def _stage(stage: Stage) -> tuple[str, ...]:
    tasks = f"{stage.done}/{stage.tasks}" + (f", {stage.failed} failed" if stage.failed else "")
    return (
        f"{stage.number}" if not stage.attempt else f"{stage.number}.{stage.attempt}",
        described(stage.name) or NOT_KNOWN, tasks,
        f"{stage.seconds:.1f} s" if stage.completed_ms else NOT_KNOWN, f"{stage.cpu_ns / 1e9:.1f} s", size(stage.read),
        size(stage.shuffled), size(stage.spilled),
        "failed" if stage.broken else "done" if stage.completed_ms else "not finished",
    )  # fmt: skip


def _executors(each: Application, report: JobReport) -> Table:
    proved = {(known.application, known.role): moment(known.time) for known in report.facts.admitted}
    rows = [(one.name, one.host, f"{one.cores}", _proof(one, proved.get((each.number, f"executor {one.name}"))),
             "left" if one.removed_ms else "stayed") for one in each.executors.values()]  # fmt: skip
    caption = f"Spark's processes in {each.number}. Admitted: when it had proved what it is."
    return _table("Executors", caption, ("executor", "host", "cores", "admitted", "until the end"), rows,
                  numeric={2}, empty="No executor came.")  # fmt: skip


def _proof(executor: Executor, when: str | None) -> str:
    return "is the driver" if executor.name == DRIVER else when or NOT_TOLD
