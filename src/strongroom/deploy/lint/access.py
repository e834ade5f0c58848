"""Rules on what a pod may ask of the API server (threats DP-01, DP-12). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.objects import Object, Objects, items, table, tables

K18: Final = Rule(id="K18", level=Level.ERROR, title="a pod has a token of the API server that it does not need")
K19: Final = Rule(id="K19", level=Level.ERROR, title="a role allows more than a workload needs")

_BINDINGS: Final = ("RoleBinding", "ClusterRoleBinding")
_GREAT_VERBS: Final = frozenset({"escalate", "bind", "impersonate"})
_GREAT_RESOURCES: Final = frozenset({"pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes/proxy",
                                     "serviceaccounts/token", "certificatesigningrequests/approval"})  # fmt: skip
_GREAT_ROLES: Final = frozenset({"cluster-admin", "admin", "edit", "system:masters"})


def tokens(objects: Objects) -> Iterator[Finding]:
    """K18: whoever gets into the pod, or has its host, has the token."""
    accounts = {(each.namespace, each.name): each for each in objects.of_kind("ServiceAccount")}
    bound = set(_bound(objects))
    for pod in objects.workloads:
        name = str(pod.spec.get("serviceAccountName") or "default")
        account = accounts.get((pod.object.namespace, name))
        mounted = pod.spec.get("automountServiceAccountToken")
        if mounted is None and account is not None:
            mounted = account.value.get("automountServiceAccountToken")
        place = f"{pod.place}.automountServiceAccountToken"
        fix = "Set automountServiceAccountToken: false."
        if mounted is None:
            yield pod.finding(K18, place, "a token is mounted, as nobody says otherwise", fix)
        elif mounted and (pod.object.namespace, name) not in bound:
            yield pod.finding(K18, place, "a token is mounted that nothing is bound to", fix)


def _bound(objects: Objects) -> Iterator[tuple[str, str]]:
    for binding in objects.of_kind(*_BINDINGS):
        for _, subject in tables(binding.value.get("subjects")):
            if subject.get("kind") == "ServiceAccount":
                yield str(subject.get("namespace") or binding.namespace), str(subject.get("name"))


def roles(objects: Objects) -> Iterator[Finding]:
    """K19: name verbs, resources and, where it can be done, the one object."""
    for role in objects.of_kind("Role", "ClusterRole"):
        for index, rule in tables(role.value.get("rules")):
            place = f"rules[{index}]"
            words = {key: {str(each) for each in items(rule.get(key))} for key in ("verbs", "resources", "apiGroups")}
            for key, found in words.items():
                if any("*" in word for word in found):
                    yield role.finding(K19, f"{place}.{key}", f"{key} are *, everything", "Name those it needs.")
            if "secrets" in words["resources"] and not items(rule.get("resourceNames")):
                yield role.finding(K19, place, "every Secret of the namespace may be read or changed",
                                   "Name the one Secret in resourceNames, or do without.")  # fmt: skip
            great = sorted((words["verbs"] & _GREAT_VERBS) | (words["resources"] & _GREAT_RESOURCES))
            if great:
                yield role.finding(K19, place, f"{', '.join(great)} makes its holder anybody", "Remove it.")
    for binding in objects.of_kind(*_BINDINGS):
        yield from _great_role(binding)


def _great_role(binding: Object) -> Iterator[Finding]:
    name = table(binding.value.get("roleRef")).get("name")
    if name in _GREAT_ROLES:
        yield binding.finding(K19, "roleRef", f"the role {name} is bound", "Bind a role with what is needed.")
    for index, subject in tables(binding.value.get("subjects")):
        if subject.get("name") in {"system:anonymous", "system:unauthenticated", "system:authenticated"}:
            yield binding.finding(K19, f"subjects[{index}]", f"{subject['name']} is everybody", "Name an account.")


RULES: Final = (K18, K19)
CHECKS: Final = (tokens, roles)
