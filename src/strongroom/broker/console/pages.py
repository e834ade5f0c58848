"""The console's pages: ask, make view models, show. Nothing here changes anything.

Handlers block on the store and run in threads. What a role does not have is left out of a page that others see more of,
and refused where the whole page is about it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from starlette.responses import JSONResponse, PlainTextResponse, Response

from strongroom.broker.admin.problems import NoSuchThing
from strongroom.broker.admin.roles import Actor, permit
from strongroom.broker.console import (
    collateral_views,
    decision_views,
    ledger_views,
    overview_views,
    policy_views,
    views,
)
from strongroom.broker.console.decision_views import PAGE, DecisionView, Filters
from strongroom.broker.console.facts import GroundFact, LeaseFact, PolicyFact
from strongroom.broker.console.overview_views import Attention, Figure, Today
from strongroom.broker.console.visit import Visit
from strongroom.broker.console.wording import Badge, Tone, count, moment
from strongroom.broker.names import DEFAULT_TENANT
from strongroom.errors import Tampered

LATEST: Final = 8
DENIALS: Final = 200  # decisions that are looked through for a replica's last refusal
HISTORY: Final = 50
_MAX_SEQ: Final = 2**63 - 1


def overview(visit: Visit) -> Response:
    """What needs attention, the few numbers, and what came last."""
    actor, now_ms = visit.actor, visit.now_ms
    permit(actor, "status")
    ground = visit.part("status", lambda: visit.facts.ground(actor), None)
    leases = visit.part("list_leases", lambda: visit.facts.leases(actor), ())
    latest = visit.part("list_decisions", lambda: _latest(visit), ())
    today = visit.part("list_decisions", lambda: _today(visit), None)
    proposals, has_rules = visit.part("policy_history", lambda: _policies_glance(visit), (0, True))
    attention = _troubles(visit) + (
        () if ground is None
        else overview_views.attention(ground, leases, now_ms, proposals=proposals, has_rules=has_rules)
    )  # fmt: skip
    return visit.show(
        "overview.html", "", attention=attention, figures=_figures(visit, ground, leases, today), today=today,
        decisions=latest, sees_decisions=visit.may("list_decisions"), ground=ground,
        brokers=() if ground is None else overview_views.brokers(ground.brokers, now_ms),
    )  # fmt: skip


def _troubles(visit: Visit) -> tuple[Attention, ...]:
    return tuple(
        Attention(tone=Tone.BAD, what=f"{each.sentence} [{each.code}]", todo=each.fix,
                  href="ledger" if isinstance(each, Tampered) else "")
        for each in visit.problems
    )  # fmt: skip


def _latest(visit: Visit) -> tuple[DecisionView, ...]:
    found, _ = visit.facts.decisions(visit.actor, before=None, limit=LATEST)
    return tuple(decision_views.decision(line, visit.now_ms) for line in found)


def _today(visit: Visit) -> Today:
    actor = visit.actor
    recent, complete = visit.desk.tally.recent(
        actor.tenant, visit.now_ms, lambda before, limit: visit.facts.decisions(actor, before=before, limit=limit)
    )
    return overview_views.today(recent, visit.now_ms, complete=complete)


def _policies_glance(visit: Visit) -> tuple[int, bool]:
    """Return how many proposals wait, and whether any tenant's policy holds a rule."""
    proposals, rules = 0, False
    for tenant in _tenant_names(visit.actor, visit):
        versions = visit.facts.policies(visit.actor, tenant)
        proposals += len(policy_views.proposals(versions))
        current = policy_views.in_force(versions)
        rules = rules or (current is not None and _has_rules(_with_text(visit, current)))
    return proposals, rules


def _has_rules(fact: PolicyFact) -> bool:
    return "[[rule]]" in fact.text.replace(" ", "")


def _tenant_names(actor: Actor, visit: Visit) -> list[str]:
    return [actor.tenant] if actor.confined else [each.name for each in visit.facts.tenants(actor)]


