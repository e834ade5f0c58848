"""The option that names the owner's workspace, the same for every verb that needs one."""

from __future__ import annotations

import argparse
from pathlib import Path

from strongroom.workspace import DEFAULT_FOLDER, Workspace


def workspace_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--workspace FOLDER`."""
    parser.add_argument("--workspace", metavar="FOLDER", type=Path, default=DEFAULT_FOLDER,
                        help=f"the owner's workspace (default: {DEFAULT_FOLDER})")  # fmt: skip


def open_workspace(args: argparse.Namespace) -> Workspace:
    """Open the workspace that the command line names."""
    return Workspace.open(args.workspace)


def positive(text: str) -> int:
    """Read a positive whole number from the command line."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number
