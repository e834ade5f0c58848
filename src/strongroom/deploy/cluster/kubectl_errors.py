"""What kubectl's complaints mean. Pure: its words in, one of our errors out.

kubectl has no error codes but the API server's reasons in parentheses (`Error from server (Forbidden)`); what goes
wrong before the server answers has only words. Source: k8s.io/kubectl/pkg/cmd/util/helpers.go.
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

MAX_SENTENCE: Final = 600
_REASON: Final = re.compile(r"[Ee]rror from server \((\w{1,40})\)")
_CONFLICT: Final = re.compile(r'conflicts? with "([^"]{1,128})"')
_CONFLICTS: Final = re.compile(r'conflicts? with "[^"]{1,128}"[^\n]*(?:\n- [^\n]*)*')
_FIELD: Final = re.compile(r"(?:is invalid: |unknown field \"?|ValidationError\()([A-Za-z][\w.\[\]/-]{0,120})")


class KubectlMissing(BadInput):
    """The program that drives the cluster is not installed here."""

    code = "SR-KUBECTL-MISSING"
    fix = "Install kubectl (https://kubernetes.io/docs/tasks/tools) or, for --helm, helm; or name it with --kubectl."


class KubectlConfig(BadInput):
    """The kubeconfig does not say which cluster is meant, or not in a way that kubectl understands."""

    code = "SR-KUBECTL-CONFIG"
    fix = "Name the cluster with --context and --kubeconfig; kubectl config get-contexts lists what there is."


class ClusterUnreachable(Unreachable):
    """The Kubernetes API server cannot be reached, or did not answer in time."""

    code = "SR-KUBECTL-UNREACHABLE"
    fix = "Check that the cluster runs and that --context or --kubeconfig names it: kubectl cluster-info."


class ClusterForbidden(Refused):
    """The Kubernetes API server does not let this user do that."""

    code = "SR-KUBECTL-FORBIDDEN"
    fix = "Ask the cluster's administrator for the right, or use another user: --context, --kubeconfig."


class ObjectInvalid(BadInput):
    """The Kubernetes API server does not take an object as it is."""

    code = "SR-KUBECTL-INVALID"
    fix = "The sentence names the field; check that [deploy] kubernetes is the cluster's version, then render again."


class ObjectConflict(Refused):
    """Somebody else has set a field that was to be changed."""

    code = "SR-KUBECTL-CONFLICT"
    fix = "Find out who manages it: kubectl get -o yaml --show-managed-fields. With --force the field is taken over."
    managers: frozenset[str] = frozenset()  # who has set it


class NoSuchObject(BadInput):
    """There is no such object in the cluster."""

    code = "SR-KUBECTL-NOT-FOUND"
    fix = "Run strongroom deploy apply first; check --context and the namespace."


class NoSuchKind(BadInput):
    """The cluster does not know a kind of object that is to be applied."""

    code = "SR-KUBECTL-NO-KIND"
    fix = "Install what defines it (Gateway API, Prometheus operator), or choose another front in [deploy]."


class KubectlFailed(BadInput):
    """kubectl or helm failed for a reason of its own."""

    code = "SR-KUBECTL-FAILED"
    fix = "The sentence is what the program said; its own documentation says more."


class AnswerMalformed(BadInput):
    """The Kubernetes API server answered with something that is not the JSON that was asked for."""

    code = "SR-KUBECTL-ANSWER"
    fix = "Check that --context names a Kubernetes cluster, and not a proxy in front of it that answers instead."


_BY_REASON: Final[dict[str, type[StrongroomError]]] = {
    "Forbidden": ClusterForbidden,
    "Unauthorized": ClusterForbidden,
    "NotFound": NoSuchObject,
    "Conflict": ObjectConflict,
    "Invalid": ObjectInvalid,
    "BadRequest": ObjectInvalid,
    "ServiceUnavailable": ClusterUnreachable,
    "Timeout": ClusterUnreachable,
    "ServerTimeout": ClusterUnreachable,
    "TooManyRequests": ClusterUnreachable,
    "InternalError": ClusterUnreachable,
}
_BY_WORDS: Final[tuple[tuple[tuple[str, ...], type[StrongroomError]], ...]] = (
    (("no matches for kind", "resource mapping not found", "the server doesn't have a resource type"), NoSuchKind),
    (("is invalid:", "unknown field", "ValidationError", "strict decoding error", "error validating"), ObjectInvalid),
    (("You must be logged in", "is forbidden:"), ClusterForbidden),
    (("error: context ", "context was not found", "invalid configuration", "error loading config",
      "no configuration has been provided", "Error in configuration", "CreateFile", "stat "), KubectlConfig),
    (("was refused", "Unable to connect to the server", "dial tcp", "i/o timeout", "TLS handshake", "no route to host",
      "context deadline exceeded", "connection reset", "no such host", "x509:", "unable to handle the request",
      "Kubernetes cluster unreachable", "unexpected EOF"), ClusterUnreachable),
)  # fmt: skip


def error_of(complaint: str, *, doing: str) -> StrongroomError:
    """Return what went wrong, from what kubectl or helm wrote to standard error; `doing` begins the sentence."""
    text = one_line(complaint)
    sentence = f"{doing}: {text or 'it ended without a word'}"
    if "Apply failed with" in complaint and _CONFLICT.search(complaint):
        conflict = ObjectConflict(f"{doing}: {one_line('; '.join(_CONFLICTS.findall(complaint)))}")
        conflict.managers = conflicting_managers(complaint)
        return conflict
    reason = _REASON.search(complaint)
    if reason and reason[1] in _BY_REASON:
        return _BY_REASON[reason[1]](sentence)
    for words, kind in _BY_WORDS:
        if any(word in complaint for word in words):
            return kind(sentence)
    return KubectlFailed(sentence)


def conflicting_managers(complaint: str) -> frozenset[str]:
    """Return who else has set fields that a server-side apply was to change, by their field managers' names."""
    return frozenset(_CONFLICT.findall(complaint))


def invalid_fields(complaint: str) -> tuple[str, ...]:
    """Return the fields that the API server does not take, as it names them."""
    return tuple(dict.fromkeys(found.rstrip(".:") for found in _FIELD.findall(complaint)))


def one_line(text: str) -> str:
    """Return a program's words on one line, bounded, with nothing that would move a terminal's cursor."""
    kept = " ".join(line.strip() for line in text.splitlines() if line.strip() and not _is_noise(line))
    printable = "".join(each if each.isprintable() else "?" for each in kept)
    return printable if len(printable) <= MAX_SENTENCE else f"{printable[: MAX_SENTENCE - 1]}…"


def _is_noise(line: str) -> bool:
    """Whether a line is kubectl's own log (klog: level, date) or a deprecation warning."""
    return re.match(r"[IWE]\d{4} \d\d:\d\d|Warning: ", line) is not None
