"""The owner's side of sealed data, by its commands: sealed, looked at, rekeyed, opened; nothing needs a network."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import pytest

from strongroom.cli import main

STRONGROOM = [sys.executable, "-m", "strongroom"]
CANARY = "canary-4f1c0e"
PEOPLE = f"name,age\nJustin,19\n{CANARY},30\n"


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Run a verb in a folder with a workspace; returns the status, its output and its errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert main(["init"]) == 0
    capsys.readouterr()

    def run(*words):
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def sealed(here):
    """The same, with a sealed data set `people`."""
    assert here("data", "key", "people")[0] == 0
    assert here("data", "seal", "people.csv", "--key", "people", "--out", "people", "--schema", "name string")[0] == 0
    return here


def test_a_newcomers_way(sealed, tmp_path):
    status, out, _ = sealed("data", "inspect", "people")
    assert status == 0
    assert "people: csv, generation 1, 1 file" in out
    assert "not authenticated" in out
    assert "name string" not in out
    status, out, _ = sealed("data", "inspect", "people", "--verify")
    assert (status, "name string" in out, "verified" in out) == (0, True, True)
    status, out, _ = sealed("data", "open", "people", "--out", "plain")
    assert status == 0
    assert (tmp_path / "plain" / "people.csv").read_text() == PEOPLE
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o700


def test_machines_are_told_as_much(sealed, tmp_path):
    (tmp_path / "more.csv").write_text("name,age\nAndy,30\n")
    words = ("data", "seal", "more.csv", "--key", "people", "--out", "people", "--append", "--json")
    made = json.loads(sealed(*words)[1])
    assert (made["generation"], made["kind"], made["key_id"]) == (2, "csv", "people.1")
    assert [each["path"] for each in made["files"]] == ["more.csv", "people.csv"]
    found = json.loads(sealed("data", "inspect", "people", "--json", "--verify", "--min-generation", "2")[1])
    assert {**found, "verified": None, "schema": None} == {**made, "verified": None, "schema": None}
    assert (found["verified"], found["schema"]) == (True, "name string")
    opened = json.loads(sealed("data", "open", "people", "--out", "plain", "--json")[1])
    assert opened == {"name": "people", "generation": 2, "out": "plain", "bytes": len(PEOPLE) + 17,
                      "files": ["more.csv", "people.csv"]}  # fmt: skip


def test_a10_a_rotated_key_reads_on_and_after_the_overlap_only_what_was_rewrapped(sealed, tmp_path):
    shutil.copytree(tmp_path / "people", tmp_path / "forgotten")
    made = json.loads(sealed("data", "key", "people", "--rotate", "--json")[1])
    assert made == {"name": "people", "key_id": "people.2", "versions": [1, 2], "place": "secret/data-people"}
    assert sealed("data", "inspect", "people", "--verify")[0] == 0
    before = (tmp_path / "people" / "people.csv").read_bytes()
    assert json.loads(sealed("data", "rekey", "people", "--key", "people", "--json")[1])["key_id"] == "people.2"
    assert (tmp_path / "people" / "people.csv").read_bytes() == before
    status, _, err = sealed("data", "key", "people", "--end-overlap")
    assert (status, "SR-DATA-KEY-UNSEEN" in err, "version 1 of primary key people" in err) == (2, True, True)
    status, _, err = sealed("data", "key", "people", "--end-overlap", "--data", tmp_path)
    assert (status, "SR-DATA-KEY-NEEDED" in err, "forgotten (version 1)" in err) == (3, True, True)
    assert json.loads(sealed("data", "key", "people", "--json")[1])["versions"] == [1, 2]
    status, out, _ = sealed("data", "key", "people", "--end-overlap", "--data", "people")
    assert (status, "1 data set looked at: none needs another version" in out) == (0, True)
    assert sealed("data", "key", "people", "--end-overlap")[0] == 0  # nothing more goes
    assert sealed("data", "inspect", "people", "--verify")[0] == 0
    status, _, err = sealed("data", "inspect", "forgotten", "--verify")
    assert (status, "SR-DATA-KEY-VERSION" in err) == (3, True)


def test_an_owner_may_end_an_overlap_without_a_look(sealed):
    assert sealed("data", "key", "people", "--rotate")[0] == 0
    assert json.loads(sealed("data", "key", "people", "--end-overlap", "--anyway", "--json")[1])["versions"] == [2]
    for words in (["--anyway"], ["--rotate", "--data", "people"], ["--end-overlap", "--anyway", "--data", "people"]):
        status, _, err = sealed("data", "key", "people", *words)
        assert (status, "SR-DATA-KEY-LOOK" in err) == (2, True)
    status, _, err = sealed("data", "key", "strangers", "--end-overlap", "--anyway")
    assert (status, "no primary key strangers" in err) == (3, True)


def test_sealing_anew_takes_another_folder(sealed, tmp_path):
    status, _, err = sealed("data", "rekey", "people", "--key", "people", "--data")
    assert (status, "SR-DATA-REKEY-OUT" in err) == (2, True)
    assert sealed("data", "rekey", "people", "--key", "people", "--data", "--out", "anew")[0] == 0
    assert sealed("data", "open", "anew", "--out", "plain")[0] == 0
    assert (tmp_path / "plain" / "people.csv").read_text() == PEOPLE
    assert (tmp_path / "anew" / "people.csv").read_bytes() != (tmp_path / "people" / "people.csv").read_bytes()


def test_kd_25_what_was_changed_is_refused_and_nothing_is_written(sealed, tmp_path):
    path = tmp_path / "people" / "people.csv"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    for words in (("open", "people", "--out", "plain"), ("inspect", "people", "--verify")):
        status, out, err = sealed("data", *words)
        assert (status, out) == (3, "")
        assert "people.csv is not the file that was written" in err
    assert not [each for each in tmp_path.iterdir() if "plain" in each.name]


def test_an_old_copy_is_refused_by_who_remembers(sealed):
    status, _, err = sealed("data", "open", "people", "--out", "plain", "--min-generation", "2")
    assert (status, "SR-DATA-GENERATION" in err) == (3, True)


def test_a_folder_is_sealed_with_its_folders_and_without_notes(here, tmp_path):
    here("data", "key", "taxis")
    for path in ("day=1/a.json", "day=2/b.json", "_SUCCESS", ".hidden"):
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_text("{}\n")
    made = json.loads(here("data", "seal", "in", "--key", "taxis", "--out", "out", "--json")[1])
    assert (made["kind"], [each["path"] for each in made["files"]]) == ("json", ["day=1/a.json", "day=2/b.json"])


def test_files_of_several_kinds_are_files(here, tmp_path):
    here("data", "key", "k")
    (tmp_path / "a.json").write_text("{}\n")
    _, out, err = here("data", "seal", "people.csv", "a.json", "--key", "k", "--out", "o", "--json")
    assert json.loads(out)["kind"] == "file"
    assert "several endings" in err


def test_what_is_compressed_is_known_by_its_first_bytes_too(here, tmp_path):
    here("data", "key", "k")
    (tmp_path / "zipped.csv").write_bytes(gzip.compress(b"a,b\n"))
    status, _, err = here("data", "seal", "zipped.csv", "--key", "k", "--out", "o")
    assert (status, "SR-DATA-COMPRESSED" in err) == (2, True)


def test_what_is_compressed_is_sealed_as_bytes_by_who_says_so(here, tmp_path):
    here("data", "key", "k")
    (tmp_path / "people.csv.gz").write_bytes(gzip.compress(b"a,b\n"))
    words = ("data", "seal", "people.csv.gz", "--kind", "file", "--key", "k", "--out", "o", "--json")
    assert json.loads(here(*words)[1])["kind"] == "file"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("seal", "people.csv", "--key", "nobody", "--out", "o"), "SR-DATA-KEY-DENIED"),
        (("seal", "people.csv.gz", "--key", "k", "--out", "o"), "SR-DATA-COMPRESSED"),
        (("seal", "people.gz", "--kind", "csv", "--key", "k", "--out", "o"), "SR-DATA-COMPRESSED"),
        (("seal", "people.csv", "--key", "a b", "--out", "o"), "SR-DATA-KEY-NAME"),
        (("seal", "people.csv", "--key", "k", "--out", "o", "--keys", "what"), "SR-DATA-KEYS"),
        (("seal", "people.csv", "--key", "k", "--out", "o", "--keys", "agent:nowhere"), "SR-AGENT-UNREACHABLE"),
        (("open", "nowhere", "--out", "o"), "SR-DATA-SET"),
        (("key", "k", "--rotate"), "SR-DATA-KEY-DENIED"),
    ],
    ids=["no-key", "compressed", "compressed-csv", "bad-name", "bad-keys", "no-agent", "no-set", "nothing-to-rotate"],
)
def test_what_cannot_be_is_said_by_its_code(here, tmp_path, words, code):
    status, out, err = here("data", *words)
    assert status in (2, 3, 4)
    assert out == ""
    assert f"[{code}]" in err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("seal", "people.csv", "--key", "k", "--out", "s3://lake/people"),
        ("seal", "s3://lake/a.csv", "--key", "k", "--out", "o"),
        ("inspect", "hdfs://store/people"), ("open", "s3a://lake/people", "--out", "o"), ("rekey", "gs://lake/people"),
        ("key", "k", "--end-overlap", "--data", "s3://lake"),
    ],
    ids=["seal-to", "seal-from", "inspect", "open", "rekey", "end-overlap"],
)  # fmt: skip
def test_an_address_is_not_taken_for_a_folder_of_that_name(here, tmp_path, words):
    status, _, err = here("data", *words)
    assert status == 1
    assert "is an address: a folder or file of this machine is wanted" in err
    assert not [each for each in tmp_path.rglob("*") if each.name.endswith(":")]


def test_an_15_a12_sealing_needs_no_workspace_no_network_and_no_java(tmp_path):
    """With a key file, in a process that can open no socket and finds no program: sealing happens on the client."""
    (tmp_path / "people.csv").write_text(PEOPLE * 200)
    program = (
        "import socket, sys\n"
        "def no(*_, **__): raise AssertionError('a socket')\n"
        "socket.socket.connect = socket.getaddrinfo = no\n"
        "from strongroom.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "assert not {'pyspark', 'pyarrow', 'numpy'} & set(sys.modules), 'a heavy import'\n"
        "sys.exit(status)\n"
    )
    environ = {name: value for name, value in os.environ.items() if name not in {"PATH", "JAVA_HOME"}} | {"PATH": ""}
    for words in (
        ("key", "people", "--file", "keys"),
        ("seal", "people.csv", "--key", "people", "--keys", "file:keys", "--out", "sealed"),
        ("open", "sealed", "--keys", "file:keys", "--out", "plain"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, "data", *words], cwd=tmp_path, env=environ, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "plain" / "people.csv").read_text() == PEOPLE * 200
    assert not any(CANARY.encode() in path.read_bytes() for path in (tmp_path / "sealed").rglob("*"))


def test_keys_and_data_are_in_no_file_but_those_meant_for_them(sealed, tmp_path):
    found = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert found == [tmp_path / "people.csv"]
    secret = tmp_path / "secret"
    subprocess.run([*STRONGROOM, "key", "export", "secret/data-people", "--out", str(secret)], cwd=tmp_path,
                   capture_output=True, check=True)  # fmt: skip
    key = json.loads(secret.read_bytes())["keys"]["1"].encode()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and key in path.read_bytes()] == [secret]
