"""The `file` verbs as a person meets them: defaults, refusals in one sentence, JSON, and nothing left behind."""

import json
import os
import stat
import subprocess
import sys

import pytest

from strongroom import sealing
from strongroom.cli import main
from strongroom.secret import Secret


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a key, a plaintext and its sealed file at models/m."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "key").write_bytes(bytes(range(1, 17)))
    (tmp_path / "plain").write_bytes(b"content" * 1000)
    assert main(["file", "encrypt", "-w", "key", "-i", "plain", "-o", "models/m"]) == 0
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run a `file` verb; give its status, standard output and standard error."""

    def run_(line):
        capsys.readouterr()
        status = main(["file", *line.split()])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_sealed_under_its_output_path_and_opened_by_its_input_path(here, run):
    assert run("decrypt -w key -i models/m -o back")[0] == 0
    assert (here / "back").read_bytes() == b"content" * 1000
    assert stat.S_IMODE((here / "back").stat().st_mode) == 0o600
    assert (here / "models" / "m").read_bytes()[8] == 1


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_a_name_that_cannot_be_printed_is_no_failure(here, encoding):
    """File names are bytes; whatever the terminal can show, the work is done and said."""
    sealed = os.fsencode(here / "models") + b"/\xff \xc3\xbc"
    for command in (
        [b"file", b"encrypt", b"-w", b"key", b"-i", b"plain", b"-o", sealed],
        [b"file", b"decrypt", b"-w", b"key", b"-i", sealed, b"-o", b"\xfe"],
        [b"file", b"pin", sealed],
        [b"file", b"inspect", b"-w", b"key", b"-i", sealed],
    ):
        program = [sys.executable, "-c", "import sys; from strongroom.cli import main; sys.exit(main())", *command]
        environ = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(program, cwd=here, env=environ, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\udcff" in done.stdout
    assert (here / os.fsdecode(b"\xfe")).read_bytes() == b"content" * 1000


def test_the_path_is_normalised_and_can_be_stated(here, run):
    assert run("encrypt -w key -i plain -o out --path ./a//b --format v2")[0] == 0
    assert (here / "out").read_bytes()[8] == 2
    assert sealing.unseal_bytes((here / "out").read_bytes(), Secret(bytes(range(1, 17))), stored_path="a/b")
    status, _, err = run("decrypt -w key -i out -o back --path file:a/b")
    assert status == 0
    assert "taking the manifest uri file:a/b" in err


def test_a_file_that_was_moved_is_refused_with_both_paths(here, run):
    (here / "models" / "m").rename(here / "models" / "n")
    status, out, err = run("decrypt -w key -i models/n -o back")
    assert (status, out) == (3, "")
    assert "SR-SEALED-PATH" in err
    assert "'models/m'" in err
    assert "'models/n'" in err
    assert names(here) == ["key", "models", "plain"]


def test_any_path_is_loud(here, run):
    (here / "models" / "m").rename(here / "n")
    for verb in ("decrypt -o back", "verify"):
        status, _, err = run(f"{verb} -w key -i n --any-path")
        assert status == 0
        assert "the stored path is not checked" in err


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("decrypt -i models/m -o back", 1, "-w/--wrap-key"),
        ("encrypt -i plain -o out", 1, "one of the arguments"),
        ("decrypt -w key -i models/m -o back --path x --any-path", 1, "not allowed with"),
        ("decrypt -w plain -i models/m -o back", 2, "SR-WRAP-KEY"),
        ("decrypt -w nokey -i models/m -o back", 2, "SR-FILE"),
        ("decrypt -w key -i nothing -o back", 2, "SR-FILE"),
        ("decrypt -w key -i plain -o back", 2, "SR-SEALED-HEADER"),
        ("decrypt -w key -i models -o back", 2, "SR-NOT-A-FILE"),
        ("decrypt -w key -i models/m -o models/m", 2, "SR-OUTPUT"),
        ("decrypt -w key -i models/m -o key", 2, "SR-OUTPUT-IS-KEY"),
        ("encrypt -w key -i plain -o key", 2, "SR-OUTPUT-IS-KEY"),
        ("encrypt -w key -i plain -o out --path ..", 2, "SR-STORED-PATH"),
        ("encrypt -w key -i plain -o out --workers 0", 1, "--workers"),
        ("encrypt -w key -i plain -o out --format v3", 1, "--format"),
        ("rekey -w key -i models/m", 1, "one of the arguments"),
        ("rekey -w key --to plain -i models/m", 2, "SR-WRAP-KEY"),
        ("rename -w key -i models/m --from other --path new", 3, "SR-SEALED-PATH"),
        ("pin models/m --expect 12", 1, "64 hex digits"),
        ("pin plain", 2, "SR-SEALED-HEADER"),
        ("inspect plain", 2, "SR-SEALED-HEADER"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(here, run, line, status, said):
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    got, out, err = run(line)
    assert (got, out) == (status, "")
    assert said in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_wrong_key_is_refused_as_wrong_key_or_tampering(here, run):
    (here / "other").write_bytes(os.urandom(16))
    status, _, err = run("verify -w other -i models/m")
    assert status == 3
    assert "SR-SEALED-METADATA" in err
    assert "not the file's wrap key, or node 0 was tampered with" in err


@pytest.mark.parametrize("bad", ["dda09c7c52359c9bc4e51982b97dd7fe", "00" * 16])
def test_kd_02_a_public_key_seals_nothing_and_opens_loudly(here, run, bad):
    (here / "bad").write_bytes(bytes.fromhex(bad))
    for line in ("encrypt -w bad -i plain -o out", "rekey -w key --to bad -i models/m"):
        status, _, err = run(line)
        assert status == 3
        assert "SR-WEAK-KEY" in err
    metadata = sealing.node0.Metadata(path=b"old", size=1, root=bytes(32), head=b"x")
    key = sealing.read_wrap_key(here / "bad")
    (here / "old").write_bytes(sealing.node0.seal_metadata(metadata, key, nonce=bytes(32), version=1))
    assert json.loads(run("inspect -w bad -i old --json")[1])["weak_key"] is True
    for line in ("decrypt -w bad -i old -o out", "verify -w bad -i old", "rekey -w bad --to key -i old"):
        status, _, err = run(line)
        assert status == 0
        assert "anyone can read what is sealed with it" in err
    assert (here / "out").read_bytes() == b"x"
    assert run("verify -w key -i old")[0] == 0


def test_a_new_key_is_made_with_the_file_and_goes_with_its_failure(here, run):
    assert run("encrypt --new-key fresh -i plain -o out")[0] == 0
    assert stat.S_IMODE((here / "fresh").stat().st_mode) == 0o600
    assert run("verify -w fresh -i out")[0] == 0
    assert run("encrypt --new-key fresh -i plain -o out2")[0] == 2  # never replaces a key
    assert run("encrypt --new-key other -i nothing -o out2")[0] == 2
    assert run("rekey -w fresh --new-key other -i models/m")[0] == 3
    assert names(here) == ["fresh", "key", "models", "out", "plain"]


def test_rekeying_replaces_the_file_and_says_what_it_does_not_do(here, run):
    status, out, err = run("rekey -w key --new-key new -i models/m --json")
    assert status == 0
    assert json.loads(out)["path"] == "models/m"
    assert "only sealing anew revokes" in err
    assert run("verify -w new -i models/m")[0] == 0
    assert run("verify -w key -i models/m")[0] == 3
    assert run("rekey -w new --to key -i models/m -o copy")[0] == 0
    assert run("verify -w key -i copy --path models/m")[0] == 0


def test_the_help_of_rekey_says_that_it_does_not_revoke(run):
    status, out, _ = run("rekey --help")
    assert status == 0
    assert "does NOT revoke" in out


def test_renaming_binds_a_moved_file_to_where_it_lies(here, run):
    (here / "models" / "m").rename(here / "models" / "n")
    status, out, _ = run("rename -w key -i models/n --from models/m")
    assert status == 0
    assert "'models/m', now to 'models/n'" in out
    assert run("verify -w key -i models/n")[0] == 0
    assert json.loads(run("rename -w key -i models/n -o o --path p --json")[1])["old_path"] == "models/n"
    assert run("verify -w key -i o --path p")[0] == 0


def test_the_pin_tells_versions_apart(here, run):
    _, out, _ = run("pin models/m")
    pin, path = out.split()
    assert (len(pin), path) == (64, "models/m")
    assert run(f"pin -i models/m --expect {pin.upper()}")[0] == 0
    assert json.loads(run("verify -w key -i models/m --json")[1])["pin"] == pin
    assert json.loads(run("pin models/m --json")[1]) == {"file": "models/m", "pin": pin}
    assert run("encrypt -w key -i plain -o models/m")[0] == 0
    status, _, err = run(f"pin models/m --expect {pin}")
    assert status == 3
    assert "SR-SEALED-PIN" in err


def test_inspect_needs_no_key_and_says_more_with_one(here, run):
    clear = json.loads(run("inspect -i models/m --json")[1])
    assert {name: clear[name] for name in ("version", "bytes", "nodes", "pending_write", "flags")} == {
        "version": 1, "bytes": 12288, "nodes": 3, "pending_write": False, "flags": 0,
    }  # fmt: skip
    assert clear["plain_size_least"] <= 7000 <= clear["plain_size_most"]
    assert "path" not in clear
    opened = json.loads(run("inspect -w key -i models/m --json")[1])
    assert (opened["path"], opened["size"], opened["weak_key"]) == ("models/m", 7000, False)
    _, out, _ = run("inspect models/m")
    assert "pin" in out
    assert "magic" in out
    assert "Gramine\n" in out


def test_an_unfinished_write_is_told_and_strictly_refused(here, run):
    run("encrypt -w key -i plain -o models/m --format v2")
    data = bytearray((here / "models" / "m").read_bytes())
    data[58] |= 1
    (here / "models" / "m").write_bytes(data)
    assert "unfinished write" in run("inspect models/m")[2]
    status, _, err = run("verify -w key -i models/m")
    assert status == 0
    assert "cut off" in err
    status, _, err = run("verify -w key -i models/m --strict")
    assert status == 3
    assert "SR-SEALED-PENDING" in err


def test_graphenes_magic_is_named_and_rewritten(here, run):
    data = (here / "models" / "m").read_bytes()
    (here / "models" / "m").write_bytes(b"GRAPH_PF" + data[8:])
    assert "Graphene" in run("inspect models/m")[1]
    assert run("rename -w key -i models/m")[0] == 0
    assert (here / "models" / "m").read_bytes()[:8] == b"GRAFS_PF"


def test_errors_are_json_when_asked(here, run):
    status, _, err = run("verify -w key -i plain --json")
    assert status == 2
    assert json.loads(err)["error"]["code"] == "SR-SEALED-HEADER"
