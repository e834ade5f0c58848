"""From one description to every file of a deployment, deterministic byte for byte, looked through for secrets. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from strongroom.deploy.chart.chart import chart_files, values
from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description
from strongroom.deploy.fronts.files import fronts
from strongroom.deploy.gramine.tree import manifests
from strongroom.deploy.images import containerfiles
from strongroom.deploy.kubernetes import groups
from strongroom.deploy.kubernetes.alerts import alert_rules
from strongroom.deploy.kubernetes.broker import outside_address
from strongroom.deploy.kubernetes.dashboard import dashboard
from strongroom.deploy.kubernetes.naming import BROKER, object_name
from strongroom.deploy.readme import readme
from strongroom.deploy.secret_scan import refuse_secrets
from strongroom.deploy.tree import Tree, joined, under
from strongroom.deploy.yaml_text import to_yaml

OLD_BROKER_NAME: Final = "attestation.service.com"  # what programs of the reference solution ask for


def render(description: Description, profile: Profile, public_files: Mapping[str, str] | None = None) -> Tree:
    """Return all files; `public_files`: the owner's, by name. Raises SecretInTree, TreeUnusable, DeployMalformed."""
    tree = joined(
        _kubernetes(description, profile, public_files),
        under("chart", chart_files()),
        {"values.yaml": _yaml(values(description, profile, public_files), "Values of this deployment for the chart.")},
        manifests(description, profile),
        containerfiles(description, profile),
        fronts(description, profile.device_paths),
        _coredns(description),
        _monitoring(description),
    )
    tree = joined(tree, {"README.md": readme(description, profile, tree).encode()})
    refuse_secrets(tree)
    return tree


def _kubernetes(description: Description, profile: Profile, public_files: Mapping[str, str] | None) -> Tree:
    return {
        f"kubernetes/{number:02}-{group.name}.yaml": to_yaml(group.objects, comment=group.about).encode()
        for number, group in enumerate(groups(description, profile, public_files))
    }


def _coredns(description: Description) -> Tree:
    """Return a server block for CoreDNS by which the name that old programs have built in leads to our Service."""
    if description.broker is None or outside_address(description.broker)[0] == OLD_BROKER_NAME:
        return {}
    target = f"{object_name(description, BROKER)}.{description.namespace}.svc.cluster.local"
    block = f"""\
# For CoreDNS (its ConfigMap; on AKS coredns-custom), if programs here ask for {OLD_BROKER_NAME}.
{OLD_BROKER_NAME}:53 {{
    errors
    cache 30
    rewrite name exact {OLD_BROKER_NAME} {target} answer auto
    kubernetes cluster.local
    forward . /etc/resolv.conf
}}
"""
    return {"coredns/attestation.server": block.encode()}


def _monitoring(description: Description) -> Tree:
    return {
        "monitoring/alerts.yaml": _yaml(alert_rules(description), "Rules for Prometheus (rule_files)."),
        "monitoring/dashboard.json": (json.dumps(dashboard(description), indent=2, ensure_ascii=False) + "\n").encode(),
    }


def _yaml(value: Mapping[str, Any], comment: str) -> bytes:
    return to_yaml([value], comment=comment).encode()
