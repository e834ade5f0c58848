"""What the `key` verbs share: the keyring of a workspace, its ledger, and how a change of the root key is told."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from strongroom.cli.passphrase import new_passphrase, passphrase_argument, with_passphrase
from strongroom.cli.workspace_option import open_workspace
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.workspace import UnknownSecret

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk
    from strongroom.broker.keyring.keyring import Keyring
    from strongroom.broker.ledger.ledger import Ledger
    from strongroom.broker.store import Tx
    from strongroom.workspace import Workspace

MAX_FILE_BYTES: Final = 64 * 1024
MANY: Final = 200  # fewer keys are rewrapped before anybody could read a progress bar


@dataclass(frozen=True, slots=True)
class Opened:
    """A keyring of this machine, with the ledger that says what was done to it."""

    owner: Workspace
    keyring: Keyring
    ledger: Ledger

    def note(self, tx: Tx, action: str, **about: object) -> None:
        """Write the ledger's line about an action into its transaction."""
        from strongroom.broker.admin.identities import local_owner

        self.ledger.append(tx, {"kind": "key", "action": action, "actor": local_owner().to_json_object(), **about})


@contextmanager
def opened(args: argparse.Namespace, *, any_root: bool = False) -> Iterator[Opened]:
    """Open the workspace's keyring and ledger for a verb that works on the owner's machine alone."""
    from strongroom.broker.keyring.opening import open_keyring
    from strongroom.broker.ledger.ledger import Ledger
    from strongroom.broker.ledger.rollback import head_file_beside
    from strongroom.broker.ledger.transfer import take_in

    owner = open_workspace(args)
    keyring = with_passphrase(args, lambda given: open_keyring(owner, passphrase=given, any_root=any_root))
    try:
        signer, settings = keyring.signing_key(), owner.settings.broker
        take_in(keyring.store, signer, owner.ledger_path)
        head_file = None if settings.shared else head_file_beside(owner.folder / settings.store)
        yield Opened(owner, keyring, Ledger(keyring.store, signer, head_file=head_file))
    finally:
        keyring.close()
        keyring.store.close()


def change_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a change of the root key needs to know."""
    passphrase_argument(parser)
    parser.add_argument("--new-passphrase-file", metavar="FILE", type=Path,
                        help="the passphrase of the new root key (0600; without it the terminal is asked)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def change_root(args: argparse.Namespace, kind: str | None) -> dict[str, Any]:
    """Bring the store under a new root key of this kind (None: what strongroom.toml says) and return what became."""
    from strongroom.broker.keyring import changing

    with opened(args, any_root=True) as here, progress_bar() as progress:
        wanted = kind or here.owner.settings.broker.root
        passphrase = new_passphrase(args.new_passphrase_file, here.owner) if wanted == "passphrase" else None
        done = changing.change_root(
            here.owner, here.keyring, wanted, passphrase=passphrase, progress=progress,
            also=lambda tx: here.note(tx, "rewrap_root", kind_of_root=wanted),
        )  # fmt: skip
        as_set = here.owner.settings.broker.root == wanted
    return {
        "old": done.old, "new": done.new, "kind": wanted, "place": done.description, "keys": done.keys,
        "as_set": as_set,
    }  # fmt: skip


def told(result: Mapping[str, Any]) -> str:
    """Return what a change of the root key did, for a person."""
    lines = (
        f"{result['keys']} tenant keys are under the new root key {result['new']}\n"
        f"  it is in the {result['place']}\n"
        f"  the old one, {result['old']}, opens this store no more; recovery shares and backups of it are outdated\n"
        "  restart the brokers that are running\n"
    )
    return lines if result["as_set"] else f'{lines}  write root = "{result["kind"]}" into strongroom.toml\n'


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """Show progress on standard error where thousands of keys are rewrapped and somebody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as display:
        task = display.add_task("rewrapping", total=None, visible=False)
        yield lambda done, total: display.update(task, completed=done, total=total, visible=total >= MANY)


def read_secret_file(place: str) -> Secret:
    """Return the bytes of a file (0600), or of standard input for `-`. Raises LoosePermissions, FileTooLong."""
    if place != "-":
        return disk.read_secret(Path(place), limit=MAX_FILE_BYTES)
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise disk.FileTooLong(f"standard input is longer than {MAX_FILE_BYTES} bytes")
    return Secret(data)


def newest(desk: Desk, tenant: str, name: str) -> int:
    """Return the newest version of a secret, 0 where there is none."""
    return max((each["version"] for each in desk.list_keys(tenant=tenant) if each["name"] == name), default=0)


def ended(desk: Desk, args: argparse.Namespace, *, states: Collection[str]) -> list[int]:
    """Return the versions that a verb ends: the one named, or all in these states."""
    if args.version is not None:
        return [args.version]
    known = [each for each in desk.list_keys(tenant=args.tenant) if each["name"] == args.name]
    found = [each["version"] for each in known if each["state"] in states]
    if not found:
        raise UnknownSecret(f"there is no secret {args.name[:160]}")
    return found


def print_ended(args: argparse.Namespace, done: Sequence[Mapping[str, Any]], what: str) -> None:
    """Print which versions were ended."""
    if args.json:
        sys.stdout.write(json.dumps(done) + "\n")
        return
    versions = ", ".join(str(each["version"]) for each in done)
    sys.stdout.write(f"{args.name} is {what}: version {versions}\n")


def name_argument(parser: argparse.ArgumentParser) -> None:
    """Add the secret's name."""
    parser.add_argument("name", metavar="NAME", help="model/NAME/VERSION, secret/NAME, tls/NAME or password/NAME")
