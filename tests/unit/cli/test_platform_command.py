"""`strongroom platform`: one screen for people, one object for machines, and a PCCS that is asked or not."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from strongroom.cli import main


@pytest.fixture(autouse=True)
def no_world(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    for name, content in {
        "proc/sys/kernel/osrelease": "6.8.0\n",
        "proc/cpuinfo": "processor : 0\nvendor_id : GenuineIntel\nflags : fpu sgx sgx_lc\n",
        "dev/sgx_enclave": "",
        "dev/sgx_provision": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "etc").mkdir()
    return folder


@pytest.fixture
def pccs():
    """Return (address, paths asked for) of a server that answers the root CRL."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"3000")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/sgx/certification/v4/", asked
        server.shutdown()
        thread.join()


def looked(root, capsys, *words):
    assert main(["platform", "--json", "--root", str(root), *words]) == 0
    return json.loads(capsys.readouterr().out)


def finding(found, topic):
    return next(each for each in found["findings"] if each["topic"] == topic)


def test_this_machine_can_be_looked_at(capsys):
    assert main(["platform", "--offline"]) == 0
    out = capsys.readouterr().out
    assert "Can be used now: " in out
    assert "Next: " in out
    assert len(out.splitlines()) < 40


def test_people_see_marks_sentences_fixes_and_the_next_step(root, capsys):
    assert main(["platform", "--root", str(root), "--offline"]) == 0
    out = capsys.readouterr().out
    assert "✓ SGX" in out
    assert "✗ quoting service" in out
    assert "→ Install sgx-aesm-service" in out
    assert out.splitlines()[-1].startswith("Next: quoting service: Install")
    assert len(out.splitlines()) <= 24, "it does not fit one screen"


def test_machines_get_facts_findings_and_next_step(root, capsys):
    found = looked(root, capsys, "--offline")
    assert found["facts"]["processor"]["sgx"] is True
    assert found["facts"]["qcnl"] is None
    assert finding(found, "quoting service")["standing"] == "missing"
    assert found["usable"] == []
    assert found["next_step"].startswith("quoting service: ")


def test_a_pccs_that_answers_is_said_to(root, pccs, capsys):
    url, asked = pccs
    (root / "etc/sgx_default_qcnl.conf").write_text(f'{{"pccs_url": "{url}"}} // ours')
    found = looked(root, capsys)
    assert finding(found, "PCCS") == {"topic": "PCCS", "standing": "good", "sentence": f"{url} answers", "fix": None}
    assert asked == ["/sgx/certification/v4/rootcacrl"]


def test_a_pccs_is_left_alone_when_told(root, pccs, capsys):
    url, asked = pccs
    (root / "etc/sgx_default_qcnl.conf").write_text(f'{{"pccs_url": "{url}"}}')
    assert "not asked" in finding(looked(root, capsys, "--offline"), "PCCS")["sentence"]
    assert asked == []


def test_a_pccs_that_is_not_there_is_said_so(root, pccs, capsys):
    (root / "etc/sgx_default_qcnl.conf").write_text('{"pccs_url": "http://127.0.0.1:1/sgx/certification/v4/"}')
    found = looked(root, capsys)
    assert finding(found, "PCCS")["standing"] == "missing"
    assert "strongroom pccs serve" in finding(found, "PCCS")["fix"]


@pytest.mark.parametrize("content", ["{", '{"pccs_url": 7}', "\xff"])
def test_a_garbled_configuration_is_a_finding_and_no_failure(root, capsys, content):
    (root / "etc/sgx_default_qcnl.conf").write_bytes(content.encode("latin-1"))
    found = looked(root, capsys)
    assert finding(found, "PCCS")["standing"] == "missing"
    assert "sgx_default_qcnl.conf" in finding(found, "PCCS")["fix"]
