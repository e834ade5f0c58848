"""Open a part's keys where that part runs, then run its command: what the pods of the queue's chart start with.

The folder is the mounted Secret of the part (ssl-keys-worker and so on). The key that opens its sealed files comes from
the broker, once this process has proved what it is: under strongroom sim run, in a trust domain, in Gramine. What is
opened lies in --to, which has to be memory, and is opened anew when the Secret changes. After -- comes a command of
strongroom's, which runs in this same process.

  strongroom keys open --part worker --from /ssl-keys --to /run/keys --broker https://broker:8080
      --ca /app/ca_cert.pem -- queue serve -c /app/config.yaml

In Gramine --gramine-key NAME hands the key to Gramine's own mount of sealed files; from that mount (--from) files are
then copied to --to, with the CA certificate of --ca. STRONGROOM_GRAMINE_KEY in the manifest says NAME too. --clear is
for clusters without any TEE: it takes private files in clear, which whoever runs the cluster can read.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Final

from strongroom.cli.frame import Misuse
from strongroom.pki import disk, keys
from strongroom.pki.keystores import opening
from strongroom.pki.keystores.sealing_keys import SEALING_SECRET
from strongroom.secret import Secret

LOOK_EVERY_S: Final = 5.0
WAIT_S: Final = 300.0
VARIABLE: Final = "STRONGROOM_GRAMINE_KEY"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--part", metavar="NAME", required=True, help="whose Secret it is: worker, redis, frontend, …")
    parser.add_argument("--from", dest="source", metavar="DIR", type=Path, help="where the Secret is mounted")
    parser.add_argument("--to", metavar="DIR", type=Path, help="where to put what was opened: memory")
    parser.add_argument("--store-password", metavar="FILE", type=Path,
                        help="open the key stores' password (Secret ssl-password) beside them too")  # fmt: skip
    parser.add_argument("--broker", metavar="URL", help="https://HOST:PORT of the broker")
    parser.add_argument("--ca", metavar="FILE", type=Path, help="CA certificate (PEM) that the broker's comes from")
    parser.add_argument("--secret", metavar="NAME", default=SEALING_SECRET,
                        help=f"the secret that opens them (default: {SEALING_SECRET})")  # fmt: skip
    parser.add_argument("--gramine-key", metavar="NAME", help="hand the key to Gramine under this name")
    parser.add_argument("--clear", action="store_true", help="take private files in clear: protects nothing")
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="after --: what to run then")


def run(args: argparse.Namespace) -> int:
    """Open, follow, run the command; without one, only open."""
    from strongroom.cli import main

    _check(args)
    key = None if args.clear else _key(args)
    if args.clear:
        sys.stderr.write("strongroom: WARNING: keys in clear (--clear): whoever runs this cluster can read them\n")
    if args.gramine_key is not None and key is not None:
        from strongroom.platforms import GramineKeys

        GramineKeys().write(args.gramine_key, key)
    if args.source is None:
        return main(args.words) if args.words else 0
    seen = _state(args)
    _open(args, key)
    if not args.words:
        return 0
    ended = threading.Event()
    threading.Thread(target=_follow, args=(args, key, seen, ended), daemon=True).start()
    try:
        return main(args.words)
    finally:
        ended.set()


def _check(args: argparse.Namespace) -> None:
    if args.gramine_key is None and not args.clear:
        args.gramine_key = os.environ.get(VARIABLE)  # of the manifest, and measured
    if args.clear == (args.broker is not None):
        raise Misuse("keys are sealed, or in clear", fix="Give --broker URL with --ca FILE, or --clear.")
    if args.broker is not None and args.ca is None:
        raise Misuse("--broker needs --ca", fix="Give --ca FILE, the CA certificate of the broker.")
    if (args.source is None) != (args.to is None) or (args.source is None and args.gramine_key is None):
        raise Misuse("--from and --to are missing", fix="Say where the Secret is mounted and where to open it.")


def _state(args: argparse.Namespace) -> object:
    return opening.state(args.source, sealed_only=args.gramine_key is not None)


def _open(args: argparse.Namespace, key: Secret | None) -> None:
    if args.gramine_key is None:
        opening.open_part(args.source, args.to, args.part, key, store_password=args.store_password)
    else:
        opening.open_mounted(args.source, args.to, disk.read_bounded(args.ca, limit=keys.MAX_PEM_BYTES))


def _key(args: argparse.Namespace) -> Secret:
    """Return the key that the broker releases to this process. Raises what asking a broker raises."""
    from strongroom import platforms
    from strongroom.broker.kbs_client import obtain
    from strongroom.broker.names import SecretName

    obtained = obtain(
        args.broker, SecretName.parse(args.secret), ca_pem=disk.read_bounded(args.ca, limit=keys.MAX_PEM_BYTES),
        platform=platforms.detect(os.environ), timeout_s=WAIT_S,
    )  # fmt: skip
    return obtained.secret


def _follow(args: argparse.Namespace, key: Secret | None, seen: object, ended: threading.Event) -> None:
    """Open the files again whenever the Secret changes; what does not open leaves the files as they were."""
    from strongroom.errors import StrongroomError

    while not ended.wait(LOOK_EVERY_S):
        try:
            now = _state(args)
            if now != seen:
                _open(args, key)
                seen = now
                sys.stderr.write(f"strongroom: the keys of {args.part} were renewed\n")
        except (StrongroomError, OSError) as problem:
            sys.stderr.write(f"strongroom: renewed keys do not open, the old ones stay: {problem}\n")