def _figures(visit: Visit, ground: GroundFact | None, leases: Sequence[LeaseFact], today: Today | None) -> list[Figure]:
    found = []
    if today is not None:
        more = "" if today.complete else " or more"
        found += [
            Figure(name="Granted", number=f"{today.granted:,}", note=f"in 24 hours{more}",
                   href="decisions?outcome=granted"),
            Figure(name="Denied", number=f"{today.denied:,}", note=f"in 24 hours{more}",
                   href="decisions?outcome=denied", tone=Tone.BAD if today.denied else Tone.QUIET),
        ]  # fmt: skip
    if visit.may("list_leases"):
        live = [each for each in leases if views.is_live(each, visit.now_ms)]
        holders = {each.holder for each in live}
        found.append(
            Figure(name="Replicas", number=f"{len(holders):,}", note=f"with {count(len(live), 'live lease')}",
                   href="replicas")
        )  # fmt: skip
    if ground is not None:
        found.append(Figure(name="Ledger", number=f"{ground.head.seq + 1:,}", note="lines", href="ledger"))
        left = overview_views.least_days(ground.collateral, visit.now_ms)
        tone = Tone.QUIET if left is None or left >= overview_views.SOON_DAYS else Tone.WARN if left > 0 else Tone.BAD
        note = "no collateral" if left is None else "days left at least"
        found.append(
            Figure(name="Collateral", number=collateral_views.days_text(left), note=note, href="collateral", tone=tone)
        )
    return found


def replicas(visit: Visit) -> Response:
    """Who holds keys, and how far they are trusted."""
    leases = visit.facts.leases(visit.actor)
    denials, _ = visit.part(
        "list_decisions",
        lambda: visit.facts.decisions(visit.actor, before=None, limit=DENIALS),
        ((), 0),
    )
    refused = [
        decision_views.decision(each, visit.now_ms) for each in denials if each.entry.get("decision") == "denied"
    ]
    return visit.show("replicas.html", "replicas", replicas=views.replicas(leases, refused, visit.now_ms))


def decisions(visit: Visit) -> Response:
    """Every decision, newest first, narrowed by filters."""
    outcome = visit.query("outcome")
    filters = Filters(
        outcome=outcome if outcome in {"granted", "denied"} else "", secret=visit.query("secret"),
        rule=visit.query("rule"), peer=visit.query("peer"), code=visit.query("code"),
    )  # fmt: skip
    before = _number(visit.query("before"))
    keep = filters.keeps if filters.any else None
    found, on = visit.facts.decisions(visit.actor, before=before, limit=PAGE, keep=keep)
    words = {name: value for name in Filters.__dataclass_fields__ if (value := getattr(filters, name))}
    place = f"{visit.base}/decisions"
    return visit.show(
        "decisions.html", "decisions", filters=filters, live=before is None,
        decisions=[decision_views.decision(each, visit.now_ms) for each in found],
        older=f"{place}?{urlencode(words | {'before': str(on)})}" if on else "",
        newer=f"{place}?{urlencode(words)}" if before is not None else "",
    )  # fmt: skip


def _number(text: str) -> int | None:
    return min(int(text), _MAX_SEQ) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _seq(visit: Visit) -> int:
    found = _number(str(visit.request.path_params["seq"]))
    if found is None or found == _MAX_SEQ:
        raise NoSuchThing("there is no such line")
    return found


def decision(visit: Visit) -> Response:
    """One decision with its reasons, its evidence and its line."""
    line = visit.facts.decision(visit.actor, _seq(visit))
    page = decision_views.decision_page(line, visit.now_ms)
    return visit.show("decision.html", "decisions", live=False, page=page, may_prove=visit.may("prove_inclusion"))


def proof(visit: Visit) -> Response:
    """The proof that a decision's line is in the ledger, as a file."""
    seq = _seq(visit)
    found = visit.facts.proof(visit.actor, seq)
    name = f'attachment; filename="strongroom-line-{seq}-proof.json"'
    return Response(
        json.dumps(dict(found), indent=2) + "\n",
        media_type="application/json",
        headers={"Content-Disposition": name},
    )


def models(visit: Visit) -> Response:
    """What can be released: names, versions, floors; never a value."""
    secrets = visit.facts.secrets(visit.actor)
    leases = visit.part("list_leases", lambda: visit.facts.leases(visit.actor), ())
    floors = visit.part("list_floors", lambda: visit.facts.floors(visit.actor), ())
    return visit.show(
        "models.html", "models", models=views.models(secrets, floors, leases, visit.now_ms),
        secrets=views.other_secrets(secrets, leases, visit.now_ms), sees_leases=visit.may("list_leases"),
        sees_floors=visit.may("list_floors"),
    )  # fmt: skip


