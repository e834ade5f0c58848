"""ResNet50 v1.5 from a fixed seed, from every source to SavedModel and ONNX, as an owner types it.

A short kin of it goes: the same blocks and operators, fewer of them, on smaller pictures. `make conversion` takes the
whole network (102 MB).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FULL = "STRONGROOM_CONVERSION_FULL" in os.environ
LIMIT_S = 600
WHOLE = {}  # as bench/models/resnet50.py has it
SHORT = {"stages": [[64, 2], [128, 2]], "image": [64, 64, 3]}
# One process for all: importing TensorFlow takes as long as converting.
MAKE_AND_CONVERT = """
import json, os, sys
from pathlib import Path
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", KERAS_BACKEND="tensorflow")
sys.path.insert(0, sys.argv[1])
import resnet50
from strongroom.cli import main
for folder, sizes, sources, lines in json.load(sys.stdin):
    out = Path(folder)
    out.mkdir()
    model = resnet50.build(**sizes)
    if "keras" in sources:
        model.save(out / "resnet50.keras")
    if "saved_model" in sources:
        resnet50.write_saved_model(model, out / "saved_model" / "1")
    if "frozen" in sources:
        (out / "resnet50-v15-fp32.pb").write_bytes(resnet50.frozen_graph(model).SerializeToString(deterministic=True))
    del model
    os.chdir(out)
    for line in lines:
        status = main(["model", "convert", "--json", *line.split()])
        if status:
            sys.exit(status)
    os.chdir("..")
"""
FROZEN = "--import_path resnet50-v15-fp32.pb --export_dir frozen --inputs input --outputs predict"
EVERY_SOURCE = [
    f"{FROZEN} --format both",
    "--import_path saved_model/1 --export_dir saved --format onnx --model_version 2",
    "--import_path resnet50.keras --export_dir keras --format both",
]


def convert(cwd, *networks):
    """Make each network's sources and convert them; return the printed reports."""
    words = [sys.executable, "-c", MAKE_AND_CONVERT, str(REPOSITORY / "bench" / "models")]
    done = subprocess.run(words, cwd=cwd, input=json.dumps(networks), capture_output=True, text=True, check=False,
                          timeout=LIMIT_S, env=os.environ)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_resnet50_converts_from_every_source_within_rounding(tmp_path):
    pytest.importorskip("tf2onnx")
    sources = ["keras", "frozen", "saved_model"]
    frozen, saved, keras = convert(tmp_path, ["every", WHOLE if FULL else SHORT, sources, EVERY_SOURCE])
    reports = (frozen, saved, keras)
    assert [report["source"]["kind"] for report in reports] == ["frozen GraphDef", "SavedModel", "Keras file"]
    side = 224 if FULL else 64
    for report in reports:
        picture = {"dtype": "float32", "shape": [None, side, side, 3]}
        assert report["signatures"]["serving_default"]["inputs"] == {"input": picture}
        for result in report["results"]:
            (difference,) = result["differences"]
            assert difference["values"] == 4 * 1000
            assert difference["relative"] < 1e-5
    assert [len(report["results"]) for report in reports] == [2, 1, 2]
    written = {path.relative_to(tmp_path).as_posix(): path.stat().st_size for path in tmp_path.rglob("*/model.onnx")}
    assert set(written) == {
        "every/frozen/onnx/1/model.onnx", "every/keras/onnx/1/model.onnx", "every/saved/2/model.onnx",
    }  # fmt: skip
    assert min(written.values()) > (100e6 if FULL else 1e6)  # bytes
