"""Bring a cluster to what a description says: show what changes, apply it, take away what is no more.

World: kubectl. Every step can be repeated; nothing is applied that the lint calls an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from strongroom.deploy.cluster import changes, handover
from strongroom.deploy.cluster.changes import Change, Fate
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.kubectl import FIELD_MANAGER, Kubectl, read_object
from strongroom.deploy.cluster.objects import dig, items, text
from strongroom.deploy.cluster.wide import known_kinds, wide
from strongroom.deploy.description import Tee
from strongroom.deploy.kubernetes.naming import LABEL
from strongroom.deploy.kubernetes.objects import objects as render_objects
from strongroom.deploy.lint import lint
from strongroom.deploy.rendering import render
from strongroom.deploy.yaml_text import to_yaml
from strongroom.errors import Refused

MAX_FINDINGS: Final = 5


class LintRefuses(Refused):
    """What was rendered holds something that must not be in a cluster."""

    code = "SR-APPLY-LINT"
    fix = "Do what stands beside each finding; strongroom deploy render writes the files to look at."


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying will do."""

    objects: tuple[Mapping[str, Any], ...]
    gone: tuple[Mapping[str, Any], ...]
    changes: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Whether everything is as it should be."""
        return all(each.fate is Fate.SAME for each in self.changes)


def rendered(deployment: Deployment, *, now: datetime) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of a deployment, linted; the whole tree is rendered, which scans it for secrets.

    Raises SecretInTree, TreeUnusable, LintRefuses; HandoverRefused for a broker in the cluster that would stay empty.
    """
    description, profile, trust = deployment.description, deployment.profile, deployment.trust
    if description.broker is None:
        handover.check(description, deployment.workspace)
    simulated = description.tee is Tee.SIMULATED
    render(description, profile, trust)
    found: tuple[Mapping[str, Any], ...] = render_objects(description, profile, trust)
    refuse_findings(found, production=not simulated)
    if not simulated:
        return found
    handover.world_of(deployment.workspace, now=now)
    return (*found, handover.world_secret(description, deployment.workspace))


def refuse_findings(objects: Sequence[Mapping[str, Any]], *, production: bool) -> None:
    """Raise LintRefuses where the lint finds errors."""
    wrong = [each for each in lint(objects, production=production) if each.is_error]
    if wrong:
        words = "; ".join(f"{each.object} {each.place}: {each.why} ({each.rule.id})" for each in wrong[:MAX_FINDINGS])
        raise LintRefuses(f"{len(wrong)} findings: {words}", fix=wrong[0].fix)


def plan(kubectl: Kubectl, name: str, objects: Sequence[Mapping[str, Any]]) -> Plan:
    """Return what applying these objects would do, as the API server itself says. Raises what kubectl raises."""
    wanted = tuple(objects)
    given = to_yaml(dict(each) for each in wanted).encode()
    answer = kubectl.run("get", "--filename=-", "--ignore-not-found", "-o", "json", given=given)  # knows all kinds?
    if kubectl.get("namespace", kubectl.namespace) is None:
        fresh = tuple(changes.change_of(None, each) for each in wanted)
        return Plan(objects=wanted, gone=(), changes=fresh)
    live = {changes.key(each): each for each in listed(answer)}
    planned = listed(kubectl.apply(wanted, dry_run=True, force=True))  # to show it; applying itself asks
    gone = changes.gone(ours(kubectl, name), wanted)
    found = [changes.change_of(live.get(changes.key(each)), each) for each in planned]
    found += [Change(kind=text(each, "kind"), name=text(each, "metadata", "name"), fate=Fate.GONE) for each in gone]
    return Plan(objects=wanted, gone=gone, changes=tuple(found))


def carry_out(kubectl: Kubectl, found: Plan, *, force: bool = False) -> None:
    """Apply a plan: namespace, then the rest in order, then what goes."""
    for wave in changes.waves(found.objects):
        kubectl.apply(wave, force=force)
    for each in found.gone:
        kubectl.delete(kind_of(each), [text(each, "metadata", "name")])


def ours(
    kubectl: Kubectl, name: str, kinds: Sequence[str] = changes.PRUNED, *, manager: str = FIELD_MANAGER
) -> tuple[Mapping[str, Any], ...]:
    """Return the live objects that `deploy apply`, or another manager, has made, of the kinds this cluster knows."""
    wanted = known_kinds(kubectl, kinds)
    labels = {f"{LABEL}/instance": name, f"{LABEL}/part-of": "strongroom", f"{LABEL}/managed-by": manager}
    found = kubectl.list(wanted, labels)
    return tuple(
        each for each in (*wide(kubectl, name), *found) if not dig(each, "metadata", "deletionTimestamp", kind=str)
    )


def kind_of(value: Mapping[str, Any]) -> str:
    """Return an object's kind as kubectl takes it: KIND.VERSION.GROUP."""
    group, slash, version = text(value, "apiVersion").partition("/")
    kind = text(value, "kind").lower()
    return f"{kind}.{version}.{group}" if slash else kind


def listed(answer: bytes) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of an answer: none, one, or the items of a List."""
    if not answer.strip():
        return ()
    found = read_object(answer, what="kubectl's answer")
    return items(found, "items") if text(found, "kind") == "List" else (found,)
