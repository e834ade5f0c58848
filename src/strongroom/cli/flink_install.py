"""Install Apache Flink and what Strongroom's jobs import inside it, into an environment of its own (about 1 GB).

Needs Python 3.11 and takes everything from the package index, each file checked against the hashes that Strongroom
carries. The environment uses the Strongroom that installed it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--into", metavar="DIR", type=Path, help="default: strongroom/flink in ~/.local/share")
    parser.add_argument("--python", metavar="PATH", help="a Python 3.11 (default: this one, or the first on the PATH)")


def run(args: argparse.Namespace) -> int:
    """Install, say where."""
    from strongroom.streaming.flink.home import VARIABLE, default_environment
    from strongroom.streaming.flink.installing import install

    target = (args.into or default_environment()).absolute()
    install(target, python=args.python, said=lambda text: sys.stderr.write(text + "\n"))
    sys.stdout.write(f"{target}\n")
    if args.into is not None:
        sys.stderr.write(f"name it with --flink {target}, or export {VARIABLE}={target}\n")
    return 0
