"""Replay the cases of one group on every front, hold the fronts against each other, and make further observations."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from case_files import BadCases, Case, CaseFile, Group
from case_servers import Begin, CaseServer, NotStarted, begin_process, servers
from matchers import GrpcAnswer, RestAnswer, grpc_differences, rest_differences

from strongroom.tfserving import messages

SETTLE_S = 30.0
TWIN = "twin"  # in the place of a front's name: both fronts, against each other


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went on one front: no differences, or what they are; `notes` is what nobody looked at."""

    case: Case
    front: str
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def line(self) -> str:
        """The outcome as one line of the report."""
        word = "FAILED" if self.differences else "ok"
        rest = "; ".join((*self.differences, *(f"not looked at: {note}" for note in self.notes)))
        return " ".join(filter(None, (word, self.case.id, self.front, self.case.title, f"- {rest}" if rest else "")))


def replay(
    file: CaseFile, group: Group, cases: Sequence[Case], fronts: tuple[str, ...], begin: Begin = begin_process
) -> list[Outcome]:
    """Run a group's cases on every front, each against a server of its own."""
    with servers(file, group, fronts, begin) as running:
        found: list[Outcome] = []
        for case in cases:
            answers: dict[str, RestAnswer | GrpcAnswer] = {}
            for front in fronts:
                server = running[front]
                if isinstance(server, NotStarted):
                    found.append(Outcome(case, front, (f"the server did not start: {' '.join(str(server).split())}",)))
                    continue
                outcome, answer = _run(file, case, front, server)
                found.append(outcome)
                if answer is not None:
                    answers[front] = answer
            if len(answers) == len(fronts) > 1:
                found.append(_twin(case, answers))
        return found


def _run(file: CaseFile, case: Case, front: str, server: CaseServer) -> tuple[Outcome, RestAnswer | GrpcAnswer | None]:
    try:
        if case.kind == "rest":
            answer = server.rest(case)
            return Outcome(case, front, tuple(rest_differences(case.told, answer, file.testdata))), answer
        reply = server.grpc(case)
        differences = grpc_differences(case.told, reply)
        more, notes = _observe(case, server)
        return Outcome(case, front, (*differences, *more), tuple(notes)), reply
    except (OSError, http.client.HTTPException, BadCases) as problem:
        return Outcome(case, front, (f"no answer: {type(problem).__name__}: {problem}",)), None


def _twin(case: Case, answers: dict[str, RestAnswer | GrpcAnswer]) -> Outcome:
    (first, one), *others = answers.items()
    different = [name for name, other in others if not one.same_as(other)]  # type: ignore[arg-type]  # of one case
    return Outcome(case, TWIN, tuple(f"{name} did not answer as {first}" for name in different))


def _observe(case: Case, server: CaseServer) -> tuple[list[str], list[str]]:
    """Make the further observations that a case tells in prose; return differences, and prose that nobody knows."""
    differences, notes = [], []
    for sentence in case.told.get("check", {}).get("then", []):
        for pattern, look in _OBSERVATIONS:
            if match := re.fullmatch(pattern, sentence):
                differences += look(case, server, match)
                break
        else:
            notes.append(sentence)
    return differences, notes


def _predicts(_: Case, server: CaseServer, match: re.Match[str]) -> list[str]:
    request = messages.PredictRequest()
    request.model_spec.name = match["model"]
    values = [float(word) for word in match["x"].split(",")]
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=len(values))
    request.inputs["x"].float_val.extend(values)
    answer = server.call(messages.PREDICT, request.SerializeToString())
    seen = list(answer.message.outputs["y"].float_val) if answer.message is not None else answer.details
    wanted = [float(word) for word in match["y"].split(",")]
    return [] if seen == wanted else [f"afterwards {match[0]!r}: {seen}"]


def _old_model_ends(case: Case, server: CaseServer, _: re.Match[str]) -> list[str]:
    """Wait until no version of the model that the server began with is anything but END."""
    assert case.group is not None  # noqa: S101  # gRPC cases have one
    asked = messages.GetModelStatusRequest()
    asked.model_spec.name = case.group.served_as
    deadline = time.monotonic() + SETTLE_S
    while True:
        answer = server.call(messages.GET_MODEL_STATUS, asked.SerializeToString())
        states = [row.state for row in answer.message.model_version_status] if answer.message is not None else []
        if states and set(states) == {50}:
            return []
        if time.monotonic() > deadline:
            return [f"the old model did not end: {states or answer.details}"]
        time.sleep(0.05)


_OBSERVATIONS: Sequence[tuple[str, Callable[[Case, CaseServer, re.Match[str]], list[str]]]] = (
    (r"Predict (?P<model>\w+) x=\[(?P<x>[\d., -]+)\] gives \[?(?P<y>[\d., -]+)\]?", _predicts),
    (r"old model leaves AVAILABLE and ends in END", _old_model_ends),
)
