"""Seal and sign a model version for machines you do not trust.

Every file of DIR is sealed under a fresh key of its own version, with its path bound, and listed in a signed manifest.
The key goes into the workspace and nowhere else. OUT/NAME/VERSION is what you hand to the operator: useless without
a release by the broker. A version is published once; the next change is the next version.

DIR may be a sealed model, as a training job leaves it. It is opened with the primary key of your workspace (or of
--keys), in memory: nothing of it is written in clear to a disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from strongroom import bundles
from strongroom.broker.keyring.opening import keep, secret_names, take_waiting
from strongroom.bundles import BundleManifest
from strongroom.cli.data_common import key_of_dataset, keys_arguments, keys_of
from strongroom.cli.workspace_option import open_workspace
from strongroom.pki import SslConfig, disk, ssl_cfg
from strongroom.secret import Secret
from strongroom.workspace import Workspace
from strongroom.workspace.secret_store import model_key_name

PROGRESS_FROM_BYTES = 64 * 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        help="directory of one model version (model.onnx or saved_model.pb), or such a model sealed",
    )
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--version", required=True, type=int, metavar="N", help="the version, 1 or higher")
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path("models"), help="where to publish (default: models)"
    )
    parser.add_argument(
        "--ssl-config", metavar="FILE", type=Path, help="also seal this ssl.cfg under the version's key"
    )
    parser.add_argument("--ssl-out", metavar="FILE", type=Path, help="where to write it (default: OUT/ssl.cfg)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--min-generation", type=int, default=0, metavar="N",
                        help="refuse a copy of a sealed model that is older than that")  # fmt: skip
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Publish, keep the key, and print what to do next; on any failure nothing is published."""
    bundles.check_model(args.name, args.version)
    workspace = open_workspace(args)
    secret_name = model_key_name(args.name, args.version)
    refuse_second_time(workspace, secret_name)
    ssl_out = args.ssl_out or args.out / "ssl.cfg"
    config = read_ssl_config(args.ssl_config, ssl_out)
    key = Secret(os.urandom(16))
    with model_folder(args) as folder:
        manifest = publish(args, folder, workspace, key)
    with withdrawn_on_failure(args.out / args.name / str(args.version)):
        if config is not None:
            bundles.seal_ssl_config(config, ssl_out, name=args.name, version=args.version, key=key, entropy=os.urandom)
        with withdrawn_on_failure(ssl_out if config is not None else None):
            keep(workspace, secret_name, key)
    waiting = take_waiting(workspace)
    if waiting is not None:
        sys.stderr.write(f"note: the key waits in keys/ until the broker opens its store: {waiting.sentence}\n")
    sealed_config = None if config is None else ssl_out
    tell = as_json if args.json else as_text
    sys.stdout.write(tell(args, manifest, secret_name, sealed_config))
    return 0


def refuse_second_time(workspace: Workspace, secret_name: str) -> None:
    """Raise `AlreadyThere` if this version was published from this workspace."""
    if secret_name in secret_names(workspace):
        fix = "Publish under the next version: a published version never changes."
        raise disk.AlreadyThere(f"{secret_name} was published from this workspace", fix=fix)


def read_ssl_config(path: Path | None, target: Path) -> SslConfig | None:
    """Read and check the replica's ssl.cfg before anything is published."""
    if path is None:
        return None
    if target.exists():
        fix = "Name another place with --ssl-out; the one there is sealed under another version's key."
        raise disk.AlreadyThere(f"{target} is there already", fix=fix)
    return ssl_cfg.parse(disk.read_bounded(path, limit=ssl_cfg.MAX_SSL_CFG_BYTES))


@contextmanager
def model_folder(args: argparse.Namespace) -> Iterator[Path]:
    """Lend the folder with the model's files: the one that was named, or one in memory where that is sealed."""
    from strongroom.analytics.learning import models

    if not models.is_sealed(args.folder):
        yield args.folder
        return
    with (
        keys_of(args, key_of_dataset(args.folder)) as keys,
        models.opened_in_memory(args.folder, keys, min_generation=args.min_generation) as folder,
    ):
        yield folder


def publish(args: argparse.Namespace, folder: Path, workspace: Workspace, key: Secret) -> BundleManifest:
    """Seal and sign the model directory."""
    engine = bundles.detect(folder)
    signatures = bundles.signatures_of(folder, engine)
    with progress_bar(quiet=args.json) as progress:
        return bundles.publish(
            folder,
            args.out,
            name=args.name,
            version=args.version,
            key=key,
            signer=workspace.signer(),
            engine=engine,
            signatures=signatures,
            now=datetime.now(UTC),
            entropy=os.urandom,
            progress=progress,
        )


@contextmanager
def withdrawn_on_failure(place: Path | None) -> Iterator[None]:
    """Remove what was written to `place` if the rest fails: a bundle without its key is of no use."""
    try:
        yield
    except BaseException:
        if place is not None and place.is_dir():
            shutil.rmtree(place)
        elif place is not None:
            place.unlink(missing_ok=True)
        raise


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show progress on a terminal, for models that take a while."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("sealing"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task("sealing", total=None, visible=False)

        def advance(done: int, total: int) -> None:
            display.update(task, completed=done, total=total, visible=total >= PROGRESS_FROM_BYTES)

        yield advance


def as_json(args: argparse.Namespace, manifest: BundleManifest, secret_name: str, ssl_out: Path | None) -> str:
    """Return what was done, for a machine."""
    files = [
        {
            "path": entry.path,
            "size": entry.size,
            "stored_path": manifest.stored_path(entry.path),
            "pin": entry.pin.hex(),
        }
        for entry in manifest.files
    ]
    facts = {
        "name": manifest.name,
        "version": manifest.version,
        "publication": manifest.publication,
        "engine": manifest.engine,
        "signatures": sorted(manifest.signatures),
        "bundle": str(args.out / manifest.name / str(manifest.version)),
        "files": files,
        "ssl_config": None if ssl_out is None else str(ssl_out),
        "secret": secret_name,
        "workspace": str(args.workspace),
    }
    return json.dumps(facts) + "\n"


def as_text(args: argparse.Namespace, manifest: BundleManifest, secret_name: str, ssl_out: Path | None) -> str:
    """Return what was done, for a person."""
    megabytes = sum(entry.size for entry in manifest.files) / 1e6
    counted = f"{len(manifest.files)} files" if len(manifest.files) > 1 else "1 file"
    lines = [
        f"published {manifest.name} version {manifest.version}: {manifest.engine}, {counted}, {megabytes:.1f} MB",
        f"  bundle   {args.out / manifest.name / str(manifest.version)}",
    ]
    if ssl_out is not None:
        lines.append(f"  ssl.cfg  {ssl_out}, sealed under the same key")
    lines += [
        f"  key      {secret_name}, in {args.workspace} and nowhere else",
        "hand the bundle to the operator; say which code gets the key with strongroom policy trust",
    ]
    return "\n".join(lines) + "\n"
