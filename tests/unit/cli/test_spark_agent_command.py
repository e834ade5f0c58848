"""`strongroom spark agent` with keys in files: for trying things out, without a broker and without proof."""

import sys

import pytest

from strongroom.analytics.keys.files import write_ring
from strongroom.cli import main
from strongroom.datasets.key_ring import KeyRing

PROGRAM = """
import os
from strongroom.analytics.keys.opening import default_keys
keys = default_keys(os.environ)
data_key = keys.new_data_key("people")
print("NAMES", *keys.names(), data_key.key_id, len(keys.unwrap(data_key.key_id, data_key.wrapped)))
raise SystemExit(7)
"""


@pytest.fixture
def keys(tmp_path):
    """Return a reference to key files with the primary keys `people` and `other`."""
    for name in ("people", "other"):
        write_ring(tmp_path / "keys", KeyRing.fresh(name))
    return f"file:{tmp_path / 'keys'}"


def agent(*words):
    return main(["spark", "agent", *words])


def test_a_program_has_the_named_keys_of_a_folder_and_no_others(keys, capfd):
    assert agent("--keys", keys, "--key", "people", "--", sys.executable, "-c", PROGRAM) == 7
    assert "NAMES people people.1 16" in capfd.readouterr().out


def test_a_program_does_not_start_without_its_key(keys, tmp_path, capfd):
    started = tmp_path / "started"
    touch = (sys.executable, "-c", f"open({str(started)!r}, 'w')")
    assert agent("--keys", keys, "--key", "pay", "--", *touch) == 3
    assert "SR-DATA-KEY-DENIED" in capfd.readouterr().err
    assert agent("--", *touch) == 1
    assert "--keys file:FOLDER" in capfd.readouterr().err
    assert not started.exists()


@pytest.mark.parametrize("other", [("--broker", "https://b:1"), ("--job", "demo")], ids=["broker", "job"])
def test_files_are_not_asked_beside_a_broker_or_for_a_jobs_secret(keys, capfd, other):
    assert agent("--keys", keys, *other, "--", "true") == 1
    assert "from a broker, or from files" in capfd.readouterr().err


def test_a_token_of_a_page_needs_the_page(keys, capfd):
    assert agent("--keys", keys, "--ui-token", "page.token", "--", "true") == 1
    assert "--ui-ca" in capfd.readouterr().err


def test_an_09_a_program_finds_its_pages_token_in_memory_and_people_by_links(keys, tmp_path, capfd):
    look = "import pathlib, sys; print('HAS', pathlib.Path(sys.argv[1]).read_text())"
    ui = ("--ui-ca", str(tmp_path / "ca.pem"), "--ui-token", str(tmp_path / "page.token"))
    assert agent("--keys", keys, *ui, "--", sys.executable, "-c", look, "{MEMORY}/page.token") == 0
    (line,) = (each for each in capfd.readouterr().out.splitlines() if each.startswith("HAS "))
    assert len(bytes.fromhex(line.split()[1])) == 32
    for name in ("page.token", "page.header"):
        assert (tmp_path / name).is_symlink()
        assert not (tmp_path / name).exists()  # it went with the agent
