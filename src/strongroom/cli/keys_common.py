"""What the `keys` verbs share: the stores' password and the key that seals what enters a cluster, in the keyring."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.cli.key_common import read_secret_file
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import workspace_argument
from strongroom.pki.keystores.passwords import check_password, new_password, password_of
from strongroom.pki.keystores.sealing_keys import PASSWORD_SECRET, SEALING_SECRET
from strongroom.sealing.keys import WRAP_KEY_BYTES
from strongroom.secret import Secret
from strongroom.workspace import UnknownSecret

if TYPE_CHECKING:
    from strongroom.cli.key_common import Opened

TENANT: Final = "default"


def keys_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what both verbs have in common."""
    parser.add_argument("--password-file", metavar="FILE",
                        help="the stores' password: a file that only you can read (0600), or - for standard input "
                        "(default: the one in the keyring, made at random the first time)")  # fmt: skip
    parser.add_argument("--legacy", metavar="FOLDER", type=Path,
                        help="write what the original wrote, in clear, into this new folder")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)
    passphrase_argument(parser)


def store_password(here: Opened, source: str | None) -> Secret:
    """Return the stores' password: the one that is given, which is then kept, or the kept one, or a new one.

    Raises WeakStorePassword, LoosePermissions.
    """
    if source is None:
        try:
            found = here.keyring.get(TENANT, PASSWORD_SECRET)
        except UnknownSecret:
            return _kept(here, PASSWORD_SECRET, new_password())
        check_password(found)
        return found
    given = password_of(read_secret_file(source))
    try:
        if here.keyring.get(TENANT, PASSWORD_SECRET) == given:
            return given
    except UnknownSecret:
        pass
    return _kept(here, PASSWORD_SECRET, given)


def sealing_key(here: Opened) -> Secret:
    """Return the key of sealed files in the two Kubernetes Secrets; made the first time. Raises what keyrings raise."""
    try:
        return here.keyring.get(TENANT, SEALING_SECRET)
    except UnknownSecret:
        return _kept(here, SEALING_SECRET, Secret(os.urandom(WRAP_KEY_BYTES)))


def _kept(here: Opened, name: str, secret: Secret) -> Secret:
    from strongroom.broker.admin.identities import local_owner

    here.keyring.put(
        TENANT, name, secret, local_owner().name,
        also=lambda tx, info: here.note(tx, "put_key", tenant=TENANT, secret=name, version=info.version),
    )  # fmt: skip
    return secret


def warn_legacy(folder: Path, what: str) -> None:
    """Say loudly what the old content is worth."""
    sys.stderr.write(
        f"strongroom: WARNING: {folder} holds {what}: whoever reads these files has everything.\n"
        "strongroom: WARNING: keep them on this machine, never make a Secret of them, and remove them when the "
        "original's programs are gone.\n"
    )
