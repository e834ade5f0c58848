"""Say what this cluster and this machine lack for this deployment, before a pod waits for it; each with a fix.

Exit status 0 where nothing is missing, 2 where something is.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.deploy_options import cluster_arguments, open_cluster
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.deploy.cluster.deployment import Deployment
    from strongroom.platforms.machine_findings import Finding

MARKS = {"good": "✓", "missing": "✗", "absent": "-"}


class ClusterLacks(BadInput):
    """The cluster, or this machine, lacks something that the deployment needs."""

    code = "SR-DEPLOY-DOCTOR"
    fix = "Do what stands under each line that begins with a cross, then run strongroom deploy doctor again."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    cluster_arguments(parser)
    parser.add_argument("--offline", action="store_true", help="do not ask the PCCS whether it answers")


def run(args: argparse.Namespace) -> int:
    """Look, judge, print; raise ClusterLacks where something is missing."""
    from strongroom.deploy.cluster.api_proxy import api
    from strongroom.deploy.cluster.preflight import as_json, examine
    from strongroom.deploy.cluster.preflight_facts import gather, owner_facts
    from strongroom.platforms.machine_findings import Standing

    deployment = open_cluster(args)
    failure = collateral_failure(deployment, offline=args.offline)
    with api(deployment.kubectl) as server:
        seen = gather(deployment, server)
    description = deployment.description
    if "kubernetes" not in (deployment.workspace.settings.deploy or {}):
        description = replace(description, kubernetes=seen.version)
    found = examine(seen, owner_facts(deployment, failure), description, deployment.profile)
    here = machine(offline=args.offline)
    if args.json:
        sys.stdout.write(json.dumps({"cluster": as_json(found), "machine": as_json(here)}) + "\n")
    else:
        show("the cluster", found)
        show("this machine (strongroom platform says more)", here)
    wrong = [each for each in found if each.standing is Standing.MISSING]
    if wrong:
        raise ClusterLacks(f"{len(wrong)} things are missing: {', '.join(each.topic for each in wrong)}")
    return 0


def collateral_failure(deployment: Deployment, *, offline: bool) -> str | None:
    """Return why the profile's collateral service does not answer; empty if it does, None if it was not asked."""
    from strongroom.cli.platform import pccs_failure
    from strongroom.deploy.description import Tee

    url = deployment.profile.pccs_url
    if offline or url is None or deployment.description.tee is Tee.SIMULATED:
        return None
    return pccs_failure(url, verify_tls=True) or ""


def machine(*, offline: bool) -> tuple[Finding, ...]:
    """Return what this machine can vouch with; nothing here keeps a cluster from working."""
    from strongroom.cli.platform import gathered
    from strongroom.platforms.machine_findings import examine

    return examine(gathered(Path("/"), offline=offline)).findings


def show(title: str, findings: tuple[Finding, ...]) -> None:
    """Print findings: a mark, the topic, what was seen, and below it what to do."""
    sys.stdout.write(f"{title}\n")
    for each in findings:
        sys.stdout.write(f"  {MARKS[each.standing.value]} {each.topic:<14} {each.sentence}\n")
        if each.fix:
            sys.stdout.write(f"{'':<19}-> {each.fix}\n")
