"""The frame around every verb: find it, parse, run, and turn any failure into one sentence and an exit status."""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import io
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol, cast

from strongroom import __version__
from strongroom.cli.contents import CONTENTS, Verb, verbs
from strongroom.errors import BadInput, StrongroomError, Unreachable

INTERRUPTED = 130  # 128 + SIGINT, as shells count
WIDER = 5  # strongroom policy diff: the new policy admits more, which is no error but has to be seen


class Misuse(BadInput):
    """The command line does not fit the command."""

    code = "SR-MISUSE"
    fix = "Run the command with --help."
    exit_status = 1


class FileTrouble(BadInput):
    """A file cannot be read or written as asked."""

    code = "SR-FILE"
    fix = "Check the path and its permissions."


class PortTaken(BadInput):
    """The address and port that a server was to listen on cannot be had."""

    code = "SR-PORT-TAKEN"
    fix = "Choose another port (0: a free one), end the program that listens there, or give an address of this machine."


class NetworkTrouble(Unreachable):
    """A connection could not be made or broke."""

    code = "SR-NETWORK"
    fix = "Check that the other side runs and that the address is right, then try again."


class Defect(StrongroomError):
    """Strongroom itself failed: this is a bug, not your input."""

    code = "SR-DEFECT"
    fix = "Run again with STRONGROOM_TRACEBACK=1 and report what it prints."
    family = "defect"
    exit_status = 2


class VerbModule(Protocol):
    """What the module of a verb offers."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the verb and return the exit status."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `Misuse` instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        """Raise `Misuse` with the usage line as the fix; where the sentence names the argument, --help is enough."""
        if message.startswith("argument "):
            raise Misuse(message, fix=f"{self.prog} --help says what it takes.")
        raise Misuse(message, fix=f"{self.format_usage().strip()}  (--help says more)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return the exit status: 0 done, 1 misuse, 2 bad input, 3 refused, 4 unreachable."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: dispatch(words), as_json="--json" in words)


def dispatch(words: list[str]) -> int:
    """Select the verb by its leading words and run it."""
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(table_of_contents())
        return 0
    if words[0] in {"-V", "--version"}:
        sys.stdout.write(f"strongroom {__version__}\n")
        return 0
    group = [each for name, each in verbs().items() if name.startswith(f"{words[0]} ")]
    if group and len(words) == 2 and words[1] in {"-h", "--help"}:
        name = f"strongroom {words[0]} COMMAND"
        sys.stdout.write(f"usage: {name} [options]     {name} --help says more\n\n")
        longest = max(len(each.words) for each in group)
        sys.stdout.writelines(f"{each.words:<{longest}}  {each.summary}\n" for each in group)
        return 0
    verb, rest = find_verb(words)
    module = cast("VerbModule", importlib.import_module(f"strongroom.cli.{verb.module}"))
    parser = Parser(prog=f"strongroom {verb.words}", description=module.__doc__, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    module.arguments(parser)
    return module.run(parser.parse_args(rest))


def find_verb(words: list[str]) -> tuple[Verb, list[str]]:
    """Return the verb that the leading one to three words name, and the words after it."""
    known = verbs()
    for count in (3, 2, 1):
        verb = known.get(" ".join(words[:count]))
        if verb is not None and len(words) >= count:
            return verb, words[count:]
    siblings = [name for name in known if name.split()[0] == words[0]]
    if siblings and (len(words) == 1 or words[1].startswith("-")):
        raise Misuse(f"'{words[0]}' needs one more word", fix=f"One of: {', '.join(siblings)}.")
    asked = " ".join(words[:2] if siblings else words[:1])[:64]
    near = difflib.get_close_matches(asked, siblings or {name.split()[0]: None for name in known}, n=1)
    fix = f"One of: {', '.join(siblings)}." if siblings else "Run strongroom --help for the table of contents."
    raise Misuse(f"there is no command {asked!r}", fix=f"Did you mean '{near[0]}'? {fix}" if near else fix)


def table_line(verb: Verb) -> str:
    """Return a verb and what it does; summaries stand below each other."""
    return f"{verb.words:<17} {verb.summary}" if len(verb.words) <= 17 else f"{verb.words}\n{'':<20}{verb.summary}"


def table_of_contents() -> str:
    """Return what `strongroom --help` prints."""
    lines = [f"strongroom {__version__}: confidential machine learning on machines nobody has to trust", ""]
    lines += ["usage: strongroom COMMAND [options]     strongroom COMMAND --help says more", ""]
    for title, chapter in CONTENTS:
        lines.append(title)
        lines += [f"  {table_line(verb)}" for verb in chapter]
        lines.append("")
    lines.append("Exit status: 0 done, 1 misuse, 2 bad input, 3 refused or tampered, 4 unreachable, 5 policy widened.")
    return "\n".join(lines) + "\n"


def guarded(action: Callable[[], int], *, as_json: bool = False) -> int:
    """Run `action`; print any failure as one catalogued error and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal has no letters for is no failure
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with terminations_unwind():
            return action()
    except SystemExit as leaving:  # argparse --help
        return leaving.code if isinstance(leaving.code, int) else 1
    except KeyboardInterrupt:
        sys.stderr.write("strongroom: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a closed pager must not make a second error
        return 0
    except StrongroomError as error:
        return report(error, as_json=as_json)
    except (ConnectionError, TimeoutError, socket.gaierror) as problem:
        return report(NetworkTrouble(str(problem) or type(problem).__name__), as_json=as_json)
    except OSError as problem:
        trouble = PortTaken if problem.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL} else FileTrouble
        return report(trouble(describe(problem)), as_json=as_json)
    except Exception as problem:  # the last door: a user never sees a traceback unasked
        if os.environ.get("STRONGROOM_TRACEBACK") == "1":
            raise
        return report(Defect(f"{type(problem).__name__}: {problem}"), as_json=as_json)


@contextmanager
def terminations_unwind() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that half-written files are put away.

    A signal that is ignored (nohup) or handled already stays as it is; servers set handlers of their own.
    """
    wanted = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    ours = [number for number in wanted if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def leave(number: int, _frame: object) -> NoReturn:
    """Leave with the status by which shells name a signal."""
    raise SystemExit(128 + number)


def describe(problem: OSError) -> str:
    """Return an operating-system error as a sentence with its path."""
    reason = (problem.strerror or type(problem).__name__).lower()
    return f"{problem.filename}: {reason}" if problem.filename else reason


def report(error: StrongroomError, *, as_json: bool) -> int:
    """Print an error to standard error, below what was printed before it, and return its exit status."""
    if sys.stdout is not None:
        sys.stdout.flush()
    if as_json:
        sys.stderr.write(json.dumps({"error": error.to_json_object()}) + "\n")
    else:
        sys.stderr.write(f"strongroom: {error.family}: {error.sentence}\n  what to do: {error.fix}\n  [{error.code}]\n")
    return error.exit_status
