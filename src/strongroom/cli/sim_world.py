"""What the `sim` commands share: which world, which manifest, and not beside a real TEE."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.errors import BadInput
from strongroom.gramine import manifest
from strongroom.platforms import simulated


class ManifestNotText(BadInput):
    """A manifest file is too long or is not UTF-8 text."""

    code = "SR-MANIFEST-FILE"
    fix = "Name a manifest in TOML."


def world_argument(parser: argparse.ArgumentParser) -> None:
    """Add --world and --beside-real-tee."""
    parser.add_argument(
        "--world", metavar="DIR", type=Path, help="folder of the simulated platform (made on first use; default: "
        "$XDG_DATA_HOME/strongroom/simulated-platform or below ~/.local/share)"
    )  # fmt: skip
    parser.add_argument("--beside-real-tee", action="store_true", help="simulate although this machine has a real TEE")


def tee_argument(parser: argparse.ArgumentParser) -> None:
    """Add --tee."""
    parser.add_argument("--tee", choices=("sgx", "tdx"), default="sgx", help="what to simulate (default: sgx)")


def open_world(args: argparse.Namespace) -> simulated.World:
    """Return the world that the arguments name, made if absent; raise RealTeePresent beside a real TEE."""
    simulated.refuse_beside_real_tee(allowed=args.beside_real_tee)
    folder = args.world or simulated.default_folder(os.environ)
    if not folder.exists():
        sys.stderr.write(f"strongroom: notice: there is no simulated platform in {folder}: making a new one\n")
    return simulated.World.open_or_create(folder, now=datetime.now(UTC))


def read_manifest(path: Path) -> manifest.Manifest:
    """Return the manifest in `path`; raise ManifestNotText and what `manifest.parse` raises."""
    with path.open("rb") as file:
        content = file.read(manifest.MAX_MANIFEST_BYTES + 1)
    if len(content) > manifest.MAX_MANIFEST_BYTES:
        raise ManifestNotText(f"{path} has more than {manifest.MAX_MANIFEST_BYTES} bytes")
    try:
        return manifest.parse(content.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise ManifestNotText(f"{path} is not UTF-8 at byte {problem.start}") from None
