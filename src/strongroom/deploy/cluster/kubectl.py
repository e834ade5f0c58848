"""Run kubectl, or helm: the one place that starts either.

World: child processes. Arguments are lists, never a shell's line; objects and archives go through standard input;
answers are bounded and JSON is read strictly. Nothing secret is ever an argument.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from strongroom.deploy.cluster import kubectl_errors as errors
from strongroom.deploy.yaml_text import to_yaml
from strongroom.wire import strict_json

FIELD_MANAGER: Final = "strongroom"
SCALE_MANAGER: Final = "strongroom-scale"
OURS: Final = frozenset({FIELD_MANAGER, SCALE_MANAGER})
# What an API server of Kubernetes 1.20 cannot apply itself: on the first it panics ("FieldManager must be installed to
# run apply"), of the second it repeats the metrics at every apply.
CLIENT_SIDE: Final = frozenset({"apiregistration.k8s.io/v1", "autoscaling/v2beta2"})
REQUEST_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024  # a list of 10,000 pods
MAX_COMPLAINT_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """kubectl with the options that say which cluster, user and namespace are meant."""

    namespace: str
    context: str | None = None
    kubeconfig: Path | None = None
    program: str = "kubectl"
    helm: str = "helm"
    timeout_s: float = REQUEST_S

    def options(self, *, namespaced: bool = True) -> list[str]:
        """Return the options that every call of kubectl has."""
        found = [] if self.context is None else [f"--context={self.context}"]
        found += [] if self.kubeconfig is None else [f"--kubeconfig={self.kubeconfig}"]
        return [*found, f"--namespace={self.namespace}"] if namespaced else found

    def argv(self, *words: str, namespaced: bool = True) -> list[str]:
        """Return a command line of kubectl. Raises KubectlMissing."""
        return [program_at(self.program), *self.options(namespaced=namespaced), *words]

    def run(self, *words: str, given: bytes | None = None, timeout_s: float | None = None) -> bytes:
        """Run kubectl; `given` is its standard input. Raises KubectlMissing, and what `error_of` returns."""
        doing = f"kubectl {' '.join(words[:2])}"
        return run(self.argv(*words), doing=doing, given=given, timeout_s=timeout_s or self.timeout_s)

    def json(self, *words: str, given: bytes | None = None) -> dict[str, Any]:
        """Run kubectl with `-o json` and return the object. Raises AnswerMalformed besides."""
        return read_object(self.run(*words, "-o", "json", given=given), what=f"kubectl {' '.join(words[:2])}")

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return one object, None where there is none."""
        text = self.run("get", kind, name, "--ignore-not-found", "-o", "json")
        return read_object(text, what=f"{kind} {name}") if text.strip() else None

    def list(self, kinds: Iterable[str], labels: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
        """Return the objects of these kinds that have these labels."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        found = self.json("get", ",".join(kinds), f"--selector={selector}")
        items = found.get("items", [])
        return tuple(each for each in items if isinstance(each, dict)) if isinstance(items, list) else ()

    def apply(self, objects: Sequence[Mapping[str, Any]], *, dry_run: bool = False, force: bool = False) -> bytes:
        """Apply objects on the server in their order, as the field manager `strongroom`; return them as JSON.

        A field that only `deploy scale` has set is ours too. Raises ObjectConflict where somebody else set a field,
        unless `force`.
        """
        usual = [each for each in objects if each.get("apiVersion") not in CLIENT_SIDE]
        others = [each for each in objects if each.get("apiVersion") in CLIENT_SIDE]
        answer = self._apply_there(usual, dry_run=dry_run, force=force) if usual else b""
        if not others:
            return answer
        more = self._apply_here(others, dry_run=dry_run)
        return json.dumps({"kind": "List", "items": [*_members(answer), *_members(more)]}).encode()

    def _apply_there(self, objects: Sequence[Mapping[str, Any]], *, dry_run: bool, force: bool) -> bytes:
        words = ["apply", "--server-side", f"--field-manager={FIELD_MANAGER}", "--filename=-", "-o", "json"]
        words += ["--dry-run=server"] if dry_run else []
        text = to_yaml(dict(each) for each in objects).encode()
        try:
            return self.run(*words, *(["--force-conflicts"] if force else []), given=text)
        except errors.ObjectConflict as conflict:
            if not conflict.managers <= OURS:
                raise
        return self.run(*words, "--force-conflicts", given=text)

    def _apply_here(self, objects: Sequence[Mapping[str, Any]], *, dry_run: bool) -> bytes:
        """Apply as kubectl does by itself: it compares, and sends what has changed."""
        words = ["apply", f"--field-manager={FIELD_MANAGER}", "--filename=-", "-o", "json"]
        words += ["--dry-run=server"] if dry_run else []
        return self.run(*words, given=to_yaml(dict(each) for each in objects).encode())

    def patch(self, kind: str, name: str, merge: str, *, manager: str = FIELD_MANAGER) -> None:
        """Merge a JSON document into an object."""
        self.run("patch", kind, name, "--type=merge", f"--field-manager={manager}", f"--patch={merge}")

    def delete(self, kind: str, names: Sequence[str], *, wait: bool = True) -> None:
        """Delete objects; one that is not there counts as deleted."""
        words = ["delete", kind, *names, "--ignore-not-found", f"--wait={'true' if wait else 'false'}"]
        self.run(*words, timeout_s=max(self.timeout_s, 300.0))

    def send(self, pod: str, container: str, command: Sequence[str], content: bytes) -> None:
        """Run a command in a container with `content` as its standard input, which alone carries it."""
        words = ["exec", "-i", pod, f"--container={container}", "--", *command]
        self.run(*words, given=content, timeout_s=max(self.timeout_s, 300.0))

    def run_helm(self, *words: str, timeout_s: float | None = None) -> bytes:
        """Run helm against the same cluster. Raises as `run`."""
        options = [] if self.context is None else [f"--kube-context={self.context}"]
        options += [] if self.kubeconfig is None else [f"--kubeconfig={self.kubeconfig}"]
        argv = [program_at(self.helm), *words, *options, f"--namespace={self.namespace}"]
        return run(argv, doing=f"helm {words[0]}", timeout_s=timeout_s or self.timeout_s)


def program_at(name: str) -> str:
    """Return where a program is. Raises KubectlMissing."""
    found = shutil.which(name)
    if found is None:
        raise errors.KubectlMissing(f"there is no program {name[:120]!r}")
    return found


def run(argv: Sequence[str], *, doing: str, given: bytes | None = None, timeout_s: float) -> bytes:
    """Run a program to its end and return its standard output, bounded. Raises ClusterUnreachable when it hangs."""
    # What is given may be a broker's keys: it lies in memory, never on a disk.
    with (
        os.fdopen(os.memfd_create("given", os.MFD_CLOEXEC), "w+b") as fed,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as complaints,
    ):
        if given is not None:
            fed.write(given)
            fed.seek(0)
        with subprocess.Popen(argv, stdin=fed, stdout=out, stderr=complaints) as child:
            try:
                status = child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                child.kill()
                raise errors.ClusterUnreachable(f"{doing} did not end within {timeout_s:.0f} seconds") from None
            except BaseException:
                child.kill()
                raise
        if status != 0:
            raise errors.error_of(_read(complaints, MAX_COMPLAINT_BYTES).decode("utf-8", "replace"), doing=doing)
        return _read(out, MAX_ANSWER_BYTES)


def _read(file: IO[bytes], limit: int) -> bytes:
    file.seek(0)
    found = file.read(limit + 1)
    if len(found) > limit:
        raise errors.AnswerMalformed(f"the answer is longer than {limit} bytes")
    return found


def _members(answer: bytes) -> list[Any]:
    """Return the objects of kubectl's answer: none, one, or the items of a List."""
    if not answer.strip():
        return []
    found = read_object(answer, what="kubectl's answer")
    items = found.get("items")
    return items if found.get("kind") == "List" and isinstance(items, list) else [found]


def read_object(text: bytes, *, what: str) -> dict[str, Any]:
    """Return the JSON object in an answer, read strictly. Raises AnswerMalformed."""
    found = strict_json.loads(
        text, what=what, error=errors.AnswerMalformed, max_bytes=MAX_ANSWER_BYTES, max_depth=MAX_DEPTH
    )
    if not isinstance(found, dict):
        raise errors.AnswerMalformed(f"{what} is not a JSON object")
    return found
