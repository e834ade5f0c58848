"""Keep the owner's workspace in step with a broker that runs in the cluster.

Such a broker works on a copy in its pod's memory. When the pod is replaced it gets a new copy: what a rollout has
changed there must be in it, or the new version would be refused and the old one released to. World: two desks.
"""

from __future__ import annotations

from typing import Final

from strongroom.broker.admin.desk import Desk
from strongroom.broker.names import DEFAULT_TENANT

REASON: Final = "replaced by strongroom deploy rollout"  # of every revocation that a rollout makes


def mirror(there: Desk, here: Desk, *, tenant: str = DEFAULT_TENANT) -> None:
    """Let `here` have the policy in force, the revocations and the floors of `there`; what was revoked here stays so.

    Only a revocation that a rollout made, and that is not in force there any more, is lifted here too.
    """
    wanted = str(there.show_policy(tenant=tenant)["text"])
    if wanted != str(here.show_policy(tenant=tenant)["text"]):
        here.put_policy(tenant=tenant, text=wanted)
    _revocations(there, here)
    known = {(each["tenant"], each["model"]): each["min_version"] for each in here.list_floors()}
    for floor in there.list_floors():
        if known.get((floor["tenant"], floor["model"]), 0) < floor["min_version"]:
            here.raise_floor(tenant=floor["tenant"], model=floor["model"], version=floor["min_version"])


def _revocations(there: Desk, here: Desk) -> None:
    live = {_what(each): each for each in there.list_revocations()}
    known = {_what(each): each for each in here.list_revocations()}
    for what, each in live.items():
        if what not in known:
            here.add_revocation(tenant=each["tenant"], kind=each["kind"], value=each["value"], reason=each["reason"])
    for what, each in known.items():
        if what not in live and str(each["reason"]).startswith(REASON):
            here.lift_revocation(revocation=each["id"], reason="lifted at the broker in the cluster")


def _what(revocation: dict[str, object]) -> tuple[object, ...]:
    return revocation["tenant"], revocation["kind"], revocation["value"]
