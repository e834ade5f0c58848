"""Write the simulated platform's root and fresh collateral into a workspace's trust folder.

The files are anchors/simulated.der and, in collateral/, <FMSPC>.json for SGX and <FMSPC>-tdx.json for TDX, all below
--out. Collateral counts for 30 days: write it again before. The other options rehearse what a platform vendor may
publish one day: a status, advisories, a revocation, collateral that has run out. With --early, what is rehearsed goes
into <FMSPC>-early.json and <FMSPC>-tdx-early.json, and the plain names hold the standard update of the same day: still
healthy, with the evaluation number before.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.sim_world import world_argument

if TYPE_CHECKING:
    from strongroom.platforms.simulated import Rehearsal

STATUSES = ("UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate",
            "OutOfDateConfigurationNeeded", "Revoked")  # fmt: skip
STATUS_HELP = f"TCB status of the platform, UpToDate unless said: {', '.join(STATUSES[1:])}"
QE_STATUSES = ("UpToDate", "OutOfDate", "Revoked")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="the workspace's trust folder")
    world_argument(parser)
    rehearsal = parser.add_argument_group("rehearse")
    rehearsal.add_argument("--status", choices=STATUSES, default="UpToDate", metavar="STATUS", help=STATUS_HELP)
    rehearsal.add_argument("--qe-status", choices=QE_STATUSES, default="UpToDate", help="of its quoting enclave")
    rehearsal.add_argument("--module-status", choices=QE_STATUSES, default="UpToDate", help="of the TDX module")
    rehearsal.add_argument("--advisory", metavar="ID", action="append", default=[], help="e.g. INTEL-SA-00615")
    rehearsal.add_argument("--revoke", choices=("pck", "pck-ca", "tcb-signer"), action="append", default=[])
    rehearsal.add_argument("--evaluation-number", metavar="N", type=int, default=17, help="of TCB info and QE identity")
    rehearsal.add_argument("--age-days", metavar="N", type=int, default=1, help="issued N days ago; 31 has run out")
    rehearsal.add_argument("--early", action="store_true", help="as disclosed today, weeks before the standard update")


def run(args: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    from strongroom.attestation import Tee
    from strongroom.cli.sim_world import open_world
    from strongroom.collateral.folder import file_name
    from strongroom.platforms import simulated

    world = open_world(args)
    sys.stderr.write(f"{simulated.BANNER}\n")
    now = datetime.now(UTC)
    put(args.out / "anchors" / "simulated.der", world.root_der)
    sys.stdout.write(f"{args.out / 'anchors' / 'simulated.der'}\n")
    rehearsed = _rehearsal(args)
    updates = {"": rehearsed.standard, "-early": rehearsed} if args.early else {"": rehearsed}
    for mark, rehearsal in updates.items():
        for tee in Tee:
            path = args.out / "collateral" / f"{Path(file_name(world.fmspc, tee)).stem}{mark}.json"
            put(path, world.collateral(now, rehearsal, tee=tee).to_json().encode("utf-8"))
            sys.stdout.write(f"{path}\n")
    return 0


def _rehearsal(args: argparse.Namespace) -> Rehearsal:
    from strongroom.attestation import TcbStatus
    from strongroom.platforms import simulated

    return simulated.Rehearsal(
        status=TcbStatus(args.status),
        qe_status=TcbStatus(args.qe_status),
        module_status=TcbStatus(args.module_status),
        advisories=tuple(args.advisory),
        revoked=frozenset(simulated.Revocation(each) for each in args.revoke),
        evaluation_number=args.evaluation_number,
        qe_evaluation_number=args.evaluation_number,
        age=timedelta(days=args.age_days),
    )


def put(path: Path, content: bytes) -> None:
    """Write a file under another name, then move it into place: a broker that reads meanwhile sees the old one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
