"""Replace what the replicas run: admit the new version, shift, watch, revoke the old one and prove it; or go back.

NEW: a tag, ROLE=IMAGE, or model/NAME/VERSION; without it what strongroom.toml and deploy.lock.toml describe, or the
rollout that was interrupted. A step that fails brings the old version back by itself; a rollout that was killed goes on
where it was. Exit status 0: done; 3: rolled back, or owners have to sign; 4: it waits.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.deploy_options import (
    broker_arguments,
    broker_of,
    cluster_arguments,
    open_cluster,
    seconds,
    tell,
    timeout_argument,
)

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk
    from strongroom.deploy.cluster.api_proxy import Api
    from strongroom.deploy.cluster.deployment import Deployment
    from strongroom.deploy.cluster.rollout import Rollout
    from strongroom.deploy.cluster.rollout_state import RolloutState


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("new", metavar="NEW", nargs="*", help="tag, ROLE=IMAGE, model/NAME/VERSION")
    cluster_arguments(parser)
    broker_arguments(parser)
    timeout_argument(parser)
    parser.add_argument("--measurement", metavar="FILE", type=Path,
                        help="of the new build (default: WORKSPACE/images/model-server/measurement.json)")  # fmt: skip
    parser.add_argument("--old-measurement", metavar="HEX", action="append", default=[], type=measurement,
                        help="of what runs (default: what the replicas' leases say)")  # fmt: skip
    parser.add_argument("--watch", metavar="SECONDS", type=seconds, default=30.0, help="watch so long (default: 30)")
    parser.add_argument("--errors", metavar="N", type=int, default=0, help="requests that may fail (default: 0)")
    parser.add_argument("--refusals", metavar="N", type=int, default=0, help="by the broker, allowed (default: 0)")
    parser.add_argument("--tenant", metavar="NAME", default="default", help="whose policy (default: default)")
    parser.add_argument("--abort", action="store_true", help="go back from a rollout that was interrupted")


def run(args: argparse.Namespace) -> int:
    """Begin or go on."""
    from strongroom.cli.admin_option import administration
    from strongroom.deploy.cluster.api_proxy import api
    from strongroom.deploy.cluster.deployment import for_cluster
    from strongroom.deploy.cluster.rollout import Rollout
    from strongroom.deploy.cluster.rollout_plan import Limits

    deployment = for_cluster(open_cluster(args))
    with api(deployment.kubectl) as server:

        def ask() -> AbstractContextManager[Desk]:
            return broker_of(args, deployment)

        def own() -> AbstractContextManager[Desk]:
            return administration(argparse.Namespace(**{**vars(args), "broker": None, "identity": None}))

        state = state_of(args, deployment, server)
        rollout = Rollout(
            deployment=deployment, api=server, ask=ask, state=state, say=tell, timeout_s=args.timeout,
            limits=Limits(watch_s=args.watch, errors=args.errors, refusals=args.refusals),
            own=own if deployment.description.broker is None else None,
        )  # fmt: skip
        try:
            rollout.run()
        finally:
            show(args, rollout)
    return 0


def state_of(args: argparse.Namespace, deployment: Deployment, server: Api) -> RolloutState:
    """Return the rollout that was interrupted, or a new one. Raises RolloutUnderWay and what `begin` raises."""
    from strongroom.cli.frame import Misuse
    from strongroom.deploy.cluster.looking import look
    from strongroom.deploy.cluster.rollout_plan import Outcome, after
    from strongroom.deploy.cluster.rollout_start import Wanted, begin
    from strongroom.deploy.cluster.rollout_state import RolloutUnderWay, load

    wanted = Wanted(
        words=tuple(args.new), measurement=args.measurement, old_measurements=tuple(args.old_measurement),
        tenant=args.tenant,
    )  # fmt: skip
    found = load(deployment.workspace.folder)
    if found is None and args.abort:
        raise Misuse("no rollout was interrupted", fix="Leave --abort away.")
    if found is None:
        with broker_of(args, deployment) as desk:
            return begin(deployment, look(server, deployment.description), desk, wanted)
    if args.new and found.label != wanted.label:
        raise RolloutUnderWay(f"the rollout of {found.label} stands at the step {found.position.step.value!r}")
    tell(f"going on with the rollout of {found.label} at the step {found.position.step.value!r}")
    return found.at(after(found.position, Outcome.FAILED, "it was aborted by hand")) if args.abort else found


def show(args: argparse.Namespace, rollout: Rollout) -> None:
    """Print what was done."""
    if args.json:
        done = {"new": rollout.state.label, "stands_at": rollout.state.position.step.value,
                "why": rollout.state.position.why, "proof": rollout.state.proof,
                "steps": [each.to_json_object() for each in rollout.report]}  # fmt: skip
        sys.stdout.write(json.dumps(done) + "\n")
        return
    for each in rollout.report:
        sys.stdout.write(
            f"{each.step.value:<9} {each.outcome.value:<7} {each.seconds:6.1f} s  {each.why}".rstrip() + "\n"
        )
    sys.stdout.flush()


def measurement(text: str) -> str:
    """Read MRENCLAVE (64 hex digits) or MRTD (96)."""
    if not re.fullmatch(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{96}", text):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no measurement")
    return text.lower()
