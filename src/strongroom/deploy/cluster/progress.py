"""How far a deployment has come, and when waiting longer makes no sense. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.deploy.cluster.objects import Workload
from strongroom.deploy.cluster.reasons import Standing
from strongroom.deploy.cluster.replicas import Replica
from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

REFUSED_PATIENCE_S: Final = 20.0  # a broker that has just started refuses nobody for longer
FAILED_PATIENCE_S: Final = 45.0  # an image that is being pushed, a container that starts at its second attempt
MAX_NAMED: Final = 3


class ReplicasRefused(Refused):
    """Replicas run but the broker refuses them their keys."""

    code = "SR-DEPLOY-REFUSED"
    fix = "Trust the measurement (strongroom policy trust), or mend what the ledger says: strongroom ledger show."


class ReplicasFail(BadInput):
    """Replicas cannot start: their image, their container or an object that they need is not as it must be."""

    code = "SR-DEPLOY-FAILS"
    fix = "Do what stands beside each replica in strongroom deploy status."


class ReplicasNotReady(Unreachable):
    """Replicas were not ready in time."""

    code = "SR-DEPLOY-NOT-READY"
    fix = "strongroom deploy status says what each waits for; wait longer with --timeout."


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many replicas are wanted, exist, and have proved themselves; and those that stand in the way."""

    wanted: int
    ready: int
    outdated: int  # pods of an older template that are still there
    done: bool
    troubled: tuple[Replica, ...] = ()  # refused first, then failed, then those that wait

    def __str__(self) -> str:
        words = f"{self.ready} of {self.wanted} replicas have proved themselves and are ready"
        words += f", {self.outdated} of the old version still run" if self.outdated else ""
        return words + "".join(f"; {each.pod}: {each.words}" for each in self.troubled[:MAX_NAMED])


_ORDER: Final = (Standing.REFUSED, Standing.FAILED, Standing.WAITING, Standing.STARTING)


def progress(workload: Workload | None, replicas: Sequence[Replica], *, wanted: int | None = None) -> Progress:
    """Return how far one workload has come; `wanted`: replicas, where the workload itself does not say it yet."""
    count = wanted if wanted is not None else (workload.wanted if workload else 1)
    there = [each for each in replicas if each.standing is not Standing.LEAVING]
    ready = sum(each.ready for each in there)
    troubled = sorted(
        (each for each in there if not each.ready), key=lambda each: (_ORDER.index(each.standing), each.pod)
    )
    settled = workload is not None and workload.settled and workload.wanted == count
    outdated = max(0, workload.total - workload.updated) if workload is not None and workload.settled else 0
    updated = workload is not None and workload.updated == count and outdated == 0
    done = settled and updated and ready == count == len(there) and len(replicas) == count
    return Progress(wanted=count, ready=ready, outdated=outdated, done=done, troubled=tuple(troubled))


@dataclass(frozen=True, slots=True)
class Patience:
    """Since when (seconds of a clock that only goes forward) replicas have been refused, or have failed."""

    refused_since: float | None = None
    failed_since: float | None = None

    def after(self, seen: Progress, now_s: float) -> Patience:
        """Return what to remember after another look."""
        standings = {each.standing for each in seen.troubled}
        return Patience(
            refused_since=_since(self.refused_since, Standing.REFUSED in standings, now_s),
            failed_since=_since(self.failed_since, Standing.FAILED in standings, now_s),
        )

    def exhausted(self, seen: Progress, now_s: float, *, deadline_s: float) -> StrongroomError | None:
        """Return why waiting longer makes no sense, None while it does."""
        if self.refused_since is not None and now_s - self.refused_since >= REFUSED_PATIENCE_S:
            return ended(seen)
        if self.failed_since is not None and now_s - self.failed_since >= FAILED_PATIENCE_S:
            return ended(seen)
        return ended(seen) if now_s >= deadline_s else None


def ended(seen: Progress) -> StrongroomError:
    """Return what keeps a deployment from being done, as an error of the family whose move it is."""
    worst = seen.troubled[0].standing if seen.troubled else Standing.STARTING
    kind = {Standing.REFUSED: ReplicasRefused, Standing.FAILED: ReplicasFail}.get(worst, ReplicasNotReady)
    fix = next((each.fix for each in seen.troubled if each.fix and each.standing is worst), None)
    return kind(str(seen), fix=fix)


def _since(before: float | None, now: bool, now_s: float) -> float | None:
    return None if not now else now_s if before is None else before
