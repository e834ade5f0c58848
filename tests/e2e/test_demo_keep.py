"""`strongroom demo --keep`: the commands it prints work, and nothing of it outlives it."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

DEADLINE_S = 120


def processes_in(folder):
    """Return the ids of all processes whose working directory is below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            place = (entry / "cwd").readlink()
        except OSError:
            continue
        if place.is_relative_to(folder):
            found.append(int(entry.name))
    return found


@pytest.fixture
def demo(tmp_path):
    """Return a function that starts the demo with its temporary files below `tmp_path`; it is ended with the test."""
    started = []

    def start(*words):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "strongroom", "demo", "--plain", *words],
            env={**os.environ, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process, scratch

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        process.stdout.close()
        process.stderr.close()


def read_until(process, text):
    """Return the lines up to the one with `text`; a demo that does not come that far in time is ended."""
    lines = []
    watchdog = threading.Timer(DEADLINE_S, process.terminate)
    watchdog.start()
    try:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if text in line:
                return lines
    finally:
        watchdog.cancel()
    raise AssertionError(f"the demo ended before it said {text!r}: {lines[-5:]} {process.stderr.read()}")


def test_what_keep_prints_works_and_ctrl_c_ends_everything(demo, tmp_path):
    photo = tmp_path / "mine.png"
    Image.new("RGB", (400, 300), (20, 80, 200)).save(photo)
    process, scratch = demo("--keep", "--image", str(photo))
    lines = read_until(process, "Ctrl-C ends everything")
    folder = next(line.split()[1] for line in lines if line.strip().startswith("cd "))
    commands = [shlex.split(line) for line in lines if re.match(r"  /\S*strongroom ", line)]
    assert {command[1] for command in commands} == {"predict", "bench", "ledger", "policy", "doctor", "broker"}
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (command, done.stderr)
    assert "not proved: SECRECY" in run_example(commands[0], folder, photo)
    assert len(processes_in(scratch)) >= 5  # broker, two launchers, two replicas
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert processes_in(scratch) == []
    assert list(scratch.iterdir()) == []


def run_example(predict, folder, photo):
    """Run the SDK's example against the replicas that `predict` names."""
    example = Path(__file__).resolve().parents[2] / "examples" / "classify_photo.py"
    url = predict[predict.index("--url") + 1]
    return subprocess.run(
        [sys.executable, example, url, photo], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_leaves_nothing_behind(demo, number):
    process, scratch = demo()
    read_until(process, "[ 3]")
    assert processes_in(scratch)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert processes_in(scratch) == []
    assert list(scratch.iterdir()) == []


def test_a_photograph_that_is_none_is_told_before_anything_starts(demo, tmp_path):
    text = tmp_path / "photo.jpg"
    text.write_text("no photograph", encoding="utf-8")
    process, scratch = demo("--image", str(text))
    assert process.wait(30) == 2
    assert "SR-IMAGE" in process.stderr.read()
    assert list(scratch.iterdir()) == []


def test_the_material_can_be_written_out_for_use_by_hand(tmp_path):
    target = tmp_path / "sample"
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", "demo", "--export", str(target)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert sorted(path.relative_to(target).as_posix() for path in map(Path, done.stdout.split())) == [
        "china.jpg", "efficientnet-lite0/1/model.onnx", "flower.jpg", "labels.txt", "photos-README.txt",
    ]  # fmt: skip
    assert (target / "labels.txt").read_text(encoding="utf-8").splitlines()[985] == "daisy"
