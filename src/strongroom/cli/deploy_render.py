"""Render a whole deployment from the [deploy] table of strongroom.toml: manifests, chart, container files, fronts.

Nothing in the workspace or the cluster changes. The same strongroom.toml gives the same bytes. Everything is looked
through for keys, and objects are linted, before anything is written. A folder that was rendered before is brought up to
date: files that are no longer part of the deployment go, files that somebody else put there stay.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from strongroom.cli.workspace_option import open_workspace, workspace_argument
from strongroom.workspace import DEFAULT_FOLDER

OUT = Path("deploy")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--out", metavar="DIR", type=Path, default=OUT, help=f"where to write (default: {OUT})")
    parser.add_argument("--kubernetes", metavar="1.N", type=_version,
                        help="the cluster's version (default: strongroom.toml's)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Render, write, and print what to do next."""
    from strongroom.deploy.cluster.applying import refuse_findings
    from strongroom.deploy.kubernetes import objects
    from strongroom.deploy.lint import lint
    from strongroom.deploy.opening import open_deployment
    from strongroom.deploy.readme import next_commands
    from strongroom.deploy.rendering import render
    from strongroom.deploy.writing import write

    found = open_deployment(open_workspace(args), kubernetes=args.kubernetes)
    tree = render(found.description, found.profile, found.public_files)
    built = objects(found.description, found.profile, found.public_files)
    refuse_findings(built, production=False)
    for each in sorted({f"{finding.rule.title} ({finding.rule.id})" for finding in lint(built)}):
        sys.stderr.write(f"strongroom: notice: {each}; strongroom deploy lint has every place and fix\n")
    removed = write(tree, args.out)
    told = [] if args.workspace == DEFAULT_FOLDER else ["--workspace", shlex.quote(str(args.workspace))]
    commands = [" ".join([each, *told]) for each in next_commands(found.description)]
    if args.json:
        answer = {"out": str(args.out), "written": list(tree), "removed": list(removed), "next": commands}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        return 0
    sys.stdout.write(f"{len(tree)} files in {args.out}:\n")
    for folder, count in _counted(tree):
        sys.stdout.write(f"  {folder}{f'  {count} files' if count > 1 else ''}\n")
    for path in removed:
        sys.stdout.write(f"removed {path}\n")
    sys.stdout.write(f"\nWhat each file is: {args.out / 'README.md'}\nNext:\n")
    sys.stdout.write("".join(f"  {each}\n" for each in commands))
    return 0


def _counted(paths: Iterable[str]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for path in paths:
        name = f"{path.split('/')[0]}/" if "/" in path else path
        counts[name] = counts.get(name, 0) + 1
    return list(counts.items())


def _version(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"1\.([0-9]{1,2})", text)
    if found is None or int(found[1]) < 20:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is no version from 1.20 on")
    return 1, int(found[1])
