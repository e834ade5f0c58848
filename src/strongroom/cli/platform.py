"""Say what this machine can vouch with, what is missing, and what to do about it.

It looks at processor, kernel, device files, aesmd, Gramine, TDX guest interfaces, the quote provider's configuration
and, unless --offline is said, whether the PCCS named there answers. The exit status is 0 whatever it finds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from strongroom.platforms.machine_facts import MachineFacts, QcnlFacts
    from strongroom.platforms.machine_findings import Examination

ANSWER_S: Final = 4.0  # a PCCS on this machine or next door answers at once
PIPE_COLUMNS: Final = 140
MARKS: Final = {"good": ("✓", "green"), "missing": ("✗", "red"), "absent": ("-", "dim")}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print facts, findings and next step as one JSON object")
    parser.add_argument("--offline", action="store_true", help="do not ask the PCCS whether it answers")
    parser.add_argument("--root", metavar="DIR", type=Path, default=Path("/"), help="look at the machine below DIR")


def run(args: argparse.Namespace) -> int:
    """Look, judge and print."""
    from strongroom.platforms.machine_findings import examine

    facts = gathered(args.root, offline=args.offline)
    found = examine(facts)
    if args.json:
        sys.stdout.write(json.dumps({"facts": facts.to_json_object(), **found.to_json_object()}) + "\n")
    else:
        show(found)
    return 0


def gathered(root: Path, *, offline: bool) -> MachineFacts:
    """Return the facts of the machine below `root`, with what its quote provider's configuration says."""
    from strongroom.platforms import simulated
    from strongroom.platforms.machine_gathering import gather
    from strongroom.platforms.simulated import world_folder

    world = simulated.default_folder(os.environ)
    facts = gather(root, user=_user(), simulated_world=world if world_folder.exists(world) else None)
    return replace(facts, qcnl=qcnl_facts(root, offline=offline))


def qcnl_facts(root: Path, *, offline: bool) -> QcnlFacts | None:
    """Return what the qcnl.conf below `root` says and whether its PCCS answers; None without such a file."""
    from strongroom.collateral.opening import read_qcnl
    from strongroom.collateral.qcnl import DEFAULT_PATH
    from strongroom.errors import StrongroomError
    from strongroom.platforms.machine_facts import QcnlFacts

    path = root / DEFAULT_PATH.lstrip("/")
    if not path.exists():
        return None
    try:
        conf = read_qcnl(path)
    except (StrongroomError, OSError) as problem:
        words = problem.sentence if isinstance(problem, StrongroomError) else f"{path}: {problem.strerror}"
        return QcnlFacts(path=str(path), pccs_url=None, problem=words)
    facts = QcnlFacts(path=str(path), pccs_url=conf.pccs_url, problem=None)
    if offline:
        return facts
    failure = pccs_failure(conf.pccs_url, verify_tls=conf.use_secure_cert)
    return replace(facts, answers=failure is None, failure=failure)


def pccs_failure(pccs_url: str, *, verify_tls: bool) -> str | None:
    """Ask a PCCS for the root CRL; return why it cannot serve, or None if it answers."""
    from strongroom.collateral import profiles
    from strongroom.collateral.api import Kind, Request
    from strongroom.collateral.client import HttpSource, Limits
    from strongroom.errors import StrongroomError

    try:
        profile = replace(profiles.pccs(pccs_url), attempts=1)
        if not verify_tls and profiles.is_loopback(pccs_url):
            profile = replace(profile, verify_tls=False)
        HttpSource(profile, limits=Limits(step_s=ANSWER_S, answer_s=ANSWER_S)).answer(Request(kind=Kind.ROOT_CRL))
    except StrongroomError as problem:
        return problem.sentence
    return None


def show(found: Examination) -> None:
    """Print the findings as one screen: a mark, the topic, what was seen, and below it what to do."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found.findings:
        mark, style = MARKS[finding.standing]
        table.add_row(Text(mark, style), finding.topic, Text(finding.sentence))
        if finding.fix is not None:
            table.add_row("", "", Text(f"→ {finding.fix}", "yellow"))
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    with console.capture() as filled:
        console.print(table)
    sys.stdout.write("\n".join(line.rstrip() for line in filled.get().splitlines()) + "\n")
    console.print()
    console.print(Text(f"Can be used now: {', '.join(found.usable) or 'none'}"))
    console.print(Text(f"Next: {found.next_step}"))


def _user() -> str:
    """Return the name of whoever runs this, or the number where it has no name."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
