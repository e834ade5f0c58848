"""Seal the key stores' password for a cluster: password.yaml, the Secret ssl-password.

The Secret holds a sealed file and nothing that opens it: the broker releases the key ("secret/ssl-keys") to programs
that have proved themselves. generate-password.sh put the RSA key beside what it decrypts, which hides nothing.

  strongroom keys password                         # the password that keys generate used
  strongroom keys password --password-file pw.txt  # a password of one's own: give it to keys generate too

--legacy FOLDER writes key.txt and output.bin instead, as the script did, and no Secret.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.key_common import opened
from strongroom.cli.keys_common import keys_arguments, sealing_key, store_password, warn_legacy
from strongroom.pki import disk
from strongroom.pki.keystores import legacy
from strongroom.pki.keystores.sealing_keys import PASSWORD_FILE, PASSWORD_NAME, password_document, password_path, seal

YAML = "password.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("password"),
                        help="where (default: password)")  # fmt: skip
    parser.add_argument("--secret", metavar="NAME", default=PASSWORD_NAME,
                        help=f"the Secret's name (default: {PASSWORD_NAME})")  # fmt: skip
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the sealed password and its Secret, or the old content."""
    with opened(args) as here:
        password = store_password(here, args.password_file)
        if args.legacy is not None:
            legacy.write_password(args.legacy, password)
            warn_legacy(args.legacy, "a password beside the key that opens it")
            _tell(args, args.legacy, [legacy.KEY_FILE, legacy.OUTPUT_FILE])
            return 0
        sealed = seal(password, sealing_key(here), password_path())
        with disk.new_folder(args.out) as new:
            disk.write_public(new / PASSWORD_FILE, sealed)
            disk.write_public(new / YAML, password_document(sealed, name=args.secret))
    _tell(args, args.out, [PASSWORD_FILE, YAML])
    return 0


def _tell(args: argparse.Namespace, folder: Path, files: list[str]) -> None:
    if args.json:
        sys.stdout.write(json.dumps({"folder": str(folder), "files": files}) + "\n")
        return
    sys.stdout.write(f"made: {folder} ({', '.join(files)})\n")
    if YAML in files:
        sys.stdout.write(f"  into a cluster: kubectl apply -f {folder}/{YAML} (it is sealed)\n")
