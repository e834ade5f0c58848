"""Make the key that a queue's records are sealed to, and write its public half for clients, signed by the owner.

The private key goes into the workspace under secret/queue-JOB and leaves it by a release of the broker alone. OUT is
public: clients seal to it (seal_to, with owner_public.pem) and trust nothing else. Run again, it renews OUT. --rotate
makes a new key that counts from now on; records under the one before are opened until --end-overlap, or until the next
rotation. Workers take a new key when their lease is renewed, without a restart.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.key_common import Opened, opened
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import positive, workspace_argument
from strongroom.clusterserving.names import DEFAULT_JOB

if TYPE_CHECKING:
    from strongroom.broker.keyring.rows import SecretInfo
    from strongroom.broker.names import SecretName
    from strongroom.broker.store import Tx
    from strongroom.streaming.model.owner import OwnersSecret

DEFAULT_DAYS = 90


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--job", default=DEFAULT_JOB, help=f"the queue's job name (default: {DEFAULT_JOB})")
    parser.add_argument("--model", required=True, metavar="NAME", help="the model that records are bound to")
    parser.add_argument("--version", type=positive, metavar="N", help="its version (without it: any, clients name it)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the public key file, written over")
    parser.add_argument("--days", type=positive, default=DEFAULT_DAYS, metavar="N",
                        help=f"clients use the file for so long (default: {DEFAULT_DAYS})")  # fmt: skip
    parser.add_argument("--secret", metavar="NAME", help="another name than secret/queue-JOB")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--rotate", action="store_true", help="make a new key; the one before is opened still")
    change.add_argument("--end-overlap", action="store_true", help="open nothing under the key before any more")
    parser.add_argument("--tenant", metavar="NAME", default="default", help="the tenant (default: default)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)
    passphrase_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Make or change the key, then write the file."""
    from strongroom.broker.names import SecretName
    from strongroom.bundles import check_model
    from strongroom.clusterserving.names import Job
    from strongroom.clusterserving.public_key_file import PublicKeyFile
    from strongroom.pki import disk
    from strongroom.streaming.model.owner import Change
    from strongroom.streaming.model.trust import QUEUE_SECRET

    check_model(args.model, args.version or 1)
    job = Job(args.job)
    name = SecretName.parse(args.secret or QUEUE_SECRET.format(job=job.name))
    change = Change.KEEP
    if args.rotate or args.end_overlap:
        change = Change.ROTATE if args.rotate else Change.END_OVERLAP
    not_after = (datetime.now(UTC) + timedelta(days=args.days)).replace(microsecond=0)
    with opened(args) as here:
        keys = queue_secret(here, args.tenant, name).change_keys(change)
        file = PublicKeyFile(
            job=job.name, model=args.model, version=args.version, key=keys[0].public, not_after=not_after
        )
        disk.replace_public(args.out, file.signed(here.owner.signer()))
    kids = [key.public.kid for key in keys]
    result = {"job": job.name, "secret": str(name), "tenant": args.tenant, "kid": kids[0], "accepted": kids,
              "model": args.model, "version": args.version, "file": str(args.out),
              "not_after": not_after.isoformat()}  # fmt: skip
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _told(args, str(name), kids))
    return 0


def queue_secret(here: Opened, tenant: str, name: SecretName) -> OwnersSecret:
    """Return one secret of a queue in the opened keyring, with the ledger that hears of its changes."""
    from strongroom.streaming.model.owner import OwnersSecret

    def note(tx: Tx, action: str, info: SecretInfo) -> None:
        here.note(tx, action, tenant=tenant, secret=info.name, version=info.version)

    return OwnersSecret(keyring=here.keyring, tenant=tenant, name=name, note=note)


def _told(args: argparse.Namespace, name: str, kids: list[str]) -> str:
    version = args.version or "VERSION"
    before = f" (and {', '.join(kids[1:])} until --end-overlap)" if kids[1:] else ""
    return (
        f"{args.out}: queue key {kids[0]} of job {args.job}{before}, for {args.days} days\n"
        "  give it to clients with owner_public.pem, each by a way that they trust\n"
        f"  release it to workers: strongroom policy trust BUILD --release model/{args.model}/{version} "
        f"--release {name}\n"
    )
