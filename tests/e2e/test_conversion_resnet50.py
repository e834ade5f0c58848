"""ResNet50 v1.5 from a fixed seed, from every source to SavedModel and ONNX, as an owner types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT_S = 600
# One process for all three: importing TensorFlow takes as long as converting.
CONVERT = """
import sys
from strongroom.cli import main
for line in sys.stdin:
    status = main(["model", "convert", "--json", *line.split()])
    if status:
        sys.exit(status)
"""
LINES = """
--import_path resnet50-v15-fp32.pb --export_dir frozen --inputs input --outputs predict --format both
--import_path saved_model/1 --export_dir saved --format onnx --model_version 2
--import_path resnet50.keras --export_dir keras --format both
"""


def run(words, cwd, text=""):
    done = subprocess.run([sys.executable, *words], cwd=cwd, input=text, capture_output=True, text=True, check=False,
                          timeout=LIMIT_S, env=os.environ)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_resnet50_converts_from_every_source_within_rounding(tmp_path):
    pytest.importorskip("tf2onnx")
    run([str(REPOSITORY / "bench" / "models" / "resnet50.py"), ".", "keras", "frozen", "saved_model"], tmp_path)
    printed = run(["-c", CONVERT], tmp_path, LINES.strip())
    frozen, saved, keras = (json.loads(line) for line in printed.splitlines())
    assert (frozen["source"]["kind"], saved["source"]["kind"], keras["source"]["kind"]) == (
        "frozen GraphDef", "SavedModel", "Keras file",
    )  # fmt: skip
    picture = {"dtype": "float32", "shape": [None, 224, 224, 3]}
    assert frozen["signatures"]["serving_default"]["inputs"] == {"input": picture}
    assert saved["signatures"]["serving_default"]["inputs"] == {"input": picture}
    assert keras["signatures"]["serving_default"]["inputs"] == {"input": picture}
    for report in (frozen, saved, keras):
        for result in report["results"]:
            (difference,) = result["differences"]
            assert difference["values"] == 4 * 1000
            assert difference["relative"] < 1e-5
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*/model.onnx"))
    assert written == ["frozen/onnx/1/model.onnx", "keras/onnx/1/model.onnx", "saved/2/model.onnx"]
    assert all((tmp_path / path).stat().st_size > 100e6 for path in written)
