"""Where a passphrase comes from: a file that only its owner reads, or the terminal. Never an argument or a variable."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from strongroom.pki import disk
from strongroom.secret import Secret

if TYPE_CHECKING:
    from strongroom.workspace import Workspace

MAX_BYTES: Final = 4096
QUESTION: Final = "passphrase of the root key: "
T = TypeVar("T")


def passphrase_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--passphrase-file FILE`."""
    parser.add_argument(
        "--passphrase-file", metavar="FILE", type=Path,
        help="the root key's passphrase, if it has one (0600; without it the terminal is asked)",
    )  # fmt: skip


def with_passphrase(args: argparse.Namespace, opening: Callable[[Secret | None], T]) -> T:
    """Run `opening` with the passphrase of the file; without one, ask the terminal if it turns out to be needed.

    Raises PassphraseNeeded where nobody can be asked, LoosePermissions, WeakPassphrase.
    """
    from strongroom.broker.keyring.passphrase_root import PassphraseNeeded

    given: Path | None = getattr(args, "passphrase_file", None)
    if given is not None:
        return opening(passphrase_in(given))
    try:
        return opening(None)
    except PassphraseNeeded as needed:
        if not sys.stdin.isatty():
            raise
        return opening(ask_new() if needed.new else ask(QUESTION))


def read_passphrase(given: Path | None) -> Secret:
    """Return the passphrase of the file, or what is typed. Raises PassphraseNeeded where nobody can be asked."""
    from strongroom.broker.keyring.passphrase_root import PassphraseNeeded

    if given is not None:
        return passphrase_in(given)
    if not sys.stdin.isatty():
        raise PassphraseNeeded("the root key is under a passphrase")
    return ask(QUESTION)


def new_passphrase(given: Path | None, owner: Workspace) -> Secret:
    """Return the passphrase for a new root key. Raises NewPassphraseNeeded, PassphraseBeside, WeakPassphrase."""
    from strongroom.broker.keyring.passphrase_root import NewPassphraseNeeded

    if given is not None:
        refuse_beside(given, owner)
        return passphrase_in(given)
    if not sys.stdin.isatty():
        raise NewPassphraseNeeded(
            "the new root key is to be under a passphrase", fix="Give --new-passphrase-file FILE (0600), or a terminal."
        )
    return ask_new()


def refuse_beside(path: Path, owner: Workspace) -> None:
    """Raise `PassphraseBeside` for a file inside the workspace: it would be copied with what it opens (KD-03)."""
    from strongroom.broker.keyring.passphrase_root import PassphraseBeside

    if path.resolve().is_relative_to(owner.folder.resolve()):
        raise PassphraseBeside(f"{path} is inside the workspace {owner.folder}")


def passphrase_in(path: Path) -> Secret:
    """Return the one line of a file. Raises LoosePermissions, WeakPassphrase."""
    from strongroom.broker.keyring.passphrase_root import passphrase_of

    return passphrase_of(disk.read_secret(path, limit=MAX_BYTES))


def ask(question: str) -> Secret:
    """Ask the terminal, without showing what is typed."""
    return Secret(getpass.getpass(question).encode())


def ask_new() -> Secret:
    """Ask for a new passphrase twice. Raises PassphrasesDiffer, WeakPassphrase."""
    from strongroom.broker.keyring.passphrase_root import PassphrasesDiffer, check_new

    first = ask("new passphrase of the root key: ")
    check_new(first)
    if first != ask("the same once more: "):
        raise PassphrasesDiffer("the two passphrases differ")
    return first
