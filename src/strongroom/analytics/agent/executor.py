"""The measured program of an executor: checks the host's words, proves itself, starts Java with its keys beside it.

    python -m strongroom.analytics.agent.executor --broker=… --broker-ca=… --key=… --job=… --java=… --home=…
        --max-heap-mib=… --words-from=words

Its own words are measured. The words for Java come from a file or standard input, each ended by NUL, and are checked
by the launcher; a refusal, the launcher's or the broker's, ends it with status 3 before Java is started, and is noted
in the roll call.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.analytics.agent import child
from strongroom.analytics.agent.admission import WAIT_S, Asked
from strongroom.analytics.agent.agent import SPARK_SECRET, Held, attested, keep_memory_private
from strongroom.analytics.agent.events import EVENTS_VARIABLE, Events
from strongroom.analytics.agent.roll_call import RollCall
from strongroom.errors import BadInput, StrongroomError
from strongroom.launcher.launch import Launch, check, read_words
from strongroom.launcher.reading import read_source
from strongroom.launcher.roles import Role, Settings
from strongroom.launcher.values import path_below
from strongroom.sparkjobs.registration import VARIABLE, Registration

APPLICATION: Final = "-Dspark.authenticate.application="
# The driver says where its own files are; here they are elsewhere, and this program's own words say where.
_DRIVERS_FILES: Final = ("-Dspark.ssl.", "-Dspark.authenticate.secret")
_CLASS_PATH: Final = "-cp"
_DIRS: Final = ("local", "tmp")


def main(argv: Sequence[str]) -> int:
    """Check, attest, run; return the exit status."""
    args = _parser().parse_args(argv)
    keep_memory_private()
    words: tuple[str, ...] = ()
    try:
        words = own_words(read_words(read_source(args.words_from)), args.home)
        check(words, _settings(args, Path("/nonexistent")))  # before anybody is asked for anything
        return _run(args, words)
    except StrongroomError as problem:
        _note(args, words, problem)
        sys.stderr.write(f"executor: {problem.sentence}\n  what to do: {problem.fix}\n  [{problem.code}]\n")
        return problem.exit_status
    except OSError as problem:
        sys.stderr.write(f"executor: {problem}\n")
        return BadInput.exit_status


def own_words(words: Sequence[str], home: str) -> tuple[str, ...]:
    """Return the words for Java without those that this program says by itself: places of the driver's files.

    Of the class path, what is not Spark's own goes: the measured jars of this program come in its place.
    """
    kept = [word for word in words if not word.startswith(_DRIVERS_FILES)]
    for at, word in enumerate(kept[:-1]):
        if word == _CLASS_PATH:
            kept[at + 1] = ":".join(entry for entry in kept[at + 1].split(":") if path_below(entry.rstrip("*"), home))
            break
    return tuple(kept)


def said(words: Sequence[str], option: str) -> str:
    """Return the value of an option among words, or nothing."""
    return words[words.index(option) + 1] if option in words[:-1] else ""


def application_of(words: Sequence[str], job: str) -> str:
    """Return what the driver says that this application is known by; the job's name where it does not.

    It is no secret: another one gives another secret of Spark's, with which the driver does not speak.
    """
    found = [word.removeprefix(APPLICATION) for word in words if word.startswith(APPLICATION)]
    return found[-1] if found else job


def _run(args: argparse.Namespace, words: tuple[str, ...]) -> int:
    asked = Asked(
        broker=args.broker, ca=args.broker_ca, keys=tuple(dict.fromkeys(args.key)), job=args.job, tenant=args.tenant,
        deployment=args.deployment, wait_s=args.wait,
    )  # fmt: skip
    application = application_of(words, args.job)
    events = _events(args, words)
    with attested(asked, os.environ, application=application, memory=args.memory, events=events) as held:
        for name in _DIRS:
            (held.folder / name).mkdir(mode=0o700)
        launch = check(words, _settings(args, held.folder))
        for notice in launch.notices:
            sys.stderr.write(f"executor: {notice}\n")
        _note(args, words, None, held.seconds)
        return child.run(_with_jars(launch.argv, args.jar), _environment(launch, held, args, events.admission))


def _environment(
    launch: Launch, held: Held, args: argparse.Namespace, admission: Registration | None
) -> dict[str, str]:  # fmt: skip
    """Return what Java is started with: paths, and what it says of itself to the driver as it registers."""
    found: Mapping[str, str] = held.variables
    events = {} if args.events is None else {EVENTS_VARIABLE: str(args.events.absolute())}
    told = {} if admission is None else {VARIABLE: admission.to_attribute()}
    return {**launch.environment, **found, **events, **told}


def _with_jars(argv: Sequence[str], jars: Sequence[str]) -> list[str]:
    """Return the command with measured jars before everything else on the class path."""
    words = list(argv)
    if jars:
        at = words.index(_CLASS_PATH) + 1
        words[at] = ":".join((*jars, words[at]))
    return words


def _settings(args: argparse.Namespace, folder: Path) -> Settings:
    return Settings(
        role=Role.SPARK_EXECUTOR, java=args.java, home=args.home, scratch=str(folder / "local"),
        temporary=str(folder / "tmp"), secret=str(folder / SPARK_SECRET), max_heap_mib=args.max_heap_mib,
        library_path=args.library_path,
    )  # fmt: skip


def _named(words: Sequence[str]) -> tuple[str, str]:
    """Return the executor's id and its application's."""
    return said(words, "--executor-id") or "?", said(words, "--app-id") or "?"


def _events(args: argparse.Namespace, words: Sequence[str]) -> Events:
    name, application = _named(words)
    return Events(args.events, role=f"executor {name}", application=application)


def _note(
    args: argparse.Namespace, words: Sequence[str], problem: StrongroomError | None, seconds: float = 0.0
) -> None:
    if problem is not None:
        _events(args, words).refused(problem, said(words, "--executor-id") or "?")
    if args.roll_call is None:
        return
    name, application = _named(words)
    host = said(words, "--hostname") or socket.gethostname()
    code, sentence = ("", "") if problem is None else (problem.code, problem.sentence)
    try:
        RollCall(args.roll_call).add(
            "executor", name, application, host, code=code, sentence=sentence, seconds=seconds
        )  # fmt: skip
    except OSError as failed:
        sys.stderr.write(f"executor: {args.roll_call}: {failed.strerror}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("executor", description=__doc__, allow_abbrev=False)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--broker-ca", type=Path, required=True)
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--job", required=True)
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--deployment")
    parser.add_argument("--wait", type=float, default=WAIT_S)
    parser.add_argument("--java", required=True)
    parser.add_argument("--home", required=True, help="Spark's folder: jars, all of them measured")
    parser.add_argument("--jar", action="append", default=[], help="another measured jar for the class path")
    parser.add_argument("--max-heap-mib", type=int, required=True)
    parser.add_argument("--library-path", default="")
    parser.add_argument("--memory", type=Path, help="a folder in memory")
    parser.add_argument("--events", type=Path)
    parser.add_argument("--roll-call", type=Path)
    parser.add_argument("--words-from", type=Path, required=True, help="words for Java; - is standard input")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
