"""ONNX Runtime says nothing to anybody: its telemetry is off before it is imported."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import strongroom

HOLDER = "bundles/onnx_runtime.py"
LOAD = """
from strongroom.bundles.onnx_runtime import onnxruntime
from strongroom.bundles import signatures_of
from pathlib import Path
import sys
print(sorted(signatures_of(Path(sys.argv[1]), "onnx")))
"""


def test_nothing_but_the_one_module_imports_onnx_runtime():
    source = Path(strongroom.__file__).parent
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "onnxruntime" in text else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if "onnxruntime" in {name.split(".")[0] for name in names}:
                assert path.relative_to(source).as_posix() == HOLDER, f"line {node.lineno}"


def test_sv_02_a_process_that_loads_a_model_leaves_no_telemetry_files(tmp_path):
    from onnx import TensorProto, helper

    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g",
        [info("x", TensorProto.FLOAT, [1])], [info("y", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder, home = tmp_path / "model", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder)], env=environ, cwd=home, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['serving_default']\n"
    assert list(home.rglob("*")) == []
