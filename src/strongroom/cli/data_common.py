"""What the `data` verbs share: where the owner's keys come from, how progress is shown, how a data set is told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from strongroom.cli.key_common import Opened, opened
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import workspace_argument

if TYPE_CHECKING:
    from strongroom.analytics.keys.owner import OwnersKeys
    from strongroom.analytics.keys.service import KeyService
    from strongroom.broker.keyring.rows import SecretInfo
    from strongroom.broker.store import Tx
    from strongroom.datasets.manifest import Manifest

PROGRESS_FROM_BYTES: Final = 64 * 1024 * 1024
MAX_GENERATION: Final = 2**63 - 1  # that a manifest may have


def keys_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where primary keys come from."""
    parser.add_argument("--keys", metavar="REFERENCE",
                        help="file:FOLDER of test keys or agent:SOCKET (default: the workspace)")  # fmt: skip
    parser.add_argument("--tenant", metavar="NAME", default="default", help="the tenant (default: default)")
    workspace_argument(parser)
    passphrase_argument(parser)


@contextmanager
def keys_of(args: argparse.Namespace, *names: str) -> Iterator[KeyService]:
    """Open these primary keys of the workspace, or what `--keys` refers to."""
    from strongroom.analytics.keys.opening import open_keys
    from strongroom.analytics.keys.rings import RingKeys

    if args.keys is not None:
        with closing(open_keys(args.keys)) as keys:
            yield keys
        return
    with opened(args) as here:
        owners = owners_keys(here, args.tenant)
        rings = [owners.ring(name) for name in sorted(set(names))]
    with closing(RingKeys(rings)) as keys:  # the keyring is closed by now: sealing takes a while
        yield keys


def owners_keys(here: Opened, tenant: str) -> OwnersKeys:
    """Return the primary keys of an opened workspace, with the ledger that hears of their changes."""
    from strongroom.analytics.keys.owner import OwnersKeys

    def note(tx: Tx, action: str, info: SecretInfo) -> None:
        here.note(tx, action, tenant=tenant, secret=info.name, version=info.version)

    return OwnersKeys(keyring=here.keyring, tenant=tenant, note=note)


def key_of_dataset(folder: Path) -> str:
    """Return the name of the primary key that a data set says it is under."""
    from strongroom.analytics.sealing.read import read_manifest

    return read_manifest(folder).key_id.name


@contextmanager
def progress_bar(word: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show bytes done on a terminal, for data that takes a while."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(word), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(word, total=None, visible=False)
        yield lambda done, total: display.update(
            task, completed=done, total=total, visible=total >= PROGRESS_FROM_BYTES
        )


def facts(manifest: Manifest, place: Path) -> dict[str, Any]:
    """Return what a manifest says, for a machine."""
    from strongroom.datasets.manifest import total_bytes

    return {
        "folder": str(place), "name": manifest.name, "kind": str(manifest.kind), "generation": manifest.generation,
        "key_id": str(manifest.key_id), "pins": str(manifest.pins), "created": manifest.created.isoformat(),
        "mac": manifest.mac.hex(), "previous": manifest.previous.hex() or None, "bytes": total_bytes(manifest.files),
        "files": [{"path": each.path, "size": each.size, "pin": each.pin.hex()} for each in manifest.files],
    }  # fmt: skip


def headline(manifest: Manifest) -> str:
    """Return what a data set is, on one line."""
    from strongroom.datasets.manifest import total_bytes

    files = "1 file" if len(manifest.files) == 1 else f"{len(manifest.files)} files"
    return (
        f"{manifest.name}: {manifest.kind}, generation {manifest.generation}, {files}, "
        f"{readable(total_bytes(manifest.files))}, "
        f"under primary key {manifest.key_id}"
    )


def readable(count: int) -> str:
    """Return a number of bytes with a unit that a person reads at once."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
