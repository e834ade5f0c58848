"""Why a replica is not ready, in words for whoever can do something about it. Pure.

Kubernetes knows that a pod waits; the replica itself knows for what (its /readyz), and its last words name the error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.deploy.cluster.objects import Container, EventNote, Pod

MAX_REASON: Final = 400
_CODE: Final = re.compile(r"\[?\b(SR-[A-Z0-9]+(?:-[A-Z0-9]+)*)\b\]?")
_RESOURCE: Final = re.compile(r"Insufficient ([a-z0-9.-]+(?:/[a-z0-9.-]+)?)")
_MOUNT_WORDS: Final = ("FailedMount", "FailedAttachVolume")
_WAITS_FOR_KEY: Final = "waiting for key"


class Standing(StrEnum):
    """How far a replica has come."""

    READY = "ready"
    STARTING = "starting"
    WAITING = "waiting"  # for a key, for room, for an image: it may come right by itself or by somebody's hand
    REFUSED = "refused"  # it asked the broker and was refused
    FAILED = "failed"  # it ends again and again, or its image cannot be had
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Where a replica stands, why, and what to do about it (empty where nothing is to be done)."""

    standing: Standing
    words: str
    fix: str = ""
    code: str = ""  # one of ours, where the replica named it


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was learned about one pod besides its status; empty where it could not be asked."""

    readyz: str = ""
    last_log: str = ""
    warnings: Sequence[EventNote] = ()


NOTHING_HEARD: Final = Heard()
_FIXES: Final = {
    "sgx.intel.com/epc": "Lower [deploy.resources] epc or the number of replicas, or add nodes with SGX.",
    "cpu": "Lower [deploy.resources] cpu or the number of replicas, or add nodes.",
    "memory": "Lower [deploy.resources] memory or the number of replicas, or add nodes.",
}
_PLUGIN: Final = "Install the SGX device plugin on the nodes: strongroom deploy doctor says what is missing."
_IMAGE: Final = "Push the image (strongroom deploy build --push), and see that the nodes can pull from the registry."
_REFUSED: Final = "The owner sees why: strongroom ledger show, or the console."
_IMAGE_REASONS: Final = frozenset({"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
                                   "ImageInspectError", "RegistryUnavailable"})  # fmt: skip
_START_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


def why(pod: Pod, heard: Heard = NOTHING_HEARD) -> Reason:
    """Return where a pod stands and why."""
    if pod.leaving:
        return Reason(standing=Standing.LEAVING, words="leaving: it finishes what it has begun")
    if pod.ready:
        return Reason(standing=Standing.READY, words="ready")
    return (
        _no_place(pod)
        or _no_image(pod)
        or _crashing(pod, heard)
        or _refused(heard)
        or _no_start(pod, heard)
        or _starting(pod, heard)
    )


def _no_place(pod: Pod) -> Reason | None:
    if not pod.unschedulable:
        return None
    found = list(dict.fromkeys(name.rstrip(".") for name in _RESOURCE.findall(pod.unschedulable)))
    fixes = [_FIXES.get(name, _PLUGIN if name.startswith("sgx.intel.com/") else "") for name in found]
    if "sgx.intel.com/epc" in found and any(name in found for name in ("sgx.intel.com/enclave",)):
        fixes = [_PLUGIN]
    words = f"no node has room: {shorten(pod.unschedulable)}"
    return Reason(standing=Standing.WAITING, words=words, fix=" ".join(dict.fromkeys(filter(None, fixes))))


def _no_image(pod: Pod) -> Reason | None:
    for each in pod.containers:
        if each.waiting in _IMAGE_REASONS:
            return Reason(
                standing=Standing.FAILED, words=f"{each.waiting}: {shorten(each.image or each.message)}", fix=_IMAGE
            )
        if each.waiting in _START_REASONS:
            return Reason(
                standing=Standing.FAILED, words=f"{each.waiting}: {shorten(each.message)}",
                fix="Run strongroom deploy apply again: an object that the pod needs is missing.",
            )  # fmt: skip
    return None


def _crashing(pod: Pod, heard: Heard) -> Reason | None:
    ended = next((each for each in pod.containers if _ended_badly(each)), None)
    if ended is None:
        return None
    if ended.ended == "OOMKilled":
        return Reason(
            standing=Standing.FAILED, words=f"{ended.name} used more memory than its limit and was ended",
            fix="Raise [deploy.resources] memory.",
        )  # fmt: skip
    code, said = last_code(heard.last_log), last_sentence(heard.last_log)
    words = f"{ended.name} ended with status {ended.exit_code}, {ended.restarts} restarts"
    words += f": {said}" if said else ""
    refused = ended.exit_code == REFUSED_STATUS and ended.name == pod.component
    return Reason(
        standing=Standing.REFUSED if refused else Standing.FAILED, words=shorten(words), code=code,
        fix=last_fix(heard.last_log) or (_REFUSED if refused else ""),
    )  # fmt: skip


_FIX_LINE: Final = "what to do:"
REFUSED_STATUS: Final = 3  # strongroom's exit status for what was refused or tampered with


def _ended_badly(each: Container) -> bool:
    return not each.ready and not each.running and each.exit_code not in (None, 0)


def _refused(heard: Heard) -> Reason | None:
    if _WAITS_FOR_KEY not in heard.readyz:
        return None
    asked = "was not asked yet" not in heard.readyz
    return Reason(
        standing=Standing.REFUSED if asked else Standing.WAITING, words=shorten(heard.readyz),
        fix=_REFUSED if asked else "",
    )  # fmt: skip


def _no_start(pod: Pod, heard: Heard) -> Reason | None:
    del pod
    for each in heard.warnings:
        if each.reason in _MOUNT_WORDS or each.reason == "FailedCreatePodSandBox":
            fix = (
                "Run strongroom deploy apply again: a volume names an object that is not there."
                if (each.reason in _MOUNT_WORDS)
                else "Look at the node: its container runtime or network does not work."
            )
            return Reason(standing=Standing.WAITING, words=shorten(f"{each.reason}: {each.message}"), fix=fix)
    return None


def _starting(pod: Pod, heard: Heard) -> Reason:
    if heard.readyz and heard.readyz != "ready":
        return Reason(standing=Standing.WAITING, words=shorten(heard.readyz))
    waits = next((each.waiting for each in pod.containers if each.waiting), "")
    return Reason(standing=Standing.STARTING, words=waits or f"{pod.phase.lower() or 'unknown'}, not ready yet")


def last_code(log: str) -> str:
    """Return the last of our error codes in a log, empty where there is none."""
    found = _CODE.findall(log[-65536:])
    return str(found[-1]) if found else ""


def last_fix(log: str) -> str:
    """Return what our last error in a log says is to be done."""
    lines = [line.strip() for line in log[-65536:].splitlines()]
    found = [line.removeprefix(_FIX_LINE).strip() for line in lines if line.startswith(_FIX_LINE)]
    return shorten(found[-1]) if found else ""


def last_sentence(log: str) -> str:
    """Return the last line of a log that says something: the error's sentence, where `strongroom:` begins one."""
    lines = [line.strip() for line in log[-65536:].splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("strongroom: ")]
    return shorten((errors or lines or [""])[-1].removeprefix("strongroom: "))


def shorten(words: str, most: int = MAX_REASON) -> str:
    """Return words on one bounded line."""
    line = " ".join("".join(each if each.isprintable() else " " for each in words).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
