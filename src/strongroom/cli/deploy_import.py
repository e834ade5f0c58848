"""Read deploy.yaml, ingress.yaml, ra_config.json, ssl_configure, wrap_key and say what becomes of each.

Prints a [deploy] table for strongroom.toml, the commands that take the rest over, and everything that was weak, each
with what stands for it here. Nothing is changed and nothing insecure is adopted. A folder is read with all files in it
that the reference guides know.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strongroom.deploy.importing import Imported

KNOWN = ("*.yaml", "*.yml", "*ra_config.json", "dynamic_config.json", "*qcnl.conf", "wrap_key", "wrap-key")
MAX_FILES = 100
LIMIT = 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="files and folders of the reference guides")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Read everything, then print it."""
    from strongroom.deploy.importing import settings_text

    found = [each for path in args.paths for each in imported(path)]
    parts = [each.settings for each in found if each.settings]
    table = settings_text(parts) if parts else ""
    if args.json:
        sys.stdout.write(json.dumps({"settings": table, "files": [each.to_json_object() for each in found]}) + "\n")
        return 0
    for each in found:
        sys.stderr.write(as_text(each))
    if table:
        sys.stderr.write("\nFor strongroom.toml:\n")
    sys.stdout.write(table)
    return 0


def imported(path: Path) -> Iterator[Imported]:
    """Return what a file, or each known file of a folder, brings."""
    from strongroom.deploy.importing import NothingToImport, read
    from strongroom.pki import disk

    if not path.is_dir():
        yield read(str(path), disk.read_bounded(path, limit=LIMIT))
        return
    if (path / "ssl.cfg").is_file():
        yield tls_files(path)
        return
    folders = (each.parent for each in path.rglob("ssl.cfg"))
    files = sorted({each for pattern in KNOWN for each in path.rglob(pattern) if each.is_file()})[:MAX_FILES]
    before = 0
    for folder in folders:
        before += 1
        yield tls_files(folder)
    for file in files:
        try:
            yield read(str(file), disk.read_bounded(file, limit=LIMIT))
        except NothingToImport:
            continue
        before += 1
    if not before:
        raise NothingToImport(f"{path} holds no file of the reference guides")


def tls_files(folder: Path) -> Imported:
    """Return what an ssl_configure folder brings."""
    from strongroom.deploy.importing import Imported, Kind, Note
    from strongroom.pki import ssl_configure

    findings = ssl_configure.inspect(folder, now=datetime.now(UTC))
    notes = tuple(Note(f"{folder}/{each.where}", each.seen, each.fix) for each in findings)
    command = f"strongroom certs import {shlex.quote(str(folder))} --into tls"
    return Imported(path=str(folder), kind=Kind.SSL_CONFIGURE, command=command, notes=notes)


def as_text(each: Imported) -> str:
    """Return one file's part of the report."""
    lines = [f"{each.path}: {each.kind}"]
    if each.command:
        lines.append(f"    take it over with: {each.command}")
    for note in each.notes:
        lines += [f"  - {note.where}: {note.seen}", f"    {note.instead}"]
    return "".join(f"{_printable(line)}\n" for line in lines)


def _printable(line: str) -> str:
    """Return a line that moves no cursor: names and images in it are whatever somebody's file says."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)
