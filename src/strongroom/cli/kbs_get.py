"""Take one secret from a key broker (KBS), proving what runs here, and write it into a new file (0600).

Runs where something vouches for it: under strongroom sim run, in a TDX guest, under Gramine. RESOURCE is
kbs:///TENANT/TYPE/TAG, such as kbs:///default/model/resnet50.1 or kbs:///default/secret/database. The evidence is bound
to this broker, its deployment and this one resource; --stock drops that for a KBS of Trustee's, and only that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("resource", metavar="RESOURCE", help="kbs:///TENANT/TYPE/TAG")
    parser.add_argument("--broker", required=True, metavar="URL", help="https://HOST:PORT of the broker")
    parser.add_argument("--ca", type=Path, required=True, help="CA certificate (PEM) that the broker's comes from")
    parser.add_argument("--out", type=Path, required=True, help="new file for the secret, readable by its owner alone")
    parser.add_argument("--deployment", help="take nothing from a broker of another deployment")
    parser.add_argument("--lease", help="renew the lease of this id instead of beginning one")
    parser.add_argument("--stock", action="store_true", help="do not require the broker to bind more than KBS does")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for all of it (default: 30)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Ask, write, say how long the secret may be used."""
    from strongroom import platforms
    from strongroom.broker.kbs_client import obtain
    from strongroom.broker.names import parse_kbs
    from strongroom.pki import disk
    from strongroom.pki.keys import MAX_PEM_BYTES

    tenant, wanted = parse_kbs(args.resource)
    obtained = obtain(
        args.broker, wanted, ca_pem=disk.read_bounded(args.ca, limit=MAX_PEM_BYTES), tenant=tenant,
        platform=platforms.detect(os.environ), deployment=args.deployment, lease_id=args.lease,
        timeout_s=args.timeout, binding_required=not args.stock,
    )  # fmt: skip
    try:
        disk.write_secret(args.out, obtained.secret)
        found = {"resource": args.resource, "file": str(args.out), "bytes": len(obtained.secret),
                 "lease": obtained.lease_id, "lease_seconds": obtained.lease_seconds}  # fmt: skip
    finally:
        obtained.secret.wipe()
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    lease = "" if obtained.lease_id is None else f", leased for {obtained.lease_seconds} s as {obtained.lease_id}"
    sys.stdout.write(f"{args.out}: {found['bytes']} bytes of {wanted}{lease}\n")
    return 0
