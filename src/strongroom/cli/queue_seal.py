"""Seal a worker's password file or TLS key, so that the host that keeps the files cannot use them.

Each FILE (0600) is sealed in Gramine's format under secret/queue-credentials-JOB, which is made where there is none and
which the broker releases to attested workers alone. DIR/FILE is what the operator gets; config.yaml names it as
redisPasswordFile or redisKeyFile and says credentialsSealed: true.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.key_common import opened
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.queue_key import queue_secret
from strongroom.cli.workspace_option import workspace_argument
from strongroom.clusterserving.names import DEFAULT_JOB


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="a file that only you can read (0600)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the sealed files go")
    parser.add_argument("--job", default=DEFAULT_JOB, help=f"the queue's job name (default: {DEFAULT_JOB})")
    parser.add_argument("--secret", metavar="NAME", help="another name than secret/queue-credentials-JOB")
    parser.add_argument("--tenant", metavar="NAME", default="default", help="the tenant (default: default)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)
    passphrase_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Seal them."""
    from strongroom.broker.names import SecretName
    from strongroom.clusterserving.names import Job
    from strongroom.streaming.model.trust import CREDENTIALS_SECRET

    job = Job(args.job)
    name = SecretName.parse(args.secret or CREDENTIALS_SECRET.format(job=job.name))
    with opened(args) as here:
        written = queue_secret(here, args.tenant, name).seal_files(args.files, args.out, job=job.name)
    result = {"job": job.name, "secret": str(name), "files": [str(path) for path in written]}
    told = "".join(f"{path}: opens under {name} alone\n" for path in written)
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told)
    return 0
