"""Make the folder keys/ of a queue: one certificate for each part, the stores that Java reads, and the Secret ssl-keys.

It holds what generate-keys.sh left (keystore.jks, keystore.pkcs12, server.crt, server.csr, server.key, server.pem) and
besides ca.crt, trust.jks, trust.p12, a folder for each part (redis, frontend, worker, ...) and keys.yaml: one Secret
for each part with certificates as they are and everything else sealed. Private files are for you alone (0600). The
key that opens what is sealed stays in the workspace; a rule of the policy releases it ("secret/ssl-keys").

  strongroom keys generate --name serving.example.com
  strongroom keys generate --renew            # new leafs and stores under the same CA, in one step

--legacy FOLDER besides writes server.key and server.pem in clear, as the script did.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from strongroom.cli.key_common import opened
from strongroom.cli.keys_common import keys_arguments, sealing_key, store_password, warn_legacy
from strongroom.cli.workspace_option import positive
from strongroom.pki import disk, keys
from strongroom.pki.keystores import generate, legacy
from strongroom.pki.keystores.generate import Settings
from strongroom.pki.keystores.parts import KeyKind, usual_parts
from strongroom.pki.keystores.sealing_keys import KEYS_NAME
from strongroom.secret import Secret


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("keys"), help="where (default: keys)")
    parser.add_argument("--name", metavar="NAME", action="append", default=[],
                        help="a further DNS name or address of the servers; may be given several times")  # fmt: skip
    parser.add_argument("--domain", metavar="DOMAIN", default="",
                        help="what follows Services' names, for instance strongroom.svc.cluster.local")  # fmt: skip
    parser.add_argument("--key", choices=[each.value for each in KeyKind], default="ec",
                        help="P-256 (ec, the default) or RSA-3072 (rsa)")  # fmt: skip
    parser.add_argument("--days", metavar="N", type=positive, default=90, help="validity, up to 397 (default: 90)")
    parser.add_argument("--secret", metavar="NAME", default=KEYS_NAME, help=f"the Secret's name (default: {KEYS_NAME})")
    parser.add_argument("--renew", action="store_true", help="replace leafs and stores in FOLDER, keep the rest")
    parser.add_argument("--if-within", metavar="DAYS", type=positive,
                        help="with --renew: only if a certificate ends within so many days")  # fmt: skip
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make or renew the folder, and say what is in it."""
    now = datetime.now(UTC)
    before = None if args.if_within is None else timedelta(days=args.if_within)
    if args.renew and before is not None and not generate.is_due(args.out, now=now, before=before):
        _tell(args, "not due")
        return 0
    with opened(args) as here:
        authority = here.owner.authority()
        password, key = store_password(here, args.password_file), sealing_key(here)
        if args.renew:
            generate.renew(args.out, authority, password, sealing_key=key, now=now)
        else:
            generate.generate(args.out, authority, password, _settings(args), sealing_key=key, now=now)
        if args.legacy is not None:
            _write_legacy(args, password)
    _tell(args, "renewed" if args.renew else "made")
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    parts = usual_parts(args.name, domain=args.domain)
    return Settings(parts=parts, kind=KeyKind(args.key), days=args.days, secret_name=args.secret)


def _write_legacy(args: argparse.Namespace, password: Secret) -> None:
    key = disk.read_secret(args.out / "server.key", limit=keys.MAX_PEM_BYTES)
    certificate = disk.read_bounded(args.out / "server.crt", limit=keys.MAX_PEM_BYTES)
    legacy.write_clear_server(args.legacy, key, certificate, password)
    warn_legacy(args.legacy, "a private key in clear")


def _tell(args: argparse.Namespace, what: str) -> None:
    end = generate.ends(args.out)
    files = sorted(path.name for path in args.out.iterdir() if not path.name.startswith(".."))
    if args.json:
        document = {"folder": str(args.out), "files": files, "what": what, "ends": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
        sys.stdout.write(json.dumps(document) + "\n")
        return
    sys.stdout.write(f"{what}: {args.out} ({', '.join(files)})\n  certificates end {end:%Y-%m-%d}\n")
    if what == "made":
        sys.stdout.write(
            f"  into a cluster: kubectl apply -f {args.out}/{generate.YAML} (private parts are sealed)\n"
            "  next: strongroom keys password\n"
        )