def leases(visit: Visit) -> Response:
    """Leases and revocations, with what the role may do about them."""
    found = [views.lease(each, visit.now_ms) for each in visit.facts.leases(visit.actor)]
    revoked = visit.part("list_revocations", lambda: visit.facts.revocations(visit.actor), ())
    return visit.show(
        "leases.html", "leases", leases=sorted(found, key=lambda each: not each.live),
        revocations=views.revocations(revoked, visit.now_ms), may_end=visit.may("end_lease"),
        may_revoke=visit.may("add_revocation"),
    )  # fmt: skip


def policy(visit: Visit) -> Response:
    """The policy in force, what it changed, and what waits for a second owner."""
    names = _tenant_names(visit.actor, visit)
    default = DEFAULT_TENANT if DEFAULT_TENANT in names else next(iter(names), DEFAULT_TENANT)
    tenant = visit.query("tenant", 63) or default
    history = visit.facts.policies(visit.actor, tenant)
    current = policy_views.in_force(history)
    waiting = policy_views.proposals(history)
    return visit.show(
        "policy.html", "policy", tenant=tenant, tenant_names=names,
        current=None if current is None else _version(visit, current, policy_views.before(history, current)),
        proposals=[_version(visit, each, current) for each in waiting],
        history=policy_views.rows(history[:HISTORY], visit.now_ms), may_vote=visit.may("approve_policy"),
    )  # fmt: skip


def _version(visit: Visit, fact: PolicyFact, old: PolicyFact | None) -> policy_views.VersionView:
    return policy_views.version(_with_text(visit, fact), None if old is None else _with_text(visit, old), visit.now_ms)


def _with_text(visit: Visit, fact: PolicyFact) -> PolicyFact:
    if fact.text:
        return fact
    return policy_views.with_text(fact, visit.facts.policy_text(visit.actor, fact.tenant, fact.version))


def ledger(visit: Visit) -> Response:
    """The ledger's end, its newest checkpoint and lines, and the button that verifies it."""
    actor, may_verify = visit.actor, visit.may("ledger_lines")
    permit(actor, "ledger_head")
    head = visit.part("ledger_head", lambda: visit.facts.head(actor), None)
    point = visit.part("ledger_checkpoint", lambda: visit.facts.checkpoint(actor), None)
    found = visit.part("ledger_lines", lambda: visit.facts.lines(actor, 25), ())
    return visit.show(
        "ledger.html", "ledger", head=head, head_problem=next(iter(visit.problems), None), checkpoint=point,
        checkpoint_when=None if point is None else moment(point.time_ms, visit.now_ms),
        lines=ledger_views.lines(found, visit.now_ms), may_verify=may_verify,
        check=ledger_views.check(visit.desk.check.last, visit.now_ms) if may_verify else None,
    )  # fmt: skip


def checkpoint(visit: Visit) -> Response:
    """The newest signed root, as a file."""
    found = visit.facts.checkpoint(visit.actor)
    if found is None:
        raise NoSuchThing("no checkpoint is signed yet")
    return PlainTextResponse(
        found.text, headers={"Content-Disposition": 'attachment; filename="strongroom-checkpoint.txt"'}
    )


def collateral(visit: Visit) -> Response:
    """How long the reference data of each platform family still serves."""
    found = visit.facts.ground(visit.actor).collateral
    return visit.show("collateral.html", "collateral", families=collateral_views.families(found, visit.now_ms))


def people(visit: Visit) -> Response:
    """Tenants, and who may do what."""
    admins = visit.facts.admins(visit.actor)
    tenants = [
        {"name": each.name, "when": moment(each.created_ms, visit.now_ms),
         "badge": Badge(each.state.capitalize(), Tone.GOOD if each.state == "active" else Tone.WARN)}
        for each in visit.facts.tenants(visit.actor)
    ]  # fmt: skip
    return visit.show(
        "people.html", "people", tenant_rows=tenants, admins=views.admins(admins, visit.now_ms),
        may_add=visit.may("add_admin"), may_add_tenant=visit.may("create_tenant"),
    )  # fmt: skip


def pulse(visit: Visit) -> Response:
    """What the script asks every other second: has anything changed?"""
    return JSONResponse({"mark": visit.mark()})
