"""The parts of the bench: each measures one thing into a `Findings`, and says what was missing instead of failing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serving import floors, obvious
from serving.environments import PeerMissing
from serving.fronts import BEST, FRONTS, MLSERVER, TRITON, Front
from serving.http_load import exchange
from serving.load import WrongAnswer, ask
from serving.measure import Contestant, Effort, Measured, measure
from serving.memory import Memory, memory
from serving.models import IMAGE, JSON_MODELS, RESNET50, TINY, Model
from serving.saturation import Saturation, saturation
from serving.tls_files import Transport

ENGINE, RECEIVE, OBVIOUS = "engine in process", "TLS receive, discarded", "orjson + numpy on uvicorn"
IN_TURNS = f"{BEST.title}, in turns with that"


@dataclass(frozen=True)
class Cell:
    """What was measured: a model, a transport (empty in process), and who served it."""

    model: str
    transport: str
    server: str


@dataclass
class Findings:
    """Everything that one run found."""

    cells: dict[Cell, Measured] = field(default_factory=dict)
    memory: Memory | None = None
    saturation: Saturation | None = None
    missing: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Note a server that is missing or answers wrongly, and go on."""
        try:
            yield
        except (PeerMissing, WrongAnswer, AssertionError) as problem:
            self.missing[what] = str(problem)


@dataclass(frozen=True)
class Setting:
    """How to run: a folder for files, how long, whether peers take part, and where progress is said."""

    folder: Path
    effort: Effort
    peers: bool
    say: Callable[[str], None]


def grpc_part(model: Model) -> Callable[[Findings, Setting], None]:
    """Return a part: every front and peer with one model, over each transport; those of one transport in turns."""

    def run(findings: Findings, setting: Setting) -> None:
        findings.cells[Cell(model.name, "", ENGINE)] = floors.engine(model, setting.effort)
        fronts = [front for front in FRONTS if setting.peers or front not in (TRITON, MLSERVER)]
        for transport in Transport:
            setting.say(f"{model.title}, {transport}")
            side_by_side(findings, setting, model, transport, [each for each in fronts if transport in each.transports])

    return run


def side_by_side(
    findings: Findings, setting: Setting, model: Model, transport: Transport, fronts: Sequence[Front]
) -> None:
    """Start the servers that can be started, and measure them in turns; one that fails under load is left out."""
    contestants: dict[Cell, Contestant] = {}
    with ExitStack() as stack:
        for front in fronts:
            with findings.noting(f"{front.title}, {model.name}, {transport}"):
                server, target = stack.enter_context(front.serving(model, transport, setting.folder))
                one = Contestant(server, lambda count, target=target: ask(target, count))  # type: ignore[misc]  # a default binds the target
                one.warm_up(setting.effort)
                contestants[Cell(model.name, transport.value, front.title)] = one
        for _ in range(setting.effort.runs):
            for cell, one in contestants.items():
                with findings.noting(f"{cell.server}, {model.name}, {transport}"):
                    one.turn()
        whole = {cell: one for cell, one in contestants.items() if len(one.runs) == setting.effort.runs}
        findings.cells.update({cell: one.result() for cell, one in whole.items()})


def floor_part(findings: Findings, setting: Setting) -> None:
    """Receive 602 KB over TLS and throw it away, in turns with our server: what neighbours do, they do to both."""
    setting.say("602 KB over TLS, received and discarded, in turns with ours")
    tls = Transport.TLS
    with findings.noting(RECEIVE), ExitStack() as stack:
        floor = stack.enter_context(floors.receiver(IMAGE, setting.folder))
        server, target = stack.enter_context(BEST.serving(IMAGE, tls, setting.folder))
        found = measure([floor, Contestant(server, lambda count: ask(target, count))], setting.effort)
        for name, each in zip((RECEIVE, IN_TURNS), found, strict=True):
            findings.cells[Cell(IMAGE.name, tls.value, name)] = each


def json_part(findings: Findings, setting: Setting) -> None:
    """150,000 floats as JSON, in one list and nested as an image: our front and the obvious handler."""
    for model in JSON_MODELS:
        setting.say(f"{model.title} as JSON, TLS")
        json_side_by_side(findings, setting, model)


def json_side_by_side(findings: Findings, setting: Setting, model: Model) -> None:
    """Measure our front and the obvious handler with one model, in turns."""
    with findings.noting(f"{model.title} as JSON"), ExitStack() as stack:
        asked = {BEST.title: stack.enter_context(obvious.ours(setting.folder, model))}
        with findings.noting(OBVIOUS):
            asked[OBVIOUS] = stack.enter_context(obvious.obvious(setting.folder, model))
        contestants = [
            Contestant(server, lambda count, target=target: exchange(target, count))  # type: ignore[misc]  # as above
            for server, target in asked.values()
        ]
        for name, found in zip(asked, measure(contestants, setting.effort), strict=True):
            findings.cells[Cell(model.name, Transport.TLS.value, name)] = found


def memory_part(findings: Findings, setting: Setting) -> None:
    """Memory of a replica with ResNet50."""
    setting.say("memory of a replica")
    with findings.noting("memory"):
        findings.memory = memory(BEST, setting.folder)


def saturation_part(findings: Findings, setting: Setting) -> None:
    """ResNet50 under full load over mutual TLS."""
    setting.say("ResNet50 over mTLS, saturated")
    with findings.noting("saturation"):
        findings.saturation = saturation(BEST, setting.folder, setting.effort)


PARTS: Final[dict[str, Callable[[Findings, Setting], None]]] = {
    "tiny": grpc_part(TINY),
    "image": grpc_part(IMAGE),
    "floor": floor_part,
    "json": json_part,
    "memory": memory_part,
    "saturation": saturation_part,
    "resnet50": grpc_part(RESNET50),
}
