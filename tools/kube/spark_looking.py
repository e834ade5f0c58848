"""What a cluster's operator sees of a Spark job: its objects, processes and logs, and what its pods' accounts may do.

World: the API server, /proc of this machine, on which all of the cluster's processes are.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kube.journey import IN_NAMESPACE, Journey
from kube.owner import NAMESPACE

KINDS: Final = "pods,jobs,configmaps,secrets,services,endpoints,events,serviceaccounts,roles,persistentvolumeclaims"
# Asks the API server as a pod would: prints what its account, if there is one, gets for pods and for Secrets.
_ASK: Final = """
import json, os, ssl, sys, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
there = os.path.exists(f"{folder}/token")
context = ssl.create_default_context(cafile=f"{folder}/ca.crt") if there else ssl._create_unverified_context()
found = {"token": there}
for kind in ("pods", "secrets"):
    request = urllib.request.Request(f"https://kubernetes.default.svc/api/v1/namespaces/{sys.argv[1]}/{kind}")
    if there:
        request.add_header("Authorization", f"Bearer {open(folder + '/token').read()}")
    try:
        found[kind] = urllib.request.urlopen(request, timeout=20, context=context).status
    except urllib.error.HTTPError as answer:
        found[kind] = answer.code
    except OSError as problem:
        found[kind] = str(problem)
print(json.dumps(found))
"""
_PYTHON: Final = "/opt/strongroom/bin/python3"


class Looking:
    """Looks while a job works; what is found is named, never shown."""

    def __init__(self, journey: Journey, release: str) -> None:
        self._journey, self._release = journey, release

    def objects_with(self, secrets: Mapping[str, bytes]) -> list[str]:
        """Return which secrets stand in an object of the namespace, or in the log of one of the job's pods."""
        cluster = self._journey.cluster
        text = cluster.kubectl("get", KINDS, IN_NAMESPACE, "-o", "json").encode()
        selector = f"--selector=app.kubernetes.io/instance={self._release}"
        for pod in cluster.get("pods", IN_NAMESPACE, selector)["items"]:
            text += cluster.kubectl("logs", pod["metadata"]["name"], IN_NAMESPACE, "--tail=-1").encode()
        return [name for name, value in secrets.items() if value in text]

    def processes_with(self, secrets: Mapping[str, bytes]) -> list[str]:
        """Return which secrets stand in the command line or environment of a process, and of which."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                name = (process / "comm").read_text().strip()
                found += [f"{each} in {name}" for each, value in secrets.items() if value in text]
        return found

    def asked_in(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Return what the API server answers to a program in a pod."""
        words = ["exec", pod["metadata"]["name"], IN_NAMESPACE, f"--container={pod['spec']['containers'][0]['name']}"]
        said = self._journey.cluster.kubectl(*words, "--", _PYTHON, "-I", "-c", _ASK, NAMESPACE)
        answer: dict[str, Any] = json.loads(said)
        return answer
