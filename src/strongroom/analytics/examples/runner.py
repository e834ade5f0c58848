"""Run examples through `strongroom spark submit`, pass on what they print, and hold it against what they have to say.

World: starts processes; data lies in a folder of its own (0700, in memory where there is such a place) that is removed
at the end. Python programs for Spark share one driver and its JVM, those of the JVM and plain Python have a process
each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from strongroom.analytics.examples import together
from strongroom.analytics.examples.asked import Asked
from strongroom.analytics.examples.data import ExampleData
from strongroom.analytics.examples.entry import Example, Prepared
from strongroom.analytics.examples.said import Said
from strongroom.analytics.examples.sealed import Encryption, seal
from strongroom.analytics.parquet.build import build
from strongroom.analytics.session.places import held_folder

SUBMIT: Final = (sys.executable, "-m", "strongroom", "spark", "submit")
END_S: Final = 30.0  # a driver removes its session's folder in this time
MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a private folder is made in it
_PLACES: Final = (Path(__file__).with_name("programs"), Path(__file__).parents[4] / "examples" / "spark")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an example printed, how its process ended, and what it should have printed but did not.

    `source` names the real data it worked on, or their stand-in; empty where there is no choice. `errors`: the last
    lines on standard error while it ran. `reached` is false where the driver of several ended before its turn.
    """

    name: str
    output: str
    status: int
    missing: tuple[str, ...]
    source: str = ""
    errors: str = ""
    reached: bool = True

    @property
    def as_expected(self) -> bool:
        """Whether it ended well and said all it has to."""
        return self.status == 0 and not self.missing


@dataclass(frozen=True, slots=True)
class Talk:
    """Who hears what a program prints, line by line, and what it says on standard error, as it comes."""

    say: Callable[[str], object]
    complain: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Job:
    """One example with its arguments, ready to be run."""

    example: Example
    asked: Asked
    prepared: Prepared
    program: Path

    def judged(self, output: str, status: int, errors: str) -> Outcome:
        """Return the outcome of what was printed."""
        missing = tuple(self.prepared.check(output, self.asked)) if status == 0 else ()
        return Outcome(self.example.name, output, status, missing, self.prepared.source, errors)


def programs() -> Path:
    """Return the folder of the programs, in the package or in a clone. Raises ExampleData."""
    found = next((place for place in _PLACES if (place / "helloworld.py").is_file()), None)
    if found is None:
        raise ExampleData("the programs of the examples are not installed", fix="Run it in a clone of Strongroom.")
    return found


def run(
    chosen: Sequence[tuple[Example, Asked]],
    *,
    submit: Sequence[str] = SUBMIT,
    say: Callable[[str], object] = sys.stdout.write,
    complain: Callable[[str], object] | None = None,
    encryption: Encryption | None = None,
) -> list[Outcome]:
    """Run examples in this order as far as they share no driver; `submit` is the command that takes a program.

    `complain` is given what they say on standard error, which goes to ours if it is None. With `encryption`, what they
    work on is sealed first, where they work on data. Raises ExampleData, BadSize, UnknownExample before anything is
    run, and NoSpark, JavaNotBuilt.
    """
    if encryption is not None:
        submit = (*submit, *encryption.words)
    with _folder() as folder:
        talk = Talk(say, complain or _complained)
        jobs = [_job(number, example, asked, folder, encryption) for number, (example, asked) in enumerate(chosen)]
        done: list[Outcome] = []
        for shared, group in groupby(jobs, key=lambda job: job.example.spark and job.example.main_class is None):
            several = list(group)
            if shared and len(several) > 1:
                done += _together(several, submit, folder, talk)
            else:
                done += [_alone(job, submit, talk) for job in several]
        return done


def _job(number: int, example: Example, asked: Asked, folder: Path, encryption: Encryption | None) -> Job:
    own = folder / str(number)
    own.mkdir()
    place = programs()
    prepared = example.prepare(asked, own, place)
    if encryption is not None and example.sealing is not None:
        prepared = seal(prepared, example.sealing, folder / f"{number}-sealed", encryption, own=own)
    return Job(example, asked, prepared, place / example.program)


def _alone(job: Job, submit: Sequence[str], talk: Talk) -> Outcome:
    arguments = job.prepared.arguments
    if not job.example.spark:
        words = [sys.executable, str(job.program), *arguments]
    elif job.example.main_class is not None:
        words = [*submit, "--class", job.example.main_class, str(build(job.program)), *arguments]
    else:
        words = [*submit, str(job.program), *arguments]
    lines, errors, status = _heard(words, talk)
    return job.judged("".join(lines), status, errors[-1])


def _together(jobs: list[Job], submit: Sequence[str], folder: Path, talk: Talk) -> list[Outcome]:
    plan = folder / "plan.json"
    steps = [{"name": job.example.name, "program": str(job.program), "arguments": job.prepared.arguments}
             for job in jobs]  # fmt: skip
    plan.write_text(json.dumps(steps), encoding="utf-8")
    printed, errors, status = _heard([*submit, together.__file__, str(plan)], talk)
    ended = status or 1  # for what did not come to its end, or was not reached
    outputs = _split(printed, ended)
    last = errors[-1]  # of the driver itself, if it did not come to its end
    return [
        job.judged(*outputs[number], errors[number] if number < len(errors) else last) if number < len(outputs)
        else Outcome(job.example.name, "", ended, (), errors=last, reached=False)
        for number, job in enumerate(jobs)
    ]  # fmt: skip


def _heard(words: Sequence[str], talk: Talk) -> tuple[list[str], list[str], int]:
    """Run a command; return the lines that it printed, its last errors as Said has them, its status."""
    said = Said(talk.complain)
    with _started(words, said) as child:
        lines = list(_passed_on(child, talk.say))
    return lines, said.ended(), child.returncode


def _split(lines: list[str], ended: int) -> list[tuple[str, int]]:
    """Return each program's output and status, as far as they were begun; `ended`: that of one without an end."""
    found: list[tuple[str, int]] = []
    kept: list[str] | None = None
    for line in lines:
        if line.startswith(together.BEGIN):
            kept = []
        elif line.startswith(together.END):
            found.append(("".join(kept or ()), int(line.removeprefix(together.END))))
            kept = None
        elif kept is not None:
            kept.append(line)
    return found if kept is None else [*found, ("".join(kept), ended)]


@contextmanager
def _started(words: Sequence[str], said: Said) -> Iterator[subprocess.Popen[str]]:
    try:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said.end_of_child, text=True,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    finally:
        said.started()
    try:
        yield child
        child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(END_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _complained(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _passed_on(child: subprocess.Popen[str], say: Callable[[str], object]) -> Iterator[str]:
    assert child.stdout is not None  # noqa: S101  # it was asked for
    for line in child.stdout:
        say(line)
        yield line


def in_memory() -> Path | None:
    """Return a folder whose files stay in memory, where there is one."""
    return MEMORY if MEMORY.is_dir() else None


@contextmanager
def _folder() -> Iterator[Path]:
    with held_folder(in_memory() or Path(tempfile.gettempdir()), "strongroom-example-") as folder:
        yield folder
