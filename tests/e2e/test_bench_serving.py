"""`make bench-serving` in its shortest form: real servers, one model, no peers."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench"


def test_the_quick_form_measures_our_fronts_beside_grpcio(tmp_path):
    words = [sys.executable, "-m", "serving", "--trial", "--only", "tiny", "--no-peers", "--results", str(tmp_path)]
    done = subprocess.run(words, cwd=BENCH, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "serving-quick.json").read_text(encoding="utf-8"))
    assert all(what.startswith("strongroom, C codec") for what in written["missing"])  # where nothing was compiled
    cells = {(cell["transport"], cell["server"]) for cell in written["measurements"]}
    servers = {"strongroom, cffi codec", "strongroom --rpc=grpcio", "grpcio sync, raw bytes"}
    assert cells >= {(transport, server) for transport in ("plaintext", "TLS", "mTLS") for server in servers}
    assert all(cell["cpu_us"] > 0 for cell in written["measurements"])
    assert any(aim["value"] for aim in written["targets"])
    assert (tmp_path / "serving-quick.png").stat().st_size > 10_000
    assert "CPU time per request" in done.stdout


def test_a_part_that_does_not_exist_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "serving", "--only", "huge"], cwd=BENCH, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no such part: huge" in done.stderr
