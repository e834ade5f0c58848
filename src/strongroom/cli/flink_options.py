"""The options that name a Flink cluster and Flink's environment, the same for every verb of theirs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from strongroom.cli.frame import Misuse
from strongroom.streaming.flink.cluster import Cluster
from strongroom.streaming.flink.home import FlinkHome
from strongroom.streaming.flink.rest import Place


def default_folder() -> Path:
    """Return where `flink up` keeps its cluster unless told otherwise."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "strongroom" / "flink"


def folder_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--dir DIR`."""
    parser.add_argument("--dir", metavar="DIR", type=Path, help=f"the cluster's folder (default: {_shown()})")


def _shown() -> str:
    return "strongroom/flink in XDG_STATE_HOME, ~/.local/state"


def environment_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--flink DIR`."""
    parser.add_argument("--flink", metavar="DIR", type=Path,
                        help="Flink's environment (default: STRONGROOM_FLINK, or flink install's)")  # fmt: skip


def place_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--dir`, and `-m` with `--tls-dir` for a cluster elsewhere."""
    folder_argument(parser)
    parser.add_argument("-m", "--jobmanager", metavar="HOST:PORT", help="another cluster's REST port")
    parser.add_argument("--tls-dir", metavar="DIR", type=Path,
                        help="with ca.pem, cert.pem and key.pem for -m (default: the tls folder of --dir)")  # fmt: skip


def folder_of(args: argparse.Namespace) -> Path:
    """Return the folder that the command line names."""
    return args.dir.absolute() if args.dir is not None else default_folder()


def place_of(args: argparse.Namespace) -> Place:
    """Return the cluster that the command line names. Raises NoCluster, BadFlinkAddress, Misuse."""
    if args.jobmanager is not None:
        return Place.of(args.jobmanager, args.tls_dir or folder_of(args) / "tls")
    if args.tls_dir is not None:
        raise Misuse("--tls-dir belongs to -m HOST:PORT", fix="Name the cluster with -m, or leave --tls-dir out.")
    return Cluster.of(folder_of(args)).place


def home_of(args: argparse.Namespace) -> FlinkHome:
    """Return Flink's environment. Raises FlinkMissing, JavaMissing."""
    return FlinkHome.find(args.flink)


def at_least_one(text: str) -> int:
    """Return a whole number from 1 to 1024."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= 1024:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a number from 1 to 1024")
    return int(text)
