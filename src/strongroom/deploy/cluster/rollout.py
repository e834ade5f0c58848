"""Carry out a rollout: each step against the cluster and the broker, remembered before and after.

World: kubectl, the API server, the broker, the clock, the workspace's state file. What the steps are and where each
outcome leads is `rollout_plan`; every step can be repeated after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from strongroom.broker.admin.desk import Desk
from strongroom.broker.policy.measurement_file import MeasuredBuild
from strongroom.deploy.cluster import rollout_policy
from strongroom.deploy.cluster.api_proxy import Api
from strongroom.deploy.cluster.broker_desk import newest_decisions
from strongroom.deploy.cluster.canary import Verdict, canary_name, canary_of, refusals, verdict
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.looking import look
from strongroom.deploy.cluster.objects import dig
from strongroom.deploy.cluster.progress import ReplicasFail, ReplicasNotReady, ReplicasRefused
from strongroom.deploy.cluster.replica_metrics import ReplicaMetrics
from strongroom.deploy.cluster.rollout_mirror import REASON, mirror
from strongroom.deploy.cluster.rollout_plan import SENTENCES, Limits, Outcome, Step, Watched, after, judge
from strongroom.deploy.cluster.rollout_settling import settle
from strongroom.deploy.cluster.rollout_state import RolloutState, save
from strongroom.deploy.cluster.waiting import LOOK_EVERY_S, Say, Waiting
from strongroom.deploy.kubernetes.naming import MODEL_SERVER
from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

PROOF_S: Final = 90.0
_AT_THE_BROKER: Final = (Step.ADMIT, Step.REVOKE, Step.LIFT, Step.WITHDRAW)
_REPLICAS: Final = (ReplicasRefused, ReplicasFail, ReplicasNotReady)


class RolledBack(Refused):
    """A rollout failed and the old version was brought back."""

    code = "SR-ROLLOUT-ROLLED-BACK"
    fix = "Mend what the sentence names, build again, and roll out anew; the old version serves meanwhile."


class RolloutWaits(Unreachable):
    """A rollout cannot go on now; nothing was lost, and it goes on where it stands."""

    code = "SR-ROLLOUT-WAITS"
    fix = "Do what the sentence says, then run strongroom deploy rollout without NEW to go on; --abort goes back."


class AwaitsOwners(Refused):
    """The policy that admits the new version waits for its owners' signatures."""

    code = "SR-ROLLOUT-AWAITS-OWNERS"
    fix = "Let the owners look at it and sign (strongroom policy approve), then run strongroom deploy rollout again."


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step that was carried out."""

    step: Step
    outcome: Outcome
    seconds: float
    why: str = ""

    def to_json_object(self) -> dict[str, Any]:
        """Return the step as JSON can write it."""
        return {
            "step": self.step.value, "outcome": self.outcome.value, "seconds": round(self.seconds, 1), "why": self.why,
        }  # fmt: skip


@dataclass
class Rollout:
    """One rollout on its way. `ask` lends the broker's administration."""

    deployment: Deployment
    api: Api
    ask: Callable[[], AbstractContextManager[Desk]]
    state: RolloutState
    say: Say
    limits: Limits = field(default_factory=Limits)
    timeout_s: float = 300.0
    own: Callable[[], AbstractContextManager[Desk]] | None = None  # the workspace, where the broker has a copy of it
    clock: Callable[[], float] = time.monotonic
    report: list[StepReport] = field(default_factory=list)

    def run(self) -> RolloutState:
        """Go on to the end. Raises RolledBack, RolloutWaits, AwaitsOwners, or what made a step impossible."""
        steps: dict[Step, Callable[[], None]] = {
            Step.ADMIT: self._admit, Step.SHIFT: self._shift, Step.WATCH: self._watch, Step.REVOKE: self._revoke,
            Step.PROVE: self._prove, Step.LIFT: self._lift, Step.RESTORE: self._restore,
            Step.WITHDRAW: self._withdraw,
        }  # fmt: skip
        save(self.deployment.workspace.folder, self.state)
        while not self.state.position.ended:
            step = self.state.position.step
            self.say(SENTENCES[step])
            began, outcome, why = self.clock(), Outcome.LATER, "it was interrupted"
            try:
                steps[step]()
                if step in _AT_THE_BROKER and self.own is not None:
                    with self.ask() as there, self.own() as here:
                        mirror(there, here, tenant=self.state.tenant)
                outcome, why = Outcome.DONE, ""
            except _StepFailed as failure:
                outcome, why = self._outcome_of(failure)
            finally:
                self.report.append(StepReport(step=step, outcome=outcome, seconds=self.clock() - began, why=why))
            self._remember(self.state.at(after(self.state.position, outcome, why)))
            if outcome is Outcome.LATER:
                raise RolloutWaits(f"{SENTENCES[step]}: {why}")
            if outcome is Outcome.FAILED:
                self.say(f"failed: {why}")
        self.say(SENTENCES[self.state.position.step])
        if self.state.position.step is Step.ROLLED_BACK:
            raise RolledBack(f"{self.state.label} was rolled back: {self.state.position.why}")
        return self.state

    def _outcome_of(self, failure: _StepFailed) -> tuple[Outcome, str]:
        """A model's floor is never lowered: once it is raised there is no way back, only further."""
        final = self.state.position.step in (Step.REVOKE, Step.PROVE) and not self.state.new_measurement
        return (Outcome.LATER if final or self.state.position.going_back else Outcome.FAILED), failure.why

    def _remember(self, state: RolloutState) -> None:
        self.state = state
        save(self.deployment.workspace.folder, state)

    def _admit(self) -> None:
        with self.ask() as desk:
            text = str(desk.show_policy(tenant=self.state.tenant)["text"])
            wanted, rules = self._policy(text)
            if wanted == text:
                return
            self._remember(replace(self.state, rules=rules))  # first: a crash must not leave rules that nobody knows of
            try:
                change = desk.put_policy(tenant=self.state.tenant, text=wanted)
            except BadInput as problem:
                raise _StepFailed(problem.sentence) from problem
        if change["proposed"]:
            self._remember(replace(self.state, proposed=int(change["proposed"])))
            raise AwaitsOwners(
                f"version {change['proposed']} of the policy of the tenant {self.state.tenant} admits more, and waits"
            )
        self.say(f"the policy's version {change['version']} admits it: {'; '.join(change['wider'])}")

    def _policy(self, text: str) -> tuple[str, tuple[str, ...]]:
        old, rules = self.state.old_measurements, self.state.rules
        if self.state.new_measurement:
            domain = {word: bytes.fromhex(value) for word, value in self.state.build.items()}
            enclave = None if domain else bytes.fromhex(self.state.new_measurement)
            text, added = rollout_policy.with_build(text, old, MeasuredBuild(mr_enclave=enclave, domain=domain or None))
            rules = (*rules, *added)
        if self.state.model:
            holders = (*old, self.state.new_measurement) if self.state.new_measurement else old
            text = rollout_policy.with_model(text, holders, self.state.model, self.state.model_version)
        return text, tuple(dict.fromkeys(rules))

    def _shift(self) -> None:
        self._apply(dict(self.state.new))

    def _restore(self) -> None:
        self._apply(dict(self.state.old))

    def _apply(self, wanted: dict[str, Any]) -> None:
        """Apply a Deployment with as many replicas as there are now, and wait for them."""
        live = self.deployment.kubectl.get("deployment", self.deployment.model_server)
        count = dig(live, "spec", "replicas", kind=int)
        if count is not None:
            wanted["spec"] = {**wanted["spec"], "replicas": count}
        try:
            self.deployment.kubectl.apply([wanted])
            Waiting(self.deployment, self.api, self.say, self.timeout_s).until_ready()
        except (*_REPLICAS, BadInput) as problem:
            raise _StepFailed(problem.sentence) from problem

    def _watch(self) -> None:
        began = self.clock()
        with ReplicaMetrics(self.deployment) as metrics:
            while True:
                outcome, why = judge(self._watched(self.clock() - began, metrics), self.limits)
                if outcome is Outcome.FAILED:
                    raise _StepFailed(why)
                if outcome is Outcome.DONE:
                    return
                time.sleep(LOOK_EVERY_S)

    def _watched(self, elapsed_s: float, metrics: ReplicaMetrics) -> Watched:
        seen = look(self.api, self.deployment.description, read=metrics.read)
        replicas = seen.of(MODEL_SERVER)
        workload = seen.workload(self.deployment.model_server)
        with self.ask() as desk:
            lines = newest_decisions(desk, tenant=self.state.tenant, since_seq=self.state.ledger_seq)
        return Watched(
            elapsed_s=elapsed_s, ready=sum(each.ready for each in replicas),
            wanted=workload.wanted if workload else 0, errors=sum(each.errors for each in seen.loads.values()),
            refusals=refusals(lines, self.state.new_measurement), restarts=sum(each.restarts for each in replicas),
        )  # fmt: skip

    def _revoke(self) -> None:
        with self.ask() as desk:
            try:
                if self.state.model:
                    desk.raise_floor(tenant=self.state.tenant, model=self.state.model, version=self.state.model_version)
                if self.state.new_measurement:
                    self._revoke_old(desk)
            except (BadInput, Refused) as problem:
                raise _StepFailed(problem.sentence) from problem

    def _revoke_old(self, desk: Desk) -> None:
        there = {str(each["value"]) for each in desk.list_revocations() if each["lifted_ms"] is None}
        for value in self.state.old_measurements:
            if value not in there:
                done = desk.add_revocation(
                    tenant=self.state.tenant, kind="measurement", value=value, reason=f"{REASON}: {self.state.label}"
                )
                self._remember(
                    replace(self.state, revocations=(*self.state.revocations, str(done["revocation"]["id"])))
                )
                self.say(f"{value[:16]}… is revoked; {len(done['ended'])} leases ended")

    def _prove(self) -> None:
        description, kubectl = self.deployment.description, self.deployment.kubectl
        name = canary_name(description)
        with self.ask() as desk:
            before = int(desk.ledger_head()["seq"])
        kubectl.delete("pod", [name])
        kubectl.apply([canary_of(description, self.state.old)])
        try:
            found, code = self._canary(name, before)
        finally:
            kubectl.delete("pod", [name], wait=False)
        if found is Verdict.ADMITTED:
            raise _StepFailed("an old replica was started and the broker admitted it")
        if found is Verdict.NOT_ASKED:
            raise RolloutWaits(f"an old replica did not come to ask the broker within {PROOF_S:.0f} seconds")
        self._remember(replace(self.state, proof=code))
        self.say(f"an old replica was started and refused: {code}")
        for words in settle(self.deployment.workspace.folder, self.state):
            self.say(words)

    def _canary(self, name: str, before: int) -> tuple[Verdict, str]:
        began = self.clock()
        found, code = Verdict.NOT_ASKED, ""
        while found is Verdict.NOT_ASKED and self.clock() - began < PROOF_S:
            time.sleep(LOOK_EVERY_S)
            pods = look(self.api, self.deployment.description).pods
            address = next((each.address for each in pods if each.name == name), "")
            with self.ask() as desk:
                lines = newest_decisions(desk, tenant=self.state.tenant, since_seq=before)
            found, code = verdict(lines, self.state.old_measurements, address=address)
        return found, code

    def _lift(self) -> None:
        with self.ask() as desk:
            for each in desk.list_revocations():
                mine = each["id"] in self.state.revocations or (
                    each["value"] in self.state.old_measurements and str(each["reason"]).startswith(REASON)
                )  # the second: of a step that was killed before it could remember the id
                if mine and each["lifted_ms"] is None:
                    desk.lift_revocation(revocation=each["id"], reason=f"rolled back: {self.state.position.why}"[:300])

    def _withdraw(self) -> None:
        with self.ask() as desk:
            if self.state.proposed:
                try:
                    desk.withdraw_policy(tenant=self.state.tenant, version=self.state.proposed)
                except StrongroomError as problem:  # it is in force by now, or somebody withdrew it
                    self.say(f"version {self.state.proposed} of the policy was not withdrawn: {problem.sentence}")
            text = str(desk.show_policy(tenant=self.state.tenant)["text"])
            wanted = rollout_policy.without(text, self.state.rules)
            if self.state.model:
                wanted = rollout_policy.without_model(wanted, self.state.model, self.state.model_version)
            if wanted != text:
                desk.put_policy(tenant=self.state.tenant, text=wanted)


class _StepFailed(Exception):
    """A step came to a bad end that the plan has an answer to."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
